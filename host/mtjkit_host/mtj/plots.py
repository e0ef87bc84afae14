"""Figures of cells: the paper's Fig. 10 under several models, energy over rate for every scheme."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_export.files import write_atomically

from mtjkit_host.figures import own_settings, plain
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.fit import Point, TailFit
from mtjkit_host.mtj.joint_fit import JointFit
from mtjkit_host.mtj.scheme import Traffic
from mtjkit_host.mtj.schemes import SCHEMES, parse_scheme, reference_write
from mtjkit_host.mtj.switching import Tail

# Okabe and Ito's palette; line styles tell without colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_RATES = np.logspace(-8, np.log10(0.3), 60)
_RATE = "write-error rate left (%)"


def draw_models(cells: Sequence[Cell], traffic: Traffic, stem: Path) -> Path:
    """Energy over error rate, over that of the rate 1e-8, one line a cell, fixed pulses.

    Args:
        cells: at least one.
        traffic: what is written.
        stem: file without its ending.

    Returns:
        The SVG file; a PNG file stands beside it.

    Raises:
        ConfigError: matplotlib is missing, or a file cannot be written.
    """
    with own_settings():
        figure, ax = _axes()
        for n, cell in enumerate(cells):
            reference = reference_write(cell, traffic)[1].per_bit_pj(traffic)
            shares = [_energy(cell, "fixed", float(rate), traffic) / reference for rate in _RATES]
            ax.plot(100 * _RATES, 100 * np.array(shares), label=plain(cell.name), **_style(n))
        ax.set_ylabel("energy over the conventional write's (%)")
        ax.set_ylim(0, 105)
        ax.set_title(f"fixed pulse; conventional: rate {REFERENCE_RATE:g}", fontsize=10)
        ax.axvline(2.4, color="#888888", linewidth=0.8)
        ax.annotate("2.4 %", (2.4, 102), fontsize=8, ha="left", va="top", color="#555555")
        _legend(figure, ax)
        return _save(figure, stem)


def draw_schemes(cell: Cell, traffic: Traffic, stem: Path) -> Path:
    """Energy a bit over the error rate left, one line a scheme; see `draw_models`."""
    with own_settings():
        figure, ax = _axes()
        for n, name in enumerate(SCHEMES):
            if cell.symmetric and name == "directions":
                continue  # the same as fixed
            rates, energies = [], []
            for rate in _RATES[::3]:
                try:
                    energies.append(_energy(cell, name, float(rate), traffic))
                except ConfigError:
                    continue
                rates.append(100 * rate)
            ax.plot(rates, energies, label=name, **_style(n))
        unit = "pJ" if cell.has_power else "ns of pulse: the cell states no power"
        ax.set_ylabel(f"write energy of a bit ({unit})")
        ax.set_yscale("log")
        ax.set_title(
            f"{plain(cell.name)}; {traffic.toggle_share:g} of the bits toggle, words of "
            f"{traffic.word_bits}; overheads: {_overheads(cell)}",
            fontsize=10,
        )
        _legend(figure, ax)
        return _save(figure, stem)


def draw_fits(fits: dict[str, TailFit], stem: Path) -> Path:
    """Measured failures and the tails through them, by name; see `draw_models`."""
    with own_settings():
        figure, ax = _pulse_axes()
        for n, (name, fit) in enumerate(fits.items()):
            colour = _COLOURS[n % len(_COLOURS)]
            _draw_points(ax, fit.points, colour)
            times = np.linspace(0, max(p.pulse_ns for p in fit.points) * 1.05, 200)
            tail = Tail(fit.tau_ns, fit.amplitude)
            label = f"{name}: tau {fit.tau_ns:.4g} ns, A {fit.amplitude:.3g}"
            rates = np.exp(tail.log_rates(times))
            ax.plot(times, rates, color=colour, label=label)
        _legend(figure, ax)
        return _save(figure, stem)


def draw_joint_fit(fit: JointFit, stem: Path) -> Path:
    """Measured failures, and the macrospin through all of them; see `draw_models`."""
    with own_settings():
        figure, ax = _pulse_axes()
        least = 1.0
        for n, one in enumerate(fit.series):
            colour = _COLOURS[n % len(_COLOURS)]
            _draw_points(ax, one.points, colour)
            times = np.linspace(0, one.times.max() * 1.05, 200)
            model = fit.model(one.direction, one.current_ua)
            i = one.current_ua / fit.ic0_ua[one.direction]
            ax.plot(
                times,
                np.exp(model.log_rates(times)),
                label=f"{one.direction}, {one.current_ua:g} uA (i = {i:.3g})",
                **_style(n),
            )
            least = min([least, *(max(p.failed, 0.5) / p.trials for p in one.points)])
        ax.set_ylim(least / 3, 1.5)
        ax.set_title(
            f"one macrospin: delta {fit.delta:.4g}, t_d {fit.t_d_ns:.4g} ns; "
            f"deviance {fit.deviance:.4g} at {fit.degrees} degrees of freedom",
            fontsize=10,
        )
        _legend(figure, ax)
        return _save(figure, stem)


def _draw_points(ax: Any, points: Sequence[Point], colour: str) -> None:
    """Measured shares of failures with their 95 % bars, those that failed at all."""
    seen = [p for p in points if p.failed]
    share = np.array([p.failed / p.trials for p in seen])
    error = np.sqrt(share * (1 - share) / np.array([p.trials for p in seen]))
    ax.errorbar(
        [p.pulse_ns for p in seen],
        share,
        yerr=np.minimum(1.96 * error, 0.99 * share),
        fmt="o",
        markersize=4,
        color=colour,
    )


def _energy(cell: Cell, name: str, rate: float, traffic: Traffic) -> float:
    scheme = parse_scheme(name)
    pulses = scheme.pulses_for(cell, rate, traffic)
    return scheme.write(cell, pulses, traffic).per_bit_pj(traffic)


def _overheads(cell: Cell) -> str:
    costs = [f"{name} {value:g}" for name, value in asdict(cell.circuit).items() if value]
    return ", ".join(costs) or "none"


def _style(n: int) -> dict[str, Any]:
    return {"color": _COLOURS[n % len(_COLOURS)], "linestyle": _DASHES[n // len(_COLOURS) % 4]}


def _axes() -> tuple[Any, Any]:
    """A figure and its axes over the error rate. No pyplot: nothing global, no window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    ax = figure.subplots()
    ax.grid(alpha=0.3)
    ax.set_xscale("log")
    ax.set_xlabel(_RATE)
    return figure, ax


def _pulse_axes() -> tuple[Any, Any]:
    figure, ax = _axes()
    ax.set_xscale("linear")
    ax.set_xlabel("pulse width (ns)")
    ax.set_ylabel("write-error rate")
    ax.set_yscale("log")
    return figure, ax


def _legend(figure: Any, ax: Any) -> None:
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)


def _save(figure: Any, stem: Path) -> Path:
    import matplotlib as mpl

    for kind in ("png", "svg"):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": stem.name}):
            metadata = {"Date": None} if kind == "svg" else {}
            figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
        write_atomically(stem.with_name(f"{stem.name}.{kind}"), buffer.getvalue())
    return stem.with_name(f"{stem.name}.svg")
