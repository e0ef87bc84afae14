"""The memory that a plan is for: what its layers write, and what rates of write errors cost there.

It is the memory of a net's feature maps, or that of its weights. Rates are an array (layers, 2),
down and up; proportions of rates have the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from mtjkit_core.chip_errors import RANDOM, ChipErrors
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from numpy.typing import NDArray

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.pulse_plan import LayerPulses, layer_pulses, layer_pulses_by_direction
from mtjkit_host.mtj.scheme import Scheme, Traffic
from mtjkit_host.mtj.schemes import PerDirection, reference_write
from mtjkit_host.plan.loss import Pictures, changed
from mtjkit_host.simulate.layer_counts import map_counts, weight_counts

LARGEST = 0.4
"""The largest rate of a plan: an error rate of one half leaves nothing of a map."""

Rates = NDArray[np.float64]
"""Error rates (layers, 2), down and up; or proportions of them. (layers,) is the same for both."""


class PlannedMemory:
    """What a net writes without errors, and what pulses for its layers cost.

    Args:
        model: the net.
        inputs: int8 pictures that are like those it will see, (n, height, width, channels).
        base: seed and kind of the errors, what cells hold before an image, and the limits of the
            memory that is not planned.
        cell: the MTJ cell.
        scheme: how it is written.
        weights: whether the memory is that of the weights.

    Attributes:
        bits: that each layer writes, for a picture or once, (layers,).
        counts: bits of all pictures: mtjkit_core.write_errors.COUNTS.
        traffic: what is written, as shares.
        by_layer: the same of each layer.
    """

    def __init__(
        self,
        model: Model,
        inputs: Pictures,
        base: WriteErrors,
        cell: Cell,
        scheme: Scheme,
        weights: bool = False,
    ) -> None:
        self.base = base
        self.cell = cell
        self.scheme = scheme
        self._weights = weights
        rows = weight_counts(model) if weights else map_counts(model, inputs, base)
        self.bits = rows[:, 0] / (1 if weights else len(inputs))
        self.counts = tuple(rows.sum(axis=0).tolist())
        self.traffic = _traffic(self.counts)
        self.by_layer = tuple(_traffic(row) for row in rows.tolist())
        full_pj = reference_write(cell, self.traffic)[1].per_bit_pj(self.traffic)
        self._full_pj = float(full_pj * self.bits.sum())

    @property
    def by_direction(self) -> bool:
        """Whether each direction has a pulse of its own."""
        return isinstance(self.scheme, PerDirection)

    @property
    def reused(self) -> bool:
        """Whether cells hold random bits before an image."""
        return isinstance(self.base, ChipErrors) and self.base.before == RANDOM

    def pulses(self, rates: Rates) -> tuple[LayerPulses, ...]:
        """The pulses of each layer that leave these rates."""
        found = []
        for (down, up), traffic in zip(pairs(rates).tolist(), self.by_layer, strict=True):
            if self.by_direction:
                both = (down, up)
                found.append(layer_pulses_by_direction(self.cell, self.scheme, both, traffic))
            else:
                found.append(layer_pulses(self.cell, self.scheme, down, traffic))
        return tuple(found)

    def errors(self, rates: Rates, pattern: int = 0) -> WriteErrors:
        """The error process of these rates.

        Args:
            rates: (layers, 2).
            pattern: 0 for the plan's own seed, 1, 2, ... for other patterns of errors.
        """
        limits = [layer.limits for layer in self.pulses(rates)]
        seed = (self.base.seed + pattern) & (2**64 - 1)
        if self._weights:
            return changed(self.base, seed=seed, weight_limits=limits)
        return changed(self.base, seed=seed, limits=limits)

    def layer_pj(self, rates: Rates) -> NDArray[np.float64]:
        """What each layer's writes cost, (layers,) pJ."""
        each = zip(self.pulses(rates), self.by_layer, strict=True)
        per_bit = [self.scheme.write(self.cell, p.pulses, t).per_bit_pj(t) for p, t in each]
        found: NDArray[np.float64] = np.array(per_bit) * self.bits
        return found

    def saving_percent(self, rates: Rates) -> float:
        """Write energy saved by these rates against REFERENCE_RATE everywhere."""
        return 100 * (1 - float(self.layer_pj(rates).sum()) / self._full_pj)

    def at_saving(self, shape: Rates, saving: float) -> Rates:
        """The rates in these proportions that save `saving` percent."""
        low, high = math.log(1e-9), math.log(1e3)
        for _ in range(60):
            middle = (low + high) / 2
            if self.saving_percent(_scaled(shape, math.exp(middle))) < saving:
                low = middle
            else:
                high = middle
        return _scaled(shape, math.exp(high))


def pairs(rates: Rates) -> Rates:
    """(layers, 2) of rates that may be (layers,)."""
    found: Rates = rates if rates.ndim == 2 else np.column_stack([rates, rates])
    return found


def _scaled(shape: Rates, scale: float) -> Rates:
    rates: Rates = np.clip(shape * scale, REFERENCE_RATE, LARGEST)
    return rates


def _traffic(counts: Sequence[int]) -> Traffic:
    written, toggled, _, ones, up = counts
    return Traffic.of_run(written, ones, toggled - up, up)
