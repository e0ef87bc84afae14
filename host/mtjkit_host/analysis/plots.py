"""The paper's Figs. 7-10 from our own results, as SVG and PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_export.files import write_atomically

from mtjkit_host import paper
from mtjkit_host.analysis.statistics import Mean
from mtjkit_host.analysis.summary import Acceptable, Curve, Summary
from mtjkit_host.analysis.tradeoff import SCHEMES
from mtjkit_host.figures import own_settings, plain
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442",
    "#8C5A2B", "#7B61D6", "#00B3A6", "#C2185B", "#8DB600", "#E58E8E", "#5C7C8A", "#B5A37A",
)  # fmt: skip
"""Okabe and Ito's palette, which colour-blind readers tell apart too, and eight more for campaigns
of many nets; the markers tell without colour."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
BAND_REPEATS = 4
"""Repeats from which on a curve has a band: an interval of two or three covers everything."""
_LETTER_PT, _HANDLE_PT = 4.3, 40  # widths in a legend: of a letter, and of what is beside a name
_LINES = {"flip": "-", "keep": "--"}
_PANELS = {"weights": "errors in weights", "feature_maps": "errors in feature maps"}
_RATE = "write-error rate (%)"


def draw_all(summary: Summary, labels: Sequence[str], folder: Path, cell: Cell) -> dict[str, Path]:
    """Draw every figure that there are results for, as ``<name>.svg`` and ``<name>.png``.

    Args:
        summary: of `mtjkit_host.analysis.summary.summarize`.
        labels: of the nets in the campaign's order, which fixes their colours.
        folder: made when missing.
        cell: for the energies of Fig. 10.

    Returns:
        Name -> SVG file: ``figure-7`` ... ``figure-10``, ``tradeoff``.

    Raises:
        ConfigError: a file cannot be written, or matplotlib is not installed.
    """
    with own_settings():
        return {
            name: save(figure, folder / name) for name, figure in figures(summary, labels, cell)
        }


def figures(summary: Summary, labels: Sequence[str], cell: Cell) -> Iterator[tuple[str, Any]]:
    """The name and figure of everything that there are results for; arguments as `draw_all`."""

    def means(curve: Curve) -> list[Mean]:
        return [level.value for level in curve.levels]

    limits = tuple(100 * limit for limit in paper.DEGRADATIONS)
    for name, curves, values, ylabel, scale, lines in (
        ("figure-7", summary.accuracy, means, "test accuracy (%)", 100, ()),
        ("figure-8", summary.accuracy, summary.degradations, "degradation (%)", 100, limits),
        ("figure-9", summary.rrmse, means, "RRMSE (Eq. 3)", 1, ()),
    ):
        if curves:
            yield name, curves_figure(curves, labels, values, ylabel, scale, lines)
    if any(entry.found.rate is not None for entry in summary.acceptable):
        yield "figure-10", energy_figure(summary, labels, cell)
    if any(line.spots for line in summary.tradeoffs):
        yield "tradeoff", _tradeoff(summary)


def _figure(columns: int, sharey: bool = True) -> tuple[Any, Any]:
    """A figure with a row of axes over the error rate. No pyplot: nothing global, no window."""
    from matplotlib.figure import Figure  # slow to import, and only needed here
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(5 * columns, 4.6), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, sharey=sharey)[0]
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(FuncFormatter(_tick))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(_RATE)
    return figure, axes


def _tick(value: float, position: int | None = None) -> str:
    """0.01, 0.1, 1, 10 rather than powers, where they are short."""
    return f"{value:g}" if value >= 1e-3 else f"10$^{{{math.log10(value):.0f}}}$"


def _legend(figure: Any, axes: Sequence[Any], title: str = "", columns: int = 6) -> None:
    """One legend under the panels, where it hides nothing; it has the entries of all panels.

    They are in order row by row, with rows of about equal length that fit the figure.
    """
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    longest = _LETTER_PT * max(map(len, handles), default=0) + _HANDLE_PT
    columns = min(columns, max(1, int(72 * figure.get_figwidth() / longest)))
    rows = -(-len(handles) // columns)
    columns = -(-len(handles) // rows)
    names = [*handles]
    names = [name for column in range(columns) for name in names[column::columns]]
    figure.legend(
        [handles[name] for name in names],
        names,
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        title=title or None,
        title_fontsize=8,
    )


def _style(label: str, labels: Sequence[str]) -> dict[str, Any]:
    """Colour and marker of a net."""
    i = labels.index(label)
    marker = _MARKERS[(i + 3 * (i // 8)) % 8]  # neighbours in colour have other markers
    return {"color": COLOURS[i % len(COLOURS)], "marker": marker, "markersize": 4.5}


def curves_figure(
    curves: Sequence[Curve],
    labels: Sequence[str],
    values: Callable[[Curve], list[Mean]],
    ylabel: str,
    scale: float,
    lines: tuple[float, ...],
) -> Any:
    """One panel for each memory, one line for each net; bands are 95 % intervals.

    Lines become thinner from the first net to the last, so that none hides another.

    Dotted lines across the panels mark `lines`; with them the axis goes below 0, where noise may
    have taken a degradation. Its upper end follows the means: intervals of two or three repeats
    can be wider than all accuracies there are, and are cut.
    """
    memories = [memory for memory in _PANELS if any(c.memory == memory for c in curves)]
    kinds = {curve.errors for curve in curves}
    figure, axes = _figure(len(memories))
    highest = 0.0
    for letter, memory, ax in zip("ab", memories, axes, strict=False):
        for curve in sorted(curves, key=lambda c: labels.index(c.net)):
            if curve.memory != memory:
                continue
            rates = [100 * level.rate for level in curve.levels]
            means = values(curve)
            y = np.array([mean.value for mean in means]) * scale
            highest = max(highest, *y)
            half = np.array([mean.half_width or 0.0 for mean in means]) * scale
            label = plain(curve.net)
            if len(kinds) > 1:
                label += ", bit flipped" if curve.errors == "flip" else ", old value kept"
            below = 1 - labels.index(curve.net) / len(labels)  # 1: under all others
            style = _style(curve.net, labels) | {"markersize": 4 + 4 * below}
            ax.plot(rates, y, _LINES[curve.errors], label=label, linewidth=0.6 + 2 * below, **style)
            if min(len(level.values) for level in curve.levels) >= BAND_REPEATS:
                ax.fill_between(rates, y - half, y + half, color=style["color"], alpha=0.2, lw=0)
        ax.set_title(f"({letter}) {_PANELS[memory]}" if len(memories) > 1 else _PANELS[memory])
    axes[0].set_ylabel(ylabel)
    axes[0].set_ylim(-4 if lines else 0, 1.05 * highest or None)
    for ax in axes:
        for line in lines:
            ax.axhline(line, color="#555555", linewidth=0.8, linestyle=":")
    _legend(figure, axes)
    return figure


def energy_figure(summary: Summary, labels: Sequence[str], cell: Cell) -> Any:
    """Fig. 10: Eq. 2 as energy over error rate, with the acceptable rates of the feature maps."""
    from matplotlib.ticker import LogLocator

    figure, axes = _figure(2, sharey=False)
    rates = np.logspace(-8, np.log10(0.5), 400)
    energies = [cell.write_energy_pj(cell.pulse_width_ns(float(rate))) for rate in rates]
    entries = [e for e in summary.acceptable if e.memory == "feature_maps"]
    entries = [e for e in entries if e.found.rate is None or e.energy_pj is not None]
    printed = [e.paper for e in entries if e.paper is not None] if cell == Cell() else []
    for ax in axes:
        ax.plot(100 * rates, energies, color="#555555", linewidth=1.2, label="Eq. 2, E = V I t")
        for entry in entries:
            _mark(ax, entry, labels)
        if printed:
            energy = [row.energy_pj for row in printed]
            ax.plot([100 * row.rate for row in printed], energy, "k+", label="the paper's Table 2")
        ax.set_ylabel("write energy of one MTJ (pJ)")
    axes[0].set_title("(a) from the reference rate on")
    axes[1].set_title("(b) around the acceptable rates")
    axes[0].set_ylim(0, None)
    axes[0].plot(100 * REFERENCE_RATE, cell.reference_energy_pj, "k*", markersize=9)
    axes[0].annotate(
        f"reference, 10$^{{-6}}$ %: {cell.reference_energy_pj:.2f} pJ",
        (100 * REFERENCE_RATE, cell.reference_energy_pj),
        xytext=(9, -3),
        textcoords="offset points",
        fontsize=8,
    )
    shown = [rate for e in entries for rate in (e.found.rate, e.found.low, e.found.high) if rate]
    shown += [row.rate for row in printed]
    shown = shown or [0.01, 0.1]  # errors in weights alone, or rates that find no limit
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left, right = 0.8 * min(shown), min(1.3 * max(shown), 1.0)
    bottom, top = (cell.write_energy_pj(cell.pulse_width_ns(rate)) for rate in (right, left))
    axes[1].set(xlim=(100 * left, 100 * right), ylim=(bottom, top))
    _legend(figure, axes[1:], "filled: 3 % degradation accepted; open: 30 %")
    return figure


def _mark(ax: Any, entry: Acceptable, labels: Sequence[str]) -> None:
    """Mark an acceptable rate; a line through it is its 95 % interval."""
    if entry.found.rate is None:
        return
    style = _style(entry.net, labels) | {"markersize": 7}
    first = entry.found.limit == paper.DEGRADATIONS[0]
    fill = style["color"] if first else "none"
    rate = 100 * entry.found.rate
    label: str | None = plain(entry.net)
    if entry.errors == "keep":
        label = f"{label}, old value kept"
        style |= {"markersize": 11, "alpha": 0.6}
    if label in ax.get_legend_handles_labels()[1]:
        label = None
    ax.plot(rate, entry.energy_pj, label=label, linestyle="none", markerfacecolor=fill, **style)
    if entry.found.low is not None and entry.found.high is not None:
        ends = (100 * entry.found.low, 100 * entry.found.high)
        ax.plot(ends, [entry.energy_pj] * 2, color=style["color"], linewidth=1)


_WAY_COLOURS = dict(zip(SCHEMES, COLOURS, strict=False))


def _tradeoff(summary: Summary) -> Any:
    """Accuracy over write energy, one panel for each net: schemes are lines, plans are stars."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    nets = list(dict.fromkeys(line.net for line in summary.tradeoffs if line.spots))
    columns = min(3, len(nets))
    rows = -(-len(nets) // columns)
    figure = Figure(figsize=(max(7.5, 4.6 * columns), 3.9 * rows + 1.2), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for ax, net in zip(axes, nets, strict=False):
        stars = 0
        for line in summary.tradeoffs:
            if line.net != net or not line.spots:
                continue
            x = [spot.energy_pj for spot in line.spots]
            y = [100 * spot.accuracy.value for spot in line.spots]
            kind = "bit flipped" if line.errors == "flip" else "old value kept"
            if line.is_plan:
                half = [100 * (spot.accuracy.half_width or 0.0) for spot in line.spots]
                ax.errorbar(
                    x, y, half, fmt="*", color=COLOURS[-1 - stars % len(COLOURS)], markersize=13,
                    zorder=3, markeredgecolor="black", capsize=3,
                    label=plain(f"plan: {line.way}, {kind}"),
                )  # fmt: skip
                stars += 1
                continue
            ax.plot(
                x, y, _LINES[line.errors], color=_WAY_COLOURS.get(line.way, "#777777"),
                marker=".", linewidth=1.2, label=plain(f"{line.way}, {kind}"),
            )  # fmt: skip
        if net in summary.error_free:
            ax.axhline(100 * summary.error_free[net], color="#555555", linewidth=0.8, linestyle=":")
        ax.set(xscale="log", title=plain(net), xlabel="write energy of a feature-map bit (pJ)")
        ax.set_ylabel("test accuracy (%)")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(_tick))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.grid(alpha=0.3)
    for ax in axes[len(nets) :]:
        ax.set_axis_off()
    _legend(
        figure,
        list(axes[: len(nets)]),
        "dotted: without errors",
        columns=2 if columns == 1 else columns + 1,
    )
    return figure


def save(figure: Any, stem: Path) -> Path:
    """Write ``<stem>.svg`` and ``<stem>.png``, always the same bytes; returns the SVG file."""
    import matplotlib as mpl

    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")  # as it is now, for both: that takes longest
    for kind in ("png", "svg"):
        buffer = io.BytesIO()
        # No date and fixed ids: the same results give the same bytes.
        with mpl.rc_context({"svg.hashsalt": stem.name}):
            metadata = {"Date": None} if kind == "svg" else {}
            figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
        write_atomically(stem.with_suffix(f".{kind}"), buffer.getvalue())
    return stem.with_suffix(".svg")
