"""The chips of a campaign: which fail limits the classes of their cells have at each rate."""

from __future__ import annotations

from mtjkit_core.errors import ConfigError

from mtjkit_host.campaign.description import Campaign
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.chip import check_chip, class_limits
from mtjkit_host.mtj.pulse_plan import PulsePlan
from mtjkit_host.mtj.schemes import parse_scheme
from mtjkit_host.runs.options import EXPECTED


def class_limits_of(campaign: Campaign) -> dict[float, tuple[tuple[int, int], ...]]:
    """Fail limits (down, up) by class of cells at each rate; empty where all cells are alike.

    The pulse is the fixed one that fails at the rate in the mean of all cells.

    Raises:
        ConfigError: the cell cannot be read, or its cells do not differ.
    """
    if not campaign.chips:
        return {}
    cell, scheme = load_cell(campaign.chips), parse_scheme("fixed")
    check_chip(cell)
    found = {}
    for rate in dict.fromkeys((*campaign.rates, *campaign.rrmse_rates)):
        pulses = scheme.pulses_for(cell, rate, EXPECTED)
        found[rate] = tuple(class_limits(cell, scheme, pulses, EXPECTED))
    return found


def class_limits_of_plan(
    campaign: Campaign, label: str, plan: PulsePlan
) -> tuple[tuple[int, int], ...]:
    """Fail limits (down, up) of a plan's pulses on the campaign's chips; empty without chips.

    Those of all hidden layers for the first class of cells, then for the next one.

    Raises:
        ConfigError: the plan has pulses for the weights too.
    """
    if not campaign.chips:
        return ()
    if plan.weights:
        raise ConfigError(f"{label}: on chips a plan has pulses for feature maps alone")
    cell, scheme = load_cell(campaign.chips), parse_scheme(plan.scheme)
    by_layer = [class_limits(cell, scheme, layer.pulses, EXPECTED) for layer in plan.layers]
    return tuple(pair for its in zip(*by_layer, strict=True) for pair in its)
