"""Accuracy over write energy: one pulse, pulse plans and write schemes on one axis.

Energies are those of the feature maps, modelled: the counts of the points times what a scheme
costs. A saving is against a fixed pulse of the same cell at REFERENCE_RATE, for the same writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.analysis.statistics import Mean, degradation, mean_95
from mtjkit_host.campaign.points import ACCURACY
from mtjkit_host.campaign.records import Bits, Record
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.scheme import Scheme, Traffic
from mtjkit_host.mtj.schemes import doubts, parse_scheme
from mtjkit_host.plan.levers import with_reads
from mtjkit_host.runs.energy import RunEnergy

SCHEMES = ("fixed", "terminated", "word", "retry:4", "differential")
"""What is shown beside the fixed pulse."""


@dataclass(frozen=True)
class Spot:
    """One way to write at one error rate."""

    rate: float
    """Mean error rate of the written bits that was asked for."""
    energy_pj: float
    """Mean energy of a written bit, pJ."""
    saving_percent: float
    """Saved against a fixed pulse of the cell at REFERENCE_RATE."""
    accuracy: Mean
    """Over the repeats."""
    lost: Mean
    """Share of the error-free accuracy of the net as it was trained."""
    toggle_share: float
    """Share of the written bits that toggled."""
    near_chance: bool
    """Whether the accuracy is at most 1.5 times guessing, so that the saving is worth nothing."""


@dataclass(frozen=True)
class Tradeoff:
    """One line of the figure: a net, a kind of error and a way to write."""

    net: str
    """Label of the net; of a plan that of the net as it was trained, if it is in the campaign."""
    way: str
    """The scheme, or the plan's label."""
    errors: str
    """``flip`` or ``keep``."""
    cell: str
    """The cell in a few words."""
    population: str
    """Which cells are meant."""
    scheme: str
    """The scheme."""
    overheads: str
    """Its circuits' costs, assumed ones too."""
    is_plan: bool
    """A plan has one spot, a scheme one for each rate."""
    spots: tuple[Spot, ...]
    """By ascending rate."""


def tradeoffs(result: CampaignResult, cell: Cell, scheme: str = "fixed") -> tuple[Tradeoff, ...]:
    """All lines of a campaign.

    Args:
        result: of `run_campaign`.
        cell: the MTJ cell; plans have their own.
        scheme: one more scheme to show.
    """
    error_free = {
        r.point.net: r.accuracy
        for r in result.records
        if r.point.kind == ACCURACY and r.point.memory == "none" and r.accuracy
    }
    groups: dict[tuple[str, str], dict[float, list[Record]]] = {}
    for record in result.records:
        point = record.point
        if point.kind == ACCURACY and point.memory == "feature_maps" and point.net in error_free:
            its = groups.setdefault((point.net, point.errors), {})
            its.setdefault(point.rate, []).append(record)
    classes = {label: int(net.get("outcomes", 10)) for label, net in result.nets.items()}
    lines = []
    for (net, errors), levels in groups.items():
        chance = 1 / classes.get(net, 10)
        if net in result.plans:
            trained = _trained(result, net)
            of = error_free.get(trained, error_free[net])
            lines.append(_of_plan(result, net, trained, levels, of, chance))
            continue
        for name in dict.fromkeys((scheme, *SCHEMES)):
            way = parse_scheme(name)
            if not (way.reads_first and errors == "flip") and not doubts(cell, way):
                line = _of_scheme(net, errors, levels, cell, way, error_free[net], chance)
                lines += [line] if line.spots else []
    if result.campaign.chips:
        on = f"chips of {Path(result.campaign.chips).name}"
        lines = [replace(line, population=f"{line.population}; {on}") for line in lines]
    if result.campaign.cells_before == "random":
        lines = [line if line.is_plan else _over_random_bits(line) for line in lines]
    return tuple(lines)


def _trained(result: CampaignResult, net: str) -> str:
    """Label of the net that a plan's loss counts from; its own where that is not there."""
    wanted = result.nets[net]["plan"]["trained_sha256"]
    found = (
        label
        for label, values in result.nets.items()
        if values["sha256"] == wanted and label not in result.plans
    )
    return next(found, net)


def _of_plan(
    result: CampaignResult,
    net: str,
    trained: str,
    levels: dict[float, list[Record]],
    error_free: float,
    chance: float,
) -> Tradeoff:
    plan = result.plans[net]
    rate, rows = next(iter(levels.items()))
    counts = _counts(rows)
    reused = rows[0].point.cells_before == "random"
    energy = RunEnergy.of_plan(plan, result.nets[net]["layer_map_bits"], counts, reused)
    calibrated = plan.trained_sha256 not in ("", plan.sha256)
    line = Tradeoff(
        net=trained,
        way=f"{net}{', calibrated' if calibrated else ''}",
        errors=plan.errors,
        cell=plan.cell.describe(),
        population=plan.cell.population,
        scheme=plan.scheme,
        overheads=energy.scheme.overheads(plan.cell.circuit),
        is_plan=True,
        spots=_spots(rate, energy, rows, error_free, chance),
    )
    return _over_random_bits(line) if reused else line


def _over_random_bits(line: Tradeoff) -> Tradeoff:
    return replace(line, population=f"{line.population}; random bits before an image")


def _of_scheme(
    net: str,
    errors: str,
    levels: dict[float, list[Record]],
    cell: Cell,
    scheme: Scheme,
    error_free: float,
    chance: float,
) -> Tradeoff:
    stated, assumed = with_reads(cell, scheme)
    spots: list[Spot] = []
    for rate, rows in sorted(levels.items()):
        counts = _counts(rows)
        written, toggled, _, ones, up = counts
        try:
            traffic = Traffic.of_run(written, ones, toggled - up, up)
            pulses = scheme.pulses_for(stated, rate, traffic)
            energy = RunEnergy(stated, scheme, pulses, counts)
            spots += _spots(rate, energy, rows, error_free, chance)
        except ConfigError:  # no pulse of this scheme leaves the rate
            continue
    return Tradeoff(
        net=net,
        way=scheme.name,
        errors=errors,
        cell=cell.describe(),
        population=stated.population,
        scheme=scheme.name,
        overheads=assumed or scheme.overheads(cell.circuit),
        is_plan=False,
        spots=tuple(spots),
    )


def _spots(
    rate: float, energy: RunEnergy, rows: Sequence[Record], error_free: float, chance: float
) -> tuple[Spot, ...]:
    if energy.per_bit_pj is None or energy.saving_percent is None:
        return ()
    values = [row.accuracy for row in rows if row.accuracy is not None]
    accuracy = mean_95(values)
    return (
        Spot(
            rate,
            energy.per_bit_pj,
            energy.saving_percent,
            accuracy,
            mean_95([degradation(value, error_free) for value in values]),
            energy.traffic.toggle_share,
            accuracy.value <= 1.5 * chance,
        ),
    )


def _counts(rows: Sequence[Record]) -> tuple[int, ...]:
    """Bits of all repeats; of old files half of the written bits are ones, half toggle up."""

    def of(bits: Bits) -> tuple[int, ...]:
        toggled = bits.written // 2 if bits.toggled is None else bits.toggled
        up = toggled // 2 if bits.up_toggled is None else bits.up_toggled
        ones = bits.written // 2 if bits.ones_written is None else bits.ones_written
        return bits.written, toggled, bits.wrong, ones, up

    return tuple(map(sum, zip(*(of(row.bits) for row in rows), strict=True)))
