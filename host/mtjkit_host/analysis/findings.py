"""The paper's findings, each held against our own numbers."""

from __future__ import annotations

from dataclasses import dataclass

from mtjkit_host import paper
from mtjkit_host.analysis.summary import Acceptable, Curve, Summary
from mtjkit_host.campaign.runner import CampaignResult

_BINARY = ("Binary", "Binary_x3")
_SMALL, _LARGE = paper.DEGRADATIONS
_ALIKE = 1.5
"""Rates whose quotient is at most this are taken as alike; in Table 2 it is 1.17."""


@dataclass(frozen=True)
class Finding:
    """One statement of the paper and what we found."""

    statement: str
    """The paper's."""
    holds: bool | None
    """None where the results cannot say."""
    evidence: str
    """Our numbers."""


def findings(result: CampaignResult, summary: Summary) -> list[Finding]:
    """Check the paper's five findings, on bits flipped and on nets that stand for the paper's."""
    papers = {entry.label: entry.paper for entry in result.campaign.nets if entry.paper}
    rates = {
        (entry.net, entry.memory, entry.found.limit): entry
        for entry in summary.acceptable
        if entry.errors == "flip" and entry.net in papers
    }
    return [
        _maps_tolerate_more(rates),
        _alike_at_small_rates(rates),
        _binary_tolerates_most(rates, papers),
        _binary_rrmse_grows_slowest(summary, papers),
        _eighty_percent(rates),
    ]


_Rates = dict[tuple[str, str, float], Acceptable]


def _maps_tolerate_more(rates: _Rates) -> Finding:
    statement = "Feature maps tolerate more errors than weights (Fig. 7)."
    pairs = []
    for (net, memory, limit), entry in rates.items():
        other = rates.get((net, "weights", limit))
        if memory == "feature_maps" and limit == _LARGE and other:
            a, b = entry.found.rate, other.found.rate
            if a is not None and b is not None:
                pairs.append((net, a, b))
    text = [f"{net} {_percent(a)} against {_percent(b)}" for net, a, b in pairs]
    holds = all(a > b for _, a, b in pairs) if pairs else None
    return Finding(statement, holds, _evidence("Acceptable at 30 % degradation", text))


def _alike_at_small_rates(rates: _Rates) -> Finding:
    statement = "At small error rates all nets degrade alike (Fig. 8)."
    text: list[str] = []
    verdicts: list[bool | None] = []
    for memory in ("weights", "feature_maps"):
        found = {
            net: entry.found for (net, *place), entry in rates.items() if place == [memory, _SMALL]
        }
        if len(found) > 1:
            edges = [rate.edge for rate in found.values()]
            apart = max(edges) > _ALIKE * min(edges)  # the more so beyond a bound
            unknown = any(rate.bound for rate in found.values())
            verdicts.append(False if apart else None if unknown else True)
            values = ", ".join(
                f"{net} {rate.bound[:1]}{_percent(rate.edge)}" for net, rate in found.items()
            )
            text.append(f"{memory.replace('_', ' ')}: {values}")
    holds = False if False in verdicts else None if None in verdicts or not verdicts else True
    what = f"Acceptable at 3 % degradation, taken as alike within a factor of {_ALIKE:g}"
    return Finding(statement, holds, _evidence(what, text))


def _binary_tolerates_most(rates: _Rates, papers: dict[str, str]) -> Finding:
    statement = "At large error rates binary degrades least, in both memories (Fig. 8)."
    text, verdicts = [], []
    for memory in ("weights", "feature_maps"):
        found = _found(rates, memory, _LARGE)
        binary = [rate for net, rate in found.items() if papers[net] in _BINARY]
        fixed = [rate for net, rate in found.items() if papers[net].startswith("Fxp")]
        if binary and fixed:
            verdicts.append(max(binary) > max(fixed))
            text.append(
                f"{memory.replace('_', ' ')}: binary up to {_percent(max(binary))}, "
                f"fixed point up to {_percent(max(fixed))}"
            )
    holds = all(verdicts) if verdicts else None
    return Finding(statement, holds, _evidence("Acceptable at 30 % degradation", text))


def _binary_rrmse_grows_slowest(summary: Summary, papers: dict[str, str]) -> Finding:
    statement = "RRMSE grows slowest with the error rate in binary nets (Fig. 9)."
    text, verdicts = [], []
    for memory in ("weights", "feature_maps"):
        growth = {
            curve.net: _growth(curve)
            for curve in summary.rrmse
            if curve.net in papers
            and curve.memory == memory
            and curve.errors == "flip"
            and len(curve.levels) > 1
        }
        binary = [value for net, value in growth.items() if papers[net] in _BINARY]
        fixed = [value for net, value in growth.items() if papers[net].startswith("Fxp")]
        if binary and fixed:
            verdicts.append(max(binary) < min(fixed))
            values = ", ".join(f"{net} {value:.3g}" for net, value in growth.items())
            text.append(f"{memory.replace('_', ' ')}: {values}")
    holds = all(verdicts) if verdicts else None
    return Finding(statement, holds, _evidence("RRMSE at the highest rate / at the lowest", text))


def _eighty_percent(rates: _Rates) -> Finding:
    statement = "About 80 % of the write energy is saved at 3 % degradation (Table 2)."
    found = {
        net: entry.saving_percent
        for (net, memory, limit), entry in rates.items()
        if memory == "feature_maps" and limit == _SMALL and entry.saving_percent is not None
    }
    text = [f"{net} {value:.1f} %" for net, value in found.items()]
    holds = all(abs(value - 80) <= 2.5 for value in found.values()) if found else None
    return Finding(statement, holds, _evidence("Modelled saving, taken as 80 ± 2.5 %", text))


def _found(rates: _Rates, memory: str, limit: float) -> dict[str, float]:
    """Net -> its acceptable error rate in a memory, where one was found."""
    return {
        net: entry.found.rate
        for (net, *place), entry in rates.items()
        if place == [memory, limit] and entry.found.rate is not None
    }


def _growth(curve: Curve) -> float:
    first, last = curve.levels[0].value.value, curve.levels[-1].value.value
    return last / first if first else float("inf")


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"


def _evidence(what: str, parts: list[str]) -> str:
    return f"{what}: {'; '.join(parts)}." if parts else "Not measured."
