"""From a campaign's records to the numbers of the paper's figures and tables."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from mtjkit_host import paper
from mtjkit_host.analysis.statistics import (
    AcceptableRate,
    Mean,
    acceptable_rate,
    degradation,
    mean_95,
)
from mtjkit_host.analysis.tradeoff import Tradeoff, tradeoffs
from mtjkit_host.campaign.description import place_of
from mtjkit_host.campaign.points import ACCURACY, RRMSE
from mtjkit_host.campaign.records import Record
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.scheme import Scheme, Traffic
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.mtj.schemes import saving_percent as saving_of


@dataclass(frozen=True)
class Level:
    """What was measured at one error rate."""

    rate: float
    """Requested error rate of each written bit."""
    achieved: float
    """Share of the written bits that ended up wrong, mean over the repeats. With ``keep`` it is
    lower than requested: a bit that did not need to change cannot be wrong."""
    value: Mean
    """Accuracy or RRMSE."""
    values: tuple[float, ...]
    """Of each repeat."""
    by_layer: tuple[float | None, ...] = ()
    """RRMSE's share of each layer, sqrt(var(delta_l) / var(x_l)), mean over the repeats."""


@dataclass(frozen=True)
class Curve:
    """One line of Figs. 7, 8 or 9."""

    net: str
    """Label."""
    memory: str
    """``weights`` or ``feature_maps``."""
    errors: str
    """``flip`` or ``keep``."""
    levels: tuple[Level, ...]
    """By ascending rate."""


@dataclass(frozen=True)
class Acceptable:
    """One cell of Table 2: an acceptable rate, and the write energy there."""

    net: str
    """Label."""
    memory: str
    """``weights`` or ``feature_maps``; of one layer alone ``weights.0`` and the like."""
    errors: str
    """``flip`` or ``keep``."""
    found: AcceptableRate
    """The rate and its interval."""
    energy_pj: float | None
    """Modelled write energy of one bit at the rate, pJ."""
    saving_percent: float | None
    """Modelled saving against the reference rate 1e-8, percent."""
    paper: paper.Row | None
    """What the paper has: feature maps and ``flip`` only."""

    @property
    def interval(self) -> str:
        """The rate in percent with its interval, or the bound that is known."""
        found = self.found
        if found.rate is None:
            return f"{found.bound[0]} {100 * found.edge:g}"
        if found.low is None and found.high is None:
            return f"{100 * found.rate:.3g}"
        low, high = ("…" if v is None else f"{100 * v:.3g}" for v in (found.low, found.high))
        return f"{100 * found.rate:.3g} [{low}, {high}]"


@dataclass(frozen=True)
class Summary:
    """Everything that plots and report show."""

    error_free: dict[str, float]
    """Label -> accuracy without errors, on the campaign's images."""
    accuracy: tuple[Curve, ...]
    """Fig. 7."""
    rrmse: tuple[Curve, ...]
    """Fig. 9."""
    acceptable: tuple[Acceptable, ...]
    """Table 2, and the same for the weights."""
    by_layer: tuple[Acceptable, ...] = ()
    """The same for errors in one layer's part of a memory."""
    tradeoffs: tuple[Tradeoff, ...] = ()
    """Accuracy over write energy: one pulse, plans, schemes."""

    def to_json(self) -> dict[str, Any]:
        """Return it all as JSON values, unrounded."""
        return asdict(self)

    def degradations(self, curve: Curve) -> list[Mean]:
        """Return the degradation rates of an accuracy curve: Fig. 8."""
        error_free = self.error_free[curve.net]
        return [
            mean_95([degradation(value, error_free) for value in level.values])
            for level in curve.levels
        ]


def summarize(result: CampaignResult, cell: Cell | None = None, scheme: str = "fixed") -> Summary:
    """Evaluate a campaign's records, as many as there are.

    Args:
        result: of `run_campaign`.
        cell: the MTJ cell that energies are of; default the paper's.
        scheme: the write scheme that energies of acceptable rates are of.
    """
    cell = cell or Cell()
    way = parse_scheme(scheme)
    error_free: dict[str, float] = {}
    groups: dict[str, dict[tuple[str, str, str], dict[float, list[Record]]]] = {
        kind: defaultdict(lambda: defaultdict(list)) for kind in (ACCURACY, RRMSE)
    }
    for record in result.records:
        point, value = record.point, record.value
        if value is None or point.plan_sha256:
            continue
        if point.memory == "none":
            error_free[point.net] = value
        else:
            key = (point.net, point.memory, point.errors)
            groups[point.kind][key][point.rate].append(record)
    curves = {
        kind: tuple(
            Curve(*key, tuple(_level(rate, rows, kind) for rate, rows in sorted(levels.items())))
            for key, levels in grouped.items()
        )
        for kind, grouped in groups.items()
    }
    papers = {entry.label: entry.paper for entry in result.campaign.nets}
    acceptable = [
        _acceptable(curve, error_free[curve.net], limit, papers.get(curve.net, ""), cell, way)
        for curve in curves[ACCURACY]
        if error_free.get(curve.net)
        for limit in paper.DEGRADATIONS
    ]
    return Summary(
        error_free,
        tuple(curve for curve in curves[ACCURACY] if _is_whole(curve)),
        curves[RRMSE],
        tuple(entry for entry in acceptable if _is_whole(entry)),
        tuple(entry for entry in acceptable if not _is_whole(entry)),
        tradeoffs(result, cell, scheme) if cell.has_power else (),
    )


def _is_whole(found: Curve | Acceptable) -> bool:
    """Whether its errors are in all layers of a memory."""
    return place_of(found.memory)[1] is None


def _level(rate: float, rows: list[Record], kind: str) -> Level:
    values = tuple(row.value for row in rows if row.value is not None)
    achieved = sum(row.achieved_rate for row in rows) / len(rows)
    by_layer: tuple[float | None, ...] = ()
    if kind == RRMSE:
        columns = zip(*(row.rrmse_by_layer for row in rows), strict=True)
        by_layer = tuple(None if None in column else sum(column) / len(rows) for column in columns)
    return Level(rate, achieved, mean_95(values), values, by_layer)


def _acceptable(
    curve: Curve, error_free: float, limit: float, paper_net: str, cell: Cell, scheme: Scheme
) -> Acceptable:
    found = acceptable_rate(
        [level.rate for level in curve.levels],
        [[degradation(value, error_free) for value in level.values] for level in curve.levels],
        limit,
    )
    energy = saving = None
    if found.rate is not None and not (scheme.reads_first and curve.errors == "flip"):
        traffic = Traffic.even()
        pulses = scheme.pulses_for(cell, found.rate, traffic)
        energy = scheme.write(cell, pulses, traffic).per_bit_pj(traffic)
        saving = saving_of(cell, scheme, pulses, traffic)
    row = None
    if curve.memory == "feature_maps" and curve.errors == "flip" and paper_net in paper.TABLE_2:
        row = paper.TABLE_2[paper_net][paper.DEGRADATIONS.index(limit)]
    return Acceptable(curve.net, curve.memory, curve.errors, found, energy, saving, row)
