"""The cells of one chip: fail limits by class of cells, and limits of what disturbs stored bits.

Physics to integers: what `mtjkit_core.chip_errors.ChipErrors` takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mtjkit_core.chip_errors import CLASSES
from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import CERTAIN, fail_limit

from mtjkit_host.mtj.cell import Cell, Direction
from mtjkit_host.mtj.scheme import Pulses, Scheme, Traffic
from mtjkit_host.mtj.variation import CellClass, Population

RESOLUTION = 1 / CERTAIN
"""Rates below half of it are 0 in the emulated memory."""


def check_chip(cell: Cell) -> None:
    """Raise ConfigError unless a memory can tell the cell's classes apart."""
    if not isinstance(cell.up.switching, Population):
        raise ConfigError(
            f"--chip is for cells that differ: cell {cell.name} has no [variation] sigma_ln_tau"
        )
    if CLASSES % cell.variation.classes:
        raise ConfigError(
            f"--chip: a memory has {CLASSES} classes of cells, or 2, or 1; cell {cell.name} has "
            f"{cell.variation.classes}"
        )


def cell_of_class(cell: Cell, number: int) -> Cell:
    """The mean cell of one of CLASSES classes; 0 is the fastest."""
    count = cell.variation.classes

    def way(one: Direction) -> Direction:
        whole = one.switching
        if not isinstance(whole, Population):
            return one
        part = CellClass(whole.cell, whole.sigma, number * count // CLASSES, count)
        return replace(one, switching=part)

    return replace(cell, up=way(cell.up), down=way(cell.down))


def class_limits(
    cell: Cell, scheme: Scheme, pulses: Pulses | None, traffic: Traffic
) -> list[tuple[int, int]]:
    """Fail limits (down, up) of each of CLASSES classes; pulses None: nothing fails."""
    if pulses is None:
        return [(0, 0)] * CLASSES
    found = []
    for number in range(CLASSES):
        down, up = scheme.rates(cell_of_class(cell, number), pulses, traffic)
        found.append((fail_limit(down), fail_limit(up)))
    return found


def disturb_rates(cell: Cell, reads: int) -> tuple[float, float]:
    """Probabilities that a bit stored 0, and one stored 1, is wrong when it is read last.

    It is held for [retention]'s time, and read `reads` times; a read's current pushes towards
    [read]'s direction alone.

    Raises:
        ConfigError: the cell says nothing of either.
    """
    if cell.retention is None and (cell.read is None or not reads):
        raise ConfigError(
            f"--disturb: cell {cell.name} has neither [retention] nor [read] with i and pulse_ns"
        )
    lost = 0.0 if cell.retention is None else cell.retention.error_rate(cell.temperature)
    rates = [lost, lost]
    if cell.read is not None:
        one = cell.read.disturb_rate(cell.temperature)
        pushed = 1 - (1 - one) ** reads if one > 1e-9 else reads * one
        against = 1 if cell.read.direction == "down" else 0
        rates[against] = lost + pushed - 2 * lost * pushed
    return rates[0], rates[1]


def resolution_doubts(what: str, rates: Iterable[float]) -> list[str]:
    """What to say of rates that the emulated memory cannot hold.

    Args:
        what: the kind of rate: "a write-error rate".
        rates: from 0 to 1; 0 itself is held.
    """
    small = [rate for rate in rates if 0 < rate < RESOLUTION / 2]
    if not small:
        return []
    return [
        f"{what} of {max(small):.2g} is below the memory's resolution of {RESOLUTION:.2g}: it is "
        "taken as 0"
    ]
