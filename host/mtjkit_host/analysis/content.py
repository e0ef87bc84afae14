"""The numbers that a report's program shows: measured curves, acceptable rates, cells.

The program computes with the cell alone, by Eq. 2 or by interpolation in `_table`; means,
intervals and acceptable rates come from `mtjkit_host.analysis.statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError

from mtjkit_host.analysis.statistics import AcceptableRate, acceptable_rates, degradation
from mtjkit_host.analysis.summary import Curve, Summary
from mtjkit_host.analysis.tradeoff import Tradeoff
from mtjkit_host.campaign.runner import CampaignResult
from mtjkit_host.mtj.cell import PAPER, REFERENCE_RATE, Cell
from mtjkit_host.mtj.pulse_plan import LayerPulses
from mtjkit_host.mtj.scheme import Traffic
from mtjkit_host.mtj.schemes import parse_scheme, reference_write
from mtjkit_host.mtj.switching import Tail

LIMITS = tuple(step / 200 for step in range(1, 61))
"""Accepted losses that the page's slider has: 0.5 % to 30 % of the error-free accuracy."""
_RATES = 160
"""Error rates of a cell's table, even in the logarithm."""

_Values = tuple[tuple[float, ...], ...]


def content(result: CampaignResult, summary: Summary, cell: Cell, scheme: str) -> dict[str, Any]:
    """What the program gets, as JSON values.

    Args:
        result: of `run_campaign`, complete or not.
        summary: of the result.
        cell: the report's cell.
        scheme: the report's write scheme.
    """
    curves = [_curve(curve, summary) for curve in summary.accuracy]
    rates = sorted({level["rate"] for curve in curves for level in curve["levels"]})
    flat = _eq_2(cell)
    return {
        "name": result.campaign.name,
        "nets": [entry.label for entry in result.campaign.nets],
        "limits": LIMITS,
        "reference_rate": REFERENCE_RATE,
        "own": flat or PAPER,
        "table": None if flat and scheme == "fixed" else _table(cell, scheme, tuple(rates)),
        "curves": curves,
        "layers": [
            {
                "net": curve.net,
                "memory": curve.memory,
                "errors": curve.errors,
                "rate": level.rate,
                "by_layer": level.by_layer,
            }
            for curve in summary.rrmse
            for level in curve.levels
        ],
        "tradeoffs": [spot for line in summary.tradeoffs for spot in _spots(line)],
        "plans": [
            {"plan": label, "down": _widths(plan.layers, 0), "up": _widths(plan.layers, 1)}
            for label, plan in result.plans.items()
        ],
    }


def _curve(curve: Curve, summary: Summary) -> dict[str, Any]:
    error_free = summary.error_free.get(curve.net)
    accept: list[AcceptableRate] = []
    if error_free:
        lost = tuple(
            tuple(degradation(value, error_free) for value in level.values)
            for level in curve.levels
        )
        accept = _acceptable(tuple(level.rate for level in curve.levels), lost)
    return {
        "net": curve.net,
        "memory": curve.memory,
        "errors": curve.errors,
        "error_free": error_free,
        "levels": [
            {
                "rate": level.rate,
                "accuracy": level.value.value,
                "half": level.value.half_width,
                "repeats": level.value.n,
            }
            for level in curve.levels
        ],
        "accept": [[found.rate, found.low, found.high, found.bound] for found in accept],
    }


def _eq_2(cell: Cell) -> dict[str, float] | None:
    """The cell's numbers where it is one of Eq. 2: the same tail and power in both directions."""
    way = cell.up
    tail = way.switching
    if not (cell.symmetric and isinstance(tail, Tail) and tail.amplitude == 1):
        return None
    if way.current_ua is None or way.voltage_v is None or way.after_ua is not None:
        return None
    return {"tau_ns": tail.tau_ns, "current_ua": way.current_ua, "voltage_v": way.voltage_v}


@lru_cache(maxsize=256)
def _acceptable(rates: tuple[float, ...], lost: _Values) -> list[AcceptableRate]:
    """Acceptable rates of all LIMITS; kept, for a page that is made again as results come."""
    return acceptable_rates(rates, lost, LIMITS)


def _table(cell: Cell, scheme: str, measured: tuple[float, ...]) -> dict[str, Any]:
    """Pulse and energy of a bit over the error rate, where half of the bits toggle."""
    way, traffic = parse_scheme(scheme), Traffic.even()
    rows = []
    for rate in sorted({*np.geomspace(REFERENCE_RATE, 0.5, _RATES).tolist(), *measured}):
        try:
            pulses = way.pulses_for(cell, rate, traffic)
        except ConfigError:  # no pulse leaves this rate
            continue
        energy = way.write(cell, pulses, traffic).per_bit_pj(traffic)
        rows.append([rate, pulses.longest_ns, energy])
    return {
        "name": f"{cell.describe()}, scheme {scheme}",
        "rows": rows,
        "reference_pj": reference_write(cell, traffic)[1].per_bit_pj(traffic),
        "only_keep": way.reads_first,
    }


def _spots(line: Tradeoff) -> list[dict[str, Any]]:
    return [
        {
            "net": line.net,
            "way": f"plan {line.way}" if line.is_plan else line.way,
            "plan": line.is_plan,
            "errors": line.errors,
            "rate": spot.rate,
            "pj": spot.energy_pj,
            "accuracy": spot.accuracy.value,
            "half": spot.accuracy.half_width,
            "repeats": spot.accuracy.n,
            "saving": spot.saving_percent,
        }
        for spot in line.spots
    ]


def _widths(layers: Sequence[LayerPulses], direction: int) -> list[float]:
    return [layer.pulses[direction] for layer in layers]
