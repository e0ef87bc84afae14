"""What else would save write energy than a plan's pulses: each lever alone, in one table.

A lever keeps the error rates of the plan, so the accuracy stays, and changes how the cells are
written, or the cells. Calibration keeps the accepted loss instead. Nothing here is in the plan's
file. What a lever assumes stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import KEEP
from rich.table import Table

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.fokker_planck import FokkerPlanck
from mtjkit_host.mtj.macrospin import retention_delta, time_unit_ns
from mtjkit_host.mtj.scheme import Pulses, Scheme
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.plan.memory import PlannedMemory, Rates
from mtjkit_host.plan.search import Found, Search
from mtjkit_host.runs.energy import RunEnergy

READ_PJ = 0.1
"""Energy of reading one bit where the cell states none. It is an assumption: the lowest that is
published is 0.21 pJ, and no read is free."""
HOLD_MS = 1.0
"""How long a feature map lives where the cell says nothing."""
LOST = 1e-6
"""Bits that may be lost in that time: seldom beside any write-error rate of a plan."""

_SCHEMES = (
    "fixed", "directions", "terminated", "word", "retry:4", "differential", "flip-n-write",
)  # fmt: skip
_DELTA = 60.0  # barrier of a cell that states none, kT
_ALPHA, _ANISOTROPY_T = 0.01, 0.3  # its damping and mu0 Hk
_CURRENTS = tuple(np.arange(0.9, 2.65, 0.1).tolist())  # write current / critical current
_CELLS = 100  # of the Fokker-Planck chains here: widths are good to half a percent


@dataclass(frozen=True)
class Lever:
    """One way to save energy beside the plan."""

    name: str
    """What is changed."""
    saving_percent: float
    """Write energy saved with it, against a fixed pulse of the same cell at REFERENCE_RATE."""
    note: str
    """What it assumes, and what it costs."""


def levers(search: Search, found: Found, limit: float) -> Table:
    """The levers of a plan that has been found, the best first.

    Args:
        search: the search that found it.
        found: the plan.
        limit: the accepted loss.
    """
    rows = [
        Lever("this plan", found.saving_percent, f"scheme {search.memory.scheme.name}"),
        Lever("one pulse for all layers", found.single_saving_percent, "the loss is kept"),
        *_calibration(search, limit),
        *_schemes(search, found),
        *polarity(search, found),
        *_macrospin(search, found),
    ]
    table = Table("lever", "saved", "energy", "note", title=f"{search.model.name}: levers")
    left = 100 - found.saving_percent
    for row in sorted(rows, key=lambda row: -row.saving_percent):
        table.add_row(
            row.name,
            f"{row.saving_percent:.1f} %",
            f"{(100 - row.saving_percent) / left:.2f} x",
            row.note,
        )
    cell, toggle = search.memory.cell, 100 * search.memory.traffic.toggle_share
    table.caption = (
        f"saved: against a fixed pulse of {cell.describe()}, {cell.population}, at "
        f"{REFERENCE_RATE:g}. "
        f"energy: of this plan's. {toggle:.1f} % of the bits toggle. "
        "Each lever alone, circuits cost what the cell states."
    )
    return table


def _calibration(search: Search, limit: float) -> Iterable[Lever]:
    """The best single pulse with or without calibration, the other way than the plan."""
    other = search.calibrated_or_not(not search.calibrated)
    saving = search.memory.saving_percent(other.single(limit))
    how = "set for the errors" if other.calibrated else "as they were trained"
    yield Lever(f"one pulse, thresholds {how}", saving, "the loss is kept, measured")


def _energies(memory: PlannedMemory, found: Found) -> Iterable[tuple[Scheme, RunEnergy, str]]:
    """The same rates with each scheme that reaches them, and a word on what is assumed."""
    for name in dict.fromkeys((memory.scheme.name, *_SCHEMES)):
        scheme = parse_scheme(name)
        if scheme.reads_first and memory.base.kind != KEEP:
            continue
        cell, assumed = with_reads(memory.cell, scheme)
        try:
            yield scheme, energy_of(memory, found, cell, scheme), assumed
        except ConfigError:
            continue


def _schemes(search: Search, found: Found) -> Iterable[Lever]:
    """The same rates with other schemes."""
    for scheme, energy, assumed in _energies(search.memory, found):
        if scheme.name == search.memory.scheme.name:
            continue
        if energy.saving_percent is None or found.saving_percent > energy.saving_percent > 0:
            continue  # not a lever here
        notes = [assumed or f"overheads: {scheme.overheads(search.memory.cell.circuit)}"]
        if scheme.name == "differential" and energy.cell.has_power and not energy.reused:
            reference = energy.reference_per_bit_pj or 1.0
            paid, steady = (
                f"{100 * (1 - (pj or 0.0) / reference):.1f} %"
                for pj in (energy.with_erasing_pj, energy.steady_pj)
            )
            notes.append(f"erasing paid {paid}, steady reuse {steady}")
        yield Lever(f"scheme {scheme.name}", energy.saving_percent, "; ".join(notes))


def polarity(search: Search, found: Found) -> Iterable[Lever]:
    """Channels that are mostly 1 stored with the other sign, under the scheme that gains most."""
    other = search.with_fewer_ones()
    energies = _energies(search.memory, found)
    before = {scheme.name: energy.saving_percent or 0.0 for scheme, energy, _ in energies}
    gains = [
        (saved - before[scheme.name], saved, scheme.name, assumed)
        for scheme, energy, assumed in _energies(other, found)
        if scheme.name in before
        for saved in [energy.saving_percent or 0.0]
    ]
    gain, saved, name, assumed = max(gains)
    if gain > 0.05 and saved > found.saving_percent:
        shares = [100 * one.traffic.toggle_share for one in (search.memory, other)]
        notes = [f"export --polarity: {shares[0]:.1f} -> {shares[1]:.1f} % of the bits toggle"]
        notes += [f"{before[name]:.1f} % without it", *([assumed] if assumed else [])]
        yield Lever(f"fewer ones, scheme {name}", saved, "; ".join(notes))


def with_reads(cell: Cell, scheme: Scheme) -> tuple[Cell, str]:
    """The cell with READ_PJ where a scheme reads and the cell states no cost; and a word on it."""
    if "read_pj" not in scheme.uses or cell.circuit.read_pj:
        return cell, ""
    reads = replace(cell, circuit=replace(cell.circuit, read_pj=READ_PJ))
    return reads, f"{READ_PJ:g} pJ a read, assumed"


def energy_of(memory: PlannedMemory, found: Found, cell: Cell, scheme: Scheme) -> RunEnergy:
    """The energy of a plan's error rates with another cell or scheme.

    Raises:
        ConfigError: a rate cannot be reached.
    """
    pulses = [scheme.pulses_for(cell, rate, memory.traffic) for rate in found.rates]
    longest = Pulses(max(p.down_ns for p in pulses), max(p.up_ns for p in pulses))
    shares = (memory.bits / memory.bits.sum()).tolist()
    layers = zip(shares, pulses, memory.by_layer, strict=True)
    some = tuple(one for one in layers if one[0])
    return RunEnergy(cell, scheme, longest, memory.counts, some, memory.reused)


def _macrospin(search: Search, found: Found) -> Iterable[Lever]:
    """Current and barrier, for a cell that is a macrospin, or for one of the same slope."""
    memory = search.memory
    switching = memory.cell.up.switching
    if isinstance(switching, FokkerPlanck):
        chain, what = replace(switching, cells=_CELLS), "the cell's own macrospin"
    else:
        chain, what = _same_slope(memory.cell)
    rates, bits = np.array(found.rates), memory.bits / memory.bits.sum()
    here = _power_time(chain, rates, bits)

    def saving(energy: float) -> float:
        return 100 - (100 - found.saving_percent) * energy / here

    best, least = best_current(chain, rates, bits)
    one, full = np.array([REFERENCE_RATE]), np.ones(1)
    _, reference = best_current(chain, one, full)
    yield Lever(
        f"current of {best:.2f} Ic0",
        saving(least),
        f"{what}, now {chain.i:.2f} Ic0, fixed resistance; against a baseline with its own best "
        f"current {100 * (1 - least / reference):.1f} %",
    )
    hold = memory.cell.retention.hold_ms if memory.cell.retention else HOLD_MS
    low = retention_delta(LOST, chain.t_d_ns, hold * 1e6)
    if low < chain.delta:
        weak = replace(chain, delta=low)
        short, full_pulse = (_power_time(weak, r, b) for r, b in ((rates, bits), (one, full)))
        yield Lever(
            f"Delta {low:.0f} for {chain.delta:.0f}",
            saving(low / chain.delta * short),
            f"{what}; maps live {hold:g} ms and lose {LOST:g} of their bits, power as Delta; "
            f"against a baseline of that Delta {100 * (1 - short / full_pulse):.1f} %",
        )


def _same_slope(cell: Cell) -> tuple[FokkerPlanck, str]:
    """A macrospin whose error rate falls as steeply as the cell's between 1e-4 and 1e-6."""
    t_d = time_unit_ns(_ALPHA, _ANISOTROPY_T)
    widths = [cell.up.switching.pulse_width_ns(rate) for rate in (1e-4, 1e-6)]
    tau = (widths[1] - widths[0]) / np.log(100)
    low, high = 0.6, 4.0
    for _ in range(12):
        middle = (low + high) / 2
        slower = FokkerPlanck(_DELTA, middle, t_d, _CELLS).tail()[0] * t_d > tau
        low, high = (middle, high) if slower else (low, middle)
    chain = FokkerPlanck(_DELTA, (low + high) / 2, t_d, _CELLS)
    return chain, f"a macrospin of the same slope, Delta {_DELTA:g}"


def _power_time(chain: FokkerPlanck, rates: Rates, bits: Rates) -> float:
    """Energy of a bit, the mean over layers, in units of Ic0^2 R x 1 ns."""
    widths = np.array([chain.pulse_width_ns(float(rate)) for rate in rates])
    return chain.i**2 * float(widths @ bits)


def best_current(chain: FokkerPlanck, rates: Rates, bits: Rates) -> tuple[float, float]:
    """The current that costs least at a fixed resistance, one for all layers.

    Args:
        chain: the cell; its own current does not count.
        rates: error rates by layer, (layers,).
        bits: shares of the written bits, (layers,).

    Returns:
        The current, in Ic0, on a grid; and the energy of a bit in units of Ic0^2 R x 1 ns.
    """
    found = [(_power_time(replace(chain, i=i), rates, bits), i) for i in _CURRENTS]
    least, i = min(found)
    return i, least
