"""The cheapest pulses for a net: a rate of write errors for each layer of a memory.

The memory is that of the feature maps, or that of the weights. Layers differ in how many bits they
write and in how much their errors hurt. If the trouble grows as sum s_l p_l, the optimum under a
tail is p_l ~ n_l / s_l, with n_l bits and s_l the trouble of one layer's errors alone. Trouble does
not grow linearly, so the search takes p_l ~ (n_l / s_l)^g, tries some g at equal energy, then
follows the slope of the trouble at equal energy, and at last moves all layers together until the
loss is the one that is accepted.

With the scheme `directions` each layer has two rates. To first order, trouble grows with the bits
that fail, and p_d ~ z_d / f_d is cheapest, with z_d bits written in direction d and f_d bits among
them that can fail. The search tries this ratio between the directions, and roots of it.

Trouble is measured without labels and without a step, so that few pictures tell small differences:
the mean of ln(1 + exp(-m / w)), where m is the lead of the class that the error-free net chooses
and w a quarter of the error-free net's median lead.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, NO_ERRORS, WriteErrors
from mtjkit_export.predictions import class_values, predictions
from numpy.typing import NDArray

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.pulse_plan import LayerPulses, layer_pulses, layer_pulses_by_direction
from mtjkit_host.mtj.scheme import Scheme, Traffic
from mtjkit_host.mtj.schemes import PerDirection, reference_write
from mtjkit_host.plan.calibrate import PICTURES, Calibration
from mtjkit_host.plan.loss import (
    Labels,
    Loss,
    Pictures,
    loss_of,
    right_without_errors,
    run_pictures,
)
from mtjkit_host.simulate.layer_counts import map_counts, weight_counts
from mtjkit_host.simulate.polarity import PICTURES as SIGN_PICTURES
from mtjkit_host.simulate.polarity import fewer_ones

_ALONE = 0.1  # error rate of one layer alone, for its sensitivity
_EXPONENTS = (0.35, 0.5, 0.7, 1.0)
_STEP = 1.3  # by which a layer's rate moves against the others', to see the slope
_LEAP = 1.8  # by which the layer with the steepest slope moves; then less and less
_LEAPS = 3
_TILTS = (0.5, 1.0)  # powers of the first-order ratio between the directions
_STEEPEST = math.log(100)  # of that ratio, where nothing in a direction can fail
_NOISE = 0.1  # error rate at which the ratio of `flip` is taken: see `_ratios`
_LARGEST = 0.4  # an error rate of one half leaves nothing of a map
_TROUBLE_PICTURES = 500
_SOME = 100  # pictures that set the thresholds of a plan that is one of many

_TRIES = 6  # savings that are tried for a loss
_FAR = 5.0  # percent saved between two tries, at most
_LEAST = 3  # of them on all pictures
_FEW, _ROUGH = 1000, 2  # pictures of the first tries, where there are more; and tries on them
_ROOM = (
    1.5  # halves of the interval: the loss on other pictures scatters by a half of it, 95 in 100
)
_MARGIN = 0.95  # of the accepted loss; rates that fit the search's pictures fit others less well
_FIRST = 82.0  # percent saved that are tried first
_SLOPE, _SLOPE_ERROR = 0.25, 0.1  # of ln(loss) by percent of energy saved, before anything is tried
_BENT = 0.25  # of ln(loss / what is accepted): how far it may lie from a straight line
_SIGMAS = NormalDist().inv_cdf(0.975)  # in half of an interval

Rates = NDArray[np.float64]
"""Error rates (layers, 2), down and up; or proportions of them. (layers,) is the same for both."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """What the search has found."""

    rates: tuple[float, ...]
    """Error rate of each hidden layer, the mean over the bits that toggle."""
    layers: tuple[LayerPulses, ...]
    """The pulses that leave these rates."""
    model: Model
    """The net, calibrated if that was asked for."""
    saving_percent: float
    """Write energy of the feature maps saved against REFERENCE_RATE everywhere."""
    single_rate: float
    """The best single rate for all layers."""
    single_saving_percent: float
    """What that saves."""


class Search:
    """The search for a plan.

    Args:
        model: the net.
        inputs: int8 pictures to search on, (n, height, width, channels).
        labels: their classes, (n,).
        base: seed and kind of the errors, and the limits of the memory that is not searched.
        cell: the MTJ cell.
        scheme: how it is written.
        calibrated: whether thresholds are set anew for every plan that is tried.
        tell: told what is being done.
        reference: the net from whose error-free accuracy losses count; None for `model` itself.
        weights: search pulses for the weights, in place of the feature maps.
        confirmed_on: number of other pictures that confirm the loss: its whole 95 % interval on
            them is to lie within the accepted loss; None where the loss itself is to.

    Raises:
        ConfigError: there are no pictures, or no bits to write.
    """

    def __init__(
        self,
        model: Model,
        inputs: Pictures,
        labels: Labels,
        base: WriteErrors,
        cell: Cell,
        scheme: Scheme,
        calibrated: bool,
        tell: Tell,
        reference: Model | None = None,
        weights: bool = False,
        confirmed_on: int | None = None,
    ) -> None:
        if len(inputs) < 2:
            raise ConfigError("a plan takes at least two pictures to search on")
        if not weights and not model.map_bits:
            raise ConfigError("the net writes no feature map: there is nothing to plan")
        self.model = model
        self.base = base
        self.cell = cell
        self.scheme = scheme
        self.calibrated = calibrated
        self.weights = weights
        self.tell = tell
        self._confirmed_on = confirmed_on
        self._calibrations: dict[int, Calibration] = {}  # by how many pictures
        self._inputs = inputs
        self._labels = labels
        some = inputs[:_TROUBLE_PICTURES]
        self._count(weight_counts(model) if weights else map_counts(model, some))
        self.bits = np.array([row[0] for row in self._rows], float)
        if not weights:
            self.bits /= len(some)
        counted = model if reference is None else reference
        self._right = right_without_errors(counted, inputs, labels)
        scores, _ = run_pictures(model, some, NO_ERRORS)
        self._chosen = predictions(model, scores)
        self._width = max(1e-6, float(np.median(_leads(model, scores, self._chosen))) / 4)
        self._full_pj = reference_write(cell, self.traffic)[1].per_bit_pj(self.traffic)

    def _count(self, rows: NDArray[np.int64]) -> None:
        self._rows = rows.tolist()
        self.counts = tuple(rows.sum(axis=0).tolist())
        """Bits of the memory that is searched, without errors: COUNTS."""
        self.traffic = _traffic(self.counts)
        self.by_layer = tuple(_traffic(row) for row in self._rows)
        """What each layer writes."""

    def with_fewer_ones(self) -> Search:
        """The same search of the maps, for the same net with other signs of its channels."""
        other = copy.copy(self)
        other.model = fewer_ones(self.model, self._inputs[:SIGN_PICTURES]).model
        other._calibrations = {}
        other._count(map_counts(other.model, self._inputs[:_TROUBLE_PICTURES]))
        return other

    def run(self, limit: float) -> Found:
        """Find the plan.

        Args:
            limit: accepted loss, a share of the error-free accuracy.
        """
        single = self.single(limit)
        self.tell("each layer's sensitivity")
        shape = self._by_sensitivity(single)
        if self._by_direction:
            self.tell("the directions")
            shape = self.tilted(shape, single)
        self.tell("layers against each other")
        shape = self._exchanged(shape, single)
        self.tell("all layers together")
        rates = self._longest_saving(shape, limit, self.saving_percent(single) + 1)
        means = (t.mean(*pair) for t, pair in zip(self.by_layer, _pairs(rates), strict=True))
        return Found(
            tuple(float(rate) for rate in means),
            self.pulses(rates),
            self._prepared(self._errors(rates), PICTURES),
            self.saving_percent(rates),
            float(single[0, 0]),
            self.saving_percent(single),
        )

    def single(self, limit: float) -> Rates:
        """The best single rate, (layers, 2) times the same; `limit` as of `run`."""
        self.tell("the best single pulse")
        return self._longest_saving(np.ones((len(self.bits), 2)), limit, _FIRST)

    def calibrated_or_not(self, calibrated: bool) -> Search:
        """The same search with or without calibration."""
        other = copy.copy(self)
        other.calibrated = calibrated
        return other

    def saving_percent(self, rates: Rates) -> float:
        """Write energy of the maps saved by these rates against REFERENCE_RATE everywhere."""
        pj = float(self._pj(rates) @ self.bits)
        return 100 * (1 - pj / float(self._full_pj * self.bits.sum()))

    @property
    def _by_direction(self) -> bool:
        return isinstance(self.scheme, PerDirection)

    def pulses(self, rates: Rates) -> tuple[LayerPulses, ...]:
        """The pulses of each layer that leave these rates."""
        found = []
        for (down, up), traffic in zip(_pairs(rates).tolist(), self.by_layer, strict=True):
            if self._by_direction:
                pair = (down, up)
                found.append(layer_pulses_by_direction(self.cell, self.scheme, pair, traffic))
            else:
                found.append(layer_pulses(self.cell, self.scheme, down, traffic))
        return tuple(found)

    def _pj(self, rates: Rates) -> NDArray[np.float64]:
        """Energy of a written bit of each layer, (layers,) pJ."""
        each = zip(self.pulses(rates), self.by_layer, strict=True)
        return np.array([self.scheme.write(self.cell, p.pulses, t).per_bit_pj(t) for p, t in each])

    def _errors(self, rates: Rates) -> WriteErrors:
        limits = [layer.limits for layer in self.pulses(rates)]
        base = self.base
        if self.weights:
            return WriteErrors(base.seed, base.kind, base.limits, limits)
        return WriteErrors(base.seed, base.kind, limits, base.weight_limits)

    def _prepared(self, errors: WriteErrors, pictures: int) -> Model:
        if not self.calibrated:
            return self.model
        if pictures not in self._calibrations:
            self._calibrations[pictures] = Calibration(self.model, self._inputs[-pictures:])
        return self._calibrations[pictures].model_for(errors)

    def loss(self, rates: Rates, pictures: int | None = None) -> Loss:
        """What these rates cost on the first `pictures` of the search; None: on all."""
        errors = self._errors(rates)
        model, some = self._prepared(errors, PICTURES), slice(pictures)
        return loss_of(self._right[some], model, self._inputs[some], self._labels[some], errors)

    def trouble(self, rates: Rates) -> float:
        """How much these rates trouble the net, without labels: see the top of this module."""
        errors = self._errors(rates)
        model = self._prepared(errors, _SOME)
        scores, _ = run_pictures(model, self._inputs[:_TROUBLE_PICTURES], errors)
        return float(
            np.logaddexp(0, -_leads(self.model, scores, self._chosen) / self._width).mean()
        )

    def _scaled(self, shape: Rates, scale: float) -> Rates:
        rates: Rates = np.clip(shape * scale, REFERENCE_RATE, _LARGEST)
        return rates

    def at_saving(self, shape: Rates, saving: float) -> Rates:
        """The rates in these proportions that save `saving` percent."""
        low, high = math.log(1e-9), math.log(1e3)
        for _ in range(60):
            middle = (low + high) / 2
            if self.saving_percent(self._scaled(shape, math.exp(middle))) < saving:
                low = middle
            else:
                high = middle
        return self._scaled(shape, math.exp(high))

    def _longest_saving(self, shape: Rates, limit: float, saving: float) -> Rates:
        """The rates in these proportions that save most within the loss on the pictures.

        The logarithm of the loss is nearly a straight line over the saving, and one loss has the
        scatter of its pictures and thresholds: the answer is where a line through all tries meets
        the limit. The first tries take a few pictures.

        Args:
            shape: proportions.
            limit: accepted loss.
            saving: the saving to begin with, percent.
        """
        most = self.saving_percent(np.full(len(shape), _LARGEST))
        aim = _MARGIN * limit
        points: list[_Try] = []
        few = _FEW if len(self._inputs) >= 2 * _FEW else None
        whole = 0
        for _ in range(_TRIES):
            saving = min(max(saving, 0.0), most)
            loss = self.loss(self.at_saving(shape, saving), few)
            self.tell(
                f"{saving:.1f} % saved: {100 * loss.loss:.1f} % lost, {loss.pictures} pictures"
            )
            counted = max(loss.loss + self._room(loss), aim / 4)
            error = (loss.interval[1] - loss.interval[0]) / 2 / _SIGMAS
            points.append(_Try(saving, math.log(counted / aim), error / max(counted, aim / 2)))
            before = saving
            saving = min(max(_crossing(points), before - _FAR), before + _FAR)
            whole += few is None
            if whole >= _LEAST and abs(saving - before) < 0.1:
                break
            if len(points) == _ROUGH or aim / 1.5 < counted < 1.5 * aim:
                few = None
        return self.at_saving(shape, min(max(saving, 0.0), most))

    def _room(self, loss: Loss) -> float:
        """What is left between the loss and the accepted one, so that an interval has room."""
        if self._confirmed_on is None:
            return 0.0
        half = (loss.interval[1] - loss.interval[0]) / 2
        return _ROOM * half * math.sqrt(loss.pictures / self._confirmed_on)

    def _by_sensitivity(self, single: Rates) -> Rates:
        quiet = self.trouble(np.full(len(self.bits), REFERENCE_RATE))
        hurt = np.empty(len(self.bits))
        for layer in range(len(self.bits)):
            rates = np.full(len(self.bits), REFERENCE_RATE)
            rates[layer] = _ALONE
            hurt[layer] = self.trouble(rates) - quiet
        hurt = np.maximum(hurt, 0.01 * hurt.max())
        weight = self.bits / hurt
        saving = self.saving_percent(single) + 1
        tried = [(self.trouble(self.at_saving(weight**g, saving)), g) for g in _EXPONENTS]
        return _pairs(weight ** min(tried)[1])

    def _ratios(self) -> NDArray[np.float64]:
        """ln(rate down / rate up) of each layer that costs least to first order, (layers,).

        With z_d bits that are written in a direction and f_d of them that can fail, the optimum is
        p_d ~ e_d z_d / f_d, where e_d is the energy that a pulse takes more for an e-th of its
        rate. Under `keep` f_d toggle. Under `flip` all can, so the ratio is 1, but a sum of noisy
        bits also shrinks by 1 - p_down - p_up, whichever direction has the errors: per unit of
        rate the noise grows by z_d (1 - 2 p) + 2 p (1 - p) / (1 - 2 p).
        """
        found = []
        shrink = 2 * _NOISE * (1 - _NOISE) / (1 - 2 * _NOISE)
        for traffic in self.by_layer:
            z = np.array([1 - traffic.ones, traffic.ones])
            f = np.array([traffic.down, traffic.up])
            if self.base.kind == FLIP:
                f = z * (1 - 2 * _NOISE) + shrink
            wanted = np.log(np.maximum(z, 1e-9) * self._nat_pj) - np.log(np.maximum(f, 1e-9))
            found.append(float(np.clip(wanted[0] - wanted[1], -_STEEPEST, _STEEPEST)))
        return np.array(found)

    @property
    def _nat_pj(self) -> NDArray[np.float64]:
        """Energy that a pulse takes more for an e-th of its error rate, (down, up)."""
        rates = (_NOISE, _NOISE / math.e)
        found = []
        for way in (self.cell.down, self.cell.up):
            less, more = (way.toggle_pj(way.switching.pulse_width_ns(rate)) for rate in rates)
            found.append(more - less)
        return np.array(found)

    def tilted(self, shape: Rates, single: Rates) -> Rates:
        """Rates of both directions in the ratio that troubles least at equal energy."""
        saving = self.saving_percent(single) + 1
        ones = np.array([traffic.ones for traffic in self.by_layer])
        tried = [(self.trouble(self.at_saving(shape, saving)), 0.0, shape)]
        for power in _TILTS:
            ratio = power * self._ratios()
            # The mean logarithm over the written bits stays, and with it a tail's energy.
            moved = shape * np.exp(np.column_stack([ones * ratio, (ones - 1) * ratio]))
            tried.append((self.trouble(self.at_saving(moved, saving)), power, moved))
        trouble, power, best = min(tried, key=lambda one: one[0])
        self.tell(f"ratio to the power of {power:g}: trouble {tried[0][0]:.4f} to {trouble:.4f}")
        return best

    def _exchanged(self, shape: Rates, single: Rates) -> Rates:
        """Follow the slope of the trouble at equal energy, as long as it helps."""
        saving = self.saving_percent(single) + 1
        best = self.trouble(self.at_saving(shape, saving))
        leap = _LEAP
        for _ in range(_LEAPS):
            slope = np.empty(len(shape))
            for layer in range(len(shape)):
                moved = shape.copy()
                moved[layer] *= _STEP
                slope[layer] = self.trouble(self.at_saving(moved, saving)) - best
            steepest = float(np.abs(slope).max())
            while steepest and leap > 1.1:
                moved = shape * leap ** (-slope / steepest)[:, None]
                trouble = self.trouble(self.at_saving(moved, saving))
                if trouble < best:
                    self.tell(f"trouble {best:.4f} to {trouble:.4f}")
                    shape, best = moved, trouble
                    break
                leap = math.sqrt(leap)
            else:
                break
        return shape


def _pairs(rates: Rates) -> Rates:
    """(layers, 2) of rates that may be (layers,)."""
    found: Rates = rates if rates.ndim == 2 else np.column_stack([rates, rates])
    return found


def _traffic(counts: Sequence[int]) -> Traffic:
    written, toggled, _, ones, up = counts
    return Traffic.of_run(written, ones, toggled - up, up)


class _Try(NamedTuple):
    """A saving that was tried."""

    saving: float
    """Percent."""
    log: float
    """ln(loss / what is accepted)."""
    scatter: float
    """Standard error of `log`."""


def _crossing(tries: Sequence[_Try]) -> float:
    """The saving at which ln(loss / what is accepted) is 0 on a line through what was tried.

    The line's slope is about _SLOPE; tries near the limit and on many pictures weigh more.
    """
    savings, logs, scatter = (np.array(values) for values in zip(*tries, strict=True))
    weights = 1 / (scatter**2 + (_BENT * logs) ** 2 + 1e-6)
    saving, log = (np.average(values, weights=weights) for values in (savings, logs))
    known = 1 / _SLOPE_ERROR**2
    slope = float(weights @ ((savings - saving) * (logs - log))) + known * _SLOPE
    slope /= float(weights @ (savings - saving) ** 2) + known
    return float(saving - log / max(slope, _SLOPE / 4))


def _leads(
    model: Model, scores: NDArray[np.int32], chosen: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How far each picture's chosen class leads the best other one."""
    values = class_values(model, scores).astype(np.float64)
    if model.by_sign:
        return np.where(chosen == 1, values[:, 0], -values[:, 0])
    rows = np.arange(len(values))
    lead = values[rows, chosen]
    values[rows, chosen] = -np.inf
    found: NDArray[np.float64] = lead - values.max(1)
    return found


def described(rates: Sequence[float]) -> str:
    """Rates as a text."""
    return ", ".join(f"{100 * rate:.2g}" for rate in rates) + " %"
