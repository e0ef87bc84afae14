"""The commands about cells, without the command line."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import check_writable, write_atomically, write_json
from rich.table import Table
from rich.text import Text

from mtjkit_host import parse
from mtjkit_host.mtj.answer import Answer
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.cell_file import (
    at_kelvin,
    cell_from_table,
    load_cell,
    preset_names,
    read_cell_table,
)
from mtjkit_host.mtj.fit import Point, TailFit, fit_tail, read_measurements
from mtjkit_host.mtj.joint_fit import JointFit, Series, fit_jointly
from mtjkit_host.mtj.plots import draw_fits, draw_joint_fit, draw_models, draw_schemes
from mtjkit_host.mtj.scheme import Pulses, Traffic
from mtjkit_host.mtj.schemes import Fixed, doubts, parse_scheme, saving_percent

USUAL_RATE = 0.024
"""Write-error rate that a run has where none is given."""

_WORDS = 60
"""Letters in a line of a table's words."""

MODELS_SHOWN = (
    "asano2024", "macrospin-14.8", "macrospin-1.5", "macrospin-2", "asano2024-spread",
)  # fmt: skip
"""Presets of the figure and of the table of savings: each is another model or population."""

SCHEMES_SHOWN = ("terminated", "word", "retry:4", "differential", "flip-n-write")
"""Schemes of the table of savings, beside the fixed pulse."""

MEASURED_TOGGLE_SHARE = 0.467
"""Share of written bits that toggle in the carried binary-small, over its 500 images."""

Given = str | None


def parse_traffic(toggle_share: Given, word_bits: Given) -> Traffic:
    """What is written, from options as typed.

    Raises:
        ConfigError: one line that names the option.
    """
    share = 0.5
    if toggle_share is not None:
        share = parse.rate("--toggle-share", toggle_share, "a share")
    bits = 32 if word_bits is None else parse.whole("--word-bits", word_bits, 1, 1024)
    return Traffic.even(share, bits)


def list_cells(sources: bool = True) -> Table:
    """The presets: name, model, rate and energy where they are stated.

    Args:
        sources: whether a column says where each cell is from; without it, 80 columns do.
    """
    table = Table("name", "model", "1e-8 takes", "energy", "2.4 % saves")
    if sources:
        table.add_column("source")
    for name in preset_names():
        values, what, _ = read_cell_table(name)
        source = [Text(str(values.get("source", "")))] if sources else []
        if "stated" in values:
            table.add_row(name, "none", "not stated", "", "", *source)
            continue
        cell = cell_from_table(values, what, name)
        pulse = cell.pulse_width_ns(REFERENCE_RATE)
        table.add_row(
            name,
            values.get("write", {}).get("model", "tail"),
            f"{pulse:.4g} ns",
            f"{cell.reference_energy_pj:.4g} pJ" if cell.has_power else "not stated",
            f"{cell.saving_percent(cell.pulse_width_ns(USUAL_RATE)):.2f} %",
            *source,
        )
    return table


def show_cell(
    cell: str,
    pulse_ns: Given = None,
    write_error_rate: Given = None,
    scheme: Given = None,
    kelvin: Given = None,
    toggle_share: Given = None,
    word_bits: Given = None,
    json: Given = None,
) -> Table:
    """What a cell says about a pulse or a rate; also as JSON where a file is named.

    Raises:
        ConfigError: one line that names the option or the file.
    """
    if json is not None:
        check_writable(Path(json))
    values, what, name = read_cell_table(cell)
    if "stated" in values and "write" not in values:
        if json is not None:
            write_json(json, values | {"name": name})
        return _stated(name, values)
    found = cell_from_table(values, what, name)
    if kelvin is not None:
        found = at_kelvin(found, parse.number("--kelvin", kelvin))
    if pulse_ns is not None and write_error_rate is not None:
        raise ConfigError("--pulse-ns and --write-error-rate both set the pulse; give one of them")
    chosen = parse_scheme("fixed" if scheme is None else scheme)
    traffic = parse_traffic(toggle_share, word_bits)
    if pulse_ns is not None:
        pulse = parse.number("--pulse-ns", pulse_ns)
        if not 0 < pulse <= 1e9:
            raise ConfigError(f"--pulse-ns must be above 0 and at most 1e9, not {pulse_ns}")
        pulses = Pulses(pulse, pulse)
    else:
        rate = USUAL_RATE
        if write_error_rate is not None:
            rate = parse.rate("--write-error-rate", write_error_rate)
        pulses = chosen.pulses_for(found, rate, traffic)
    answer = Answer(found, chosen, pulses, traffic)
    if json is not None:
        write_json(json, answer.to_json())
    return answer.table()


def _stated(name: str, values: dict[str, Any]) -> Table:
    table = Table(show_header=False, title=Text(f"cell {name}: no model, what is stated"))
    table.add_column(style="bold")
    table.add_column()
    for key in ("source", "verified"):
        if key in values:
            table.add_row(key, Text(str(values[key])))
    for key, value in values["stated"].items():
        table.add_row(key, Text(str(value)))
    table.add_row(
        "warning", Text("no pulse and no saving follow: give [write] in a file of your own")
    )
    return table


def savings() -> Table:
    """How much the 2.4 % write saves, by model, population, scheme, baseline and bookkeeping."""
    table = Table(
        "cell", "sigma", "scheme", "against 1e-8", "toggling", "saving",
        title="write energy saved at an error rate of 2.4 %, no overheads",
    )  # fmt: skip
    for row in _savings():
        table.add_row(*row)
    return table


@cache
def _savings() -> tuple[tuple[str, ...], ...]:
    """The rows of `savings`, which takes a second."""
    rows: list[tuple[str, ...]] = []
    for name in MODELS_SHOWN:
        cell = load_cell(name)
        saved = cell.saving_percent(cell.pulse_width_ns(USUAL_RATE))
        sigma = f"{cell.variation.sigma_ln_tau:g}"
        rows.append((name, sigma, "fixed", "fixed pulse", "any", f"{saved:.2f} %"))
    cell, traffic = Cell(), Traffic.even(1.0)
    short = Fixed().pulses_for(cell, USUAL_RATE, traffic)
    energy = Fixed().write(cell, short, traffic).per_bit_pj(traffic)
    for name in ("secded", "bch:3"):
        scheme = parse_scheme(name)
        pulses = scheme.pulses_for(cell, REFERENCE_RATE, traffic)
        coded = scheme.write(cell, pulses, traffic).per_bit_pj(traffic)
        rows.append((cell.name, "0", "fixed", name, "any", f"{100 * (1 - energy / coded):.2f} %"))
    cell = load_cell("asano2024-voltage")
    for word, traffic in (
        ("all, up", Traffic(down=0.0, up=1.0, ones=1.0)),
        ("all, down", Traffic(down=1.0, up=0.0, ones=0.0)),
    ):
        pulses = Fixed().pulses_for(cell, USUAL_RATE, traffic)
        share = saving_percent(cell, Fixed(), pulses, traffic)
        rows.append((cell.name, "0", "fixed", "fixed pulse", word, f"{share:.2f} %"))
    traffic = Traffic.even(MEASURED_TOGGLE_SHARE)
    for name in MODELS_SHOWN:
        cell = load_cell(name)
        for scheme in map(parse_scheme, SCHEMES_SHOWN):
            if doubts(cell, scheme):
                continue
            pulses = scheme.pulses_for(cell, USUAL_RATE, traffic)
            share = saving_percent(cell, scheme, pulses, traffic)
            rows.append((
                name, f"{cell.variation.sigma_ln_tau:g}", scheme.name, "fixed pulse",
                f"{100 * traffic.toggle_share:.1f} %", f"{share:.2f} %",
            ))  # fmt: skip
    return tuple(rows)


def plot_cells(
    cells: list[str], toggle_share: Given = None, word_bits: Given = None, output: Given = None
) -> list[Path]:
    """Draw the models' and the first cell's schemes' figures; the SVG files."""
    names = cells or list(MODELS_SHOWN)
    found = [load_cell(name) for name in names]
    traffic = parse_traffic(toggle_share, word_bits)
    folder = Path("build/cells" if output is None else output)
    return [
        draw_models(found, traffic, folder / "models"),
        draw_schemes(found[0], traffic, folder / "schemes"),
    ]


def fit_cell(
    data: str,
    voltage_v: Given = None,
    current_ua: Given = None,
    output: Given = None,
    plot: Given = None,
    model: Given = None,
) -> tuple[Table, str]:
    """Fit a cell to measurements: a table of fits, and the cell as TOML.

    A tail for each direction and current, or (model fokker-planck, the default where a direction
    has several currents and none is chosen) one macrospin for all of them.

    Raises:
        ConfigError: the file or an option is wrong, or several currents leave the choice open.
    """
    for path in (output, plot):
        if path is not None:
            check_writable(Path(path))
    voltage = None if voltage_v is None else parse.number("--voltage-v", voltage_v)
    measured = read_measurements(data)
    if model is None:
        several = len(measured) > len({direction for direction, _ in measured})
        model = "fokker-planck" if several and current_ua is None else "tail"
    if parse.choice("--model", model, ("tail", "fokker-planck")) == "fokker-planck":
        return _fit_jointly(data, measured, voltage, current_ua, output, plot)
    fits: dict[tuple[str, float | None], TailFit] = {}
    for (direction, current), points in measured.items():
        try:
            fits[direction, current] = fit_tail(points)
        except ConfigError as error:
            where = direction if current is None else f"{direction}, {current:g} uA"
            raise ConfigError(f"{data}, {where}: {error}") from None
    currents = sorted({current for _, current in fits if current is not None})
    if current_ua is not None:
        wanted: float | None = parse.number("--current-ua", current_ua)
        if wanted not in currents:
            shown = ", ".join(f"{current:g}" for current in currents) or "none"
            raise ConfigError(f"--current-ua {current_ua} was not measured; there are: {shown}")
    elif len({current for _, current in fits}) > 1 and len(currents) > len(
        {direction for direction, _ in fits}
    ):
        shown = ", ".join(f"{current:g}" for current in currents)
        raise ConfigError(
            f"several currents: choose the file's with --current-ua: {shown}; or fit all of them "
            "with --model fokker-planck"
        )
    else:
        wanted = None
    chosen = {
        direction: (current, fit)
        for (direction, current), fit in fits.items()
        if wanted is None or current == wanted
    }
    table = Table("direction", "tau", "A", "deviance", "in words", title="fitted tails, 95 %")
    table.columns[-1].max_width = _WORDS
    for (direction, current), fit in fits.items():
        low, high = fit.tau_interval_ns
        log_error = fit.log_amplitude_error
        spread = "" if log_error is None else f" (ln A +- {1.96 * log_error:.3f})"
        table.add_row(
            direction if current is None else f"{direction}, {current:g} uA",
            f"{fit.tau_ns:.5g} ns ({low:.5g} to {high:.5g})",
            f"{fit.amplitude:.4g}{spread}",
            f"{fit.deviance:.3g} / {fit.degrees}",
            "; ".join(fit.words()),
        )
    text = _toml(data, voltage, chosen)
    if output is not None:
        write_atomically(output, text.encode())
    if plot is not None:
        names = {
            direction if current is None else f"{direction}, {current:g} uA": fit
            for (direction, current), fit in fits.items()
        }
        draw_fits(names, _stem(plot))
    return table, text


def _fit_jointly(
    data: str,
    measured: dict[tuple[str, float | None], list[Point]],
    voltage: float | None,
    current_ua: Given,
    output: Given,
    plot: Given,
) -> tuple[Table, str]:
    """One macrospin for all currents and directions: see `fit_cell`."""
    series = []
    for (direction, current), points in sorted(measured.items(), key=str):
        if current is None:
            raise ConfigError(f"{data}: model fokker-planck takes a current_ua in each line")
        series.append(Series(direction, current, tuple(points)))
    try:
        fit = fit_jointly(series)
    except ConfigError as error:
        raise ConfigError(f"{data}: {error}") from None
    # The cell's current: as asked, else the middle one of those measured in each direction.
    currents = {}
    for direction in fit.ic0_ua:
        mine = sorted(one.current_ua for one in series if one.direction == direction)
        currents[direction] = mine[len(mine) // 2]
        if current_ua is not None:
            currents[direction] = parse.number("--current-ua", current_ua)
            if not mine[0] <= currents[direction] <= mine[-1]:
                raise ConfigError(
                    f"--current-ua {current_ua} lies beyond what was measured {direction}: "
                    f"{mine[0]:g} to {mine[-1]:g}"
                )
    table = Table("number", "value", "95 %", title="one macrospin for all measurements")
    table.columns[1].max_width = _WORDS
    numbers = {"delta": fit.delta, "t_d_ns": fit.t_d_ns, **fit.ic0_ua}
    for name, value in numbers.items():
        low, high = fit.intervals[name]
        what = {"delta": "delta (kT)", "t_d_ns": "t_d (ns)"}.get(name, f"Ic0 {name} (uA)")
        table.add_row(what, f"{value:.5g}", f"{low:.5g} to {high:.5g}")
    table.add_row("deviance", f"{fit.deviance:.4g}", f"{fit.degrees} degrees of freedom")
    for word in fit.words():
        table.add_row("in words", Text(word), "")
    lines = [*_head(data), 'model = "fokker-planck"', *_measured(fit, "delta", "delta")]
    lines += _measured(fit, "t_d_ns", "t_d_ns")
    if voltage is not None:
        lines.append(f"voltage_v = {voltage:.6g}")
    for direction in fit.ic0_ua:
        if len(fit.ic0_ua) > 1:
            lines += ["", f"[write.{direction}]"]
        lines += _measured(fit, direction, "ic0_ua")
        lines.append(f"current_ua = {currents[direction]:.6g}")
    lines += [f"# {word}" for word in fit.words()]
    text = "\n".join(lines) + "\n"
    if output is not None:
        write_atomically(output, text.encode())
    if plot is not None:
        draw_joint_fit(fit, _stem(plot))
    return table, text


def _measured(fit: JointFit, name: str, key: str) -> list[str]:
    """A line of a cell file with its interval as a comment."""
    low, high = fit.intervals[name]
    value = {"delta": fit.delta, "t_d_ns": fit.t_d_ns, **fit.ic0_ua}[name]
    return [f"{key} = {value:.6g}  # 95 %: {low:.5g} to {high:.5g}"]


def _head(data: str) -> list[str]:
    """How a fitted cell file begins."""
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(data).stem)
    return [f'name = "{name}"', 'source = "fitted to measurements by cell-fit"', "", "[write]"]


def _stem(plot: str) -> Path:
    """A figure's path without the ending that it may have."""
    stem = Path(plot)
    return stem.with_suffix("") if stem.suffix in (".svg", ".png") else stem


def _toml(data: str, voltage: float | None, chosen: dict[str, tuple[float | None, TailFit]]) -> str:
    """A cell file with its intervals as comments; one direction measured is taken for both."""
    lines = [*_head(data), 'model = "tail"']
    if voltage is not None:
        lines.append(f"voltage_v = {voltage:.6g}")
    ways = chosen if len(chosen) > 1 else {"": next(iter(chosen.values()))}
    for direction, (current, fit) in ways.items():
        if direction:
            lines += ["", f"[write.{direction}]"]
        low, high = fit.tau_interval_ns
        lines.append(f"tau_ns = {fit.tau_ns:.6g}  # 95 %: {low:.5g} to {high:.5g}")
        lines.append(f"amplitude = {fit.amplitude:.6g}")
        if current is not None:
            lines.append(f"current_ua = {current:.6g}")
        lines += [f"# {word}" for word in fit.words()]
    return "\n".join(lines) + "\n"
