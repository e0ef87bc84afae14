"""Commands about MTJ cells: presets, one write in numbers, figures, a cell from measurements."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from mtjkit_host.cli import streams
from mtjkit_host.cli.command import command

_CELL = "a preset's name (`cell-list`), or a TOML or JSON file: docs/cells.md"
_TRAFFIC = {
    "toggle-share": "share of the written bits that have to toggle; default 0.5",
    "word-bits": "bits that are written together; default 32",
}


@command(help={"savings": "show how much 2.4 % saves under each model, population and baseline"})
def cell_list(c: Context, savings: bool = False) -> Any:
    """List the cells that mtjkit carries."""
    from shutil import get_terminal_size

    from mtjkit_host.mtj import command

    if savings:
        return streams.Wide(command.savings())
    if get_terminal_size((streams.COLUMNS, 24)).columns >= streams.COLUMNS:
        return streams.Wide(command.list_cells())
    return (
        streams.Wide(command.list_cells(sources=False)),
        "`cell-show NAME` says where a cell is from; a wider terminal shows it here",
    )


@command(
    positional=["cell"],
    help={
        "cell": _CELL,
        "pulse-ns": "pulse width in ns (a cap, or the first of several pulses, as the scheme has)",
        "write-error-rate": "write-error rate that is left, in place of a pulse; default 0.024",
        "scheme": "fixed (default), directions, terminated, word, retry:4, retry:4x2, "
        "retry-word:4, secded, bch:2, bch:3/128, differential or flip-n-write",
        "kelvin": "temperature for retention and read disturb; default 300 or the file's",
        "json": "write the answer, unrounded, to this file",
        **_TRAFFIC,
    },
)
def cell_show(
    c: Context,
    cell: str,
    pulse_ns: str | None = None,
    write_error_rate: str | None = None,
    scheme: str | None = None,
    kelvin: str | None = None,
    toggle_share: str | None = None,
    word_bits: str | None = None,
    json: str | None = None,
) -> Any:
    """Show what a cell says about one write: rates, energies, time, saving, warnings."""
    from mtjkit_host.mtj.command import show_cell

    return show_cell(
        cell, pulse_ns, write_error_rate, scheme, kelvin, toggle_share, word_bits, json
    )


@command(
    iterable=["cell"],
    help={
        "cell": _CELL + "; given several times; default: the paper's, macrospins, a population",
        "output": "folder of the figures; default build/cells",
        **_TRAFFIC,
    },
)
def cell_plot(
    c: Context,
    cell: list[str],
    toggle_share: str | None = None,
    word_bits: str | None = None,
    output: str | None = None,
) -> Any:
    """Draw energy over error rate: for each cell, and for each scheme of the first cell."""
    from mtjkit_host.mtj.command import plot_cells

    return "\n".join(map(str, plot_cells(cell, toggle_share, word_bits, output)))


@command(
    positional=["data"],
    help={
        "data": "CSV file: pulse_ns,current_ua,direction,switched,trials",
        "voltage-v": "voltage across the cell, for its energies",
        "current-ua": "which current becomes the cell's, where several were measured",
        "model": "tail (one direction and current at a time; default) or fokker-planck (one "
        "macrospin for all; default where a direction has several currents and --current-ua is "
        "not given)",
        "output": "cell file to write (TOML)",
        "plot": "figure to write (an SVG and a PNG file)",
    },
)
def cell_fit(
    c: Context,
    data: str,
    voltage_v: str | None = None,
    current_ua: str | None = None,
    output: str | None = None,
    plot: str | None = None,
    model: str | None = None,
) -> Any:
    """Fit a cell to measured writes, with intervals and a word on whether the model fits."""
    from mtjkit_host.mtj.command import fit_cell

    table, text = fit_cell(data, voltage_v, current_ua, output, plot, model)
    return table, (f"cell file: {output}" if output else text)


COMMANDS = (cell_list, cell_show, cell_plot, cell_fit)
