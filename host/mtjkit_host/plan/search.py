"""The cheapest pulses for a net: a rate of write errors for each layer of a memory.

The memory is that of the feature maps, or that of the weights. Layers differ in how many bits they
write and in how much their errors hurt. `Search.run` takes these steps:

1. `single`: the best single rate, with which the plan is compared.
2. `by_sensitivity`: the first proportions. If trouble grew as sum s_l p_l, the optimum under a tail
   would be p_l ~ n_l / s_l, with n_l bits and s_l the trouble of one layer's errors alone. It does
   not, so the search takes p_l ~ (n_l / s_l)^g and tries some g at equal energy.
3. `tilted`, with the scheme `directions` alone: the ratio of a layer's two rates. To first order
   p_d ~ z_d / f_d is cheapest, with z_d bits written in direction d and f_d bits among them that
   can fail. The search tries this ratio, and roots of it.
4. `balanced`: at the optimum each layer saves as much energy for a little more trouble. The slope
   of the trouble by each layer's rate is measured with the errors of the other layers in place,
   and the rates move towards that balance.
5. `largest`: all layers together, until the loss is the one that is accepted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.pulse_plan import LayerPulses
from mtjkit_host.mtj.scheme import Scheme
from mtjkit_host.plan.calibrate import PICTURES, Calibration
from mtjkit_host.plan.line import Try, crossing
from mtjkit_host.plan.loss import (
    Labels,
    Loss,
    Pictures,
    loss_of,
    right_without_errors,
    run_pictures,
)
from mtjkit_host.plan.memory import LARGEST, PlannedMemory, Rates, pairs
from mtjkit_host.plan.trouble import Trouble
from mtjkit_host.simulate.polarity import PICTURES as SIGN_PICTURES
from mtjkit_host.simulate.polarity import fewer_ones

_ALONE = 0.1  # error rate of one layer alone, for its sensitivity
_EXPONENTS = (0.35, 0.5, 0.7, 1.0)
_FEW_PICTURES = 500  # tell the trouble of the first proportions
_SOME = 100  # pictures that set the thresholds of a plan that is one of many

_TILTS = (0.5, 1.0)  # powers of the first-order ratio between the directions
_STEEPEST = math.log(100)  # of that ratio, where nothing in a direction can fail
_NOISE = 0.1  # error rate at which the ratio of `flip` is taken: see `_ratios`

_MANY_PICTURES = 5000  # tell a slope: that of 500 is less than its own scatter
_STEP = 1.5  # by which a layer's rate is raised and lowered, to see the slope
# Powers of the way to the balance, one for each round: less and less, so that scatter averages.
_POWERS = (0.7, 0.7, 0.5, 0.35)
_UNSURE = 0.03  # of all slopes: what the scatter of _MANY_PICTURES leaves unknown of a layer's
_NEAR = 2.5  # percent saved by which a round moves towards the accepted loss, at most

_TRIES = 6  # savings that are tried for a loss
_FAR = 5.0  # percent saved between two tries, at most
_LEAST = 3  # of them on all pictures
_FEW, _ROUGH = 1000, 2  # pictures of the first tries, where there are more; and tries on them
# Halves of the interval: the loss on other pictures scatters by a half of it, 95 in 100.
_ROOM = 1.5
_MARGIN = 0.95  # of the accepted loss; rates that fit the search's pictures fit others less well
_FIRST = 82.0  # percent saved that are tried first

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
        base: seed and kind of the errors, what cells hold before an image, and the limits of the
            memory that is not searched.
        cell: the MTJ cell.
        scheme: how it is written.
        calibrated: whether thresholds are set anew for every plan that is tried.
        tell: told what is being done.
        reference: the net from whose error-free accuracy losses count; None for `model` itself.
        weights: search pulses for the weights, in place of the feature maps.
        confirmed_on: number of other pictures that confirm the loss: its whole 95 % interval on
            them is to lie within the accepted loss; None where the loss itself is to.

    Attributes:
        memory: the memory whose pulses are searched.

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
        self.calibrated = calibrated
        self.tell = tell
        self._confirmed_on = confirmed_on
        self._calibrations: dict[int, Calibration] = {}  # by how many pictures
        self._inputs = inputs
        self._labels = labels
        few = inputs[:_FEW_PICTURES]
        self.memory = PlannedMemory(model, few, base, cell, scheme, weights)
        counted = model if reference is None else reference
        self._right = right_without_errors(counted, inputs, labels)
        self._trouble = Trouble(model, inputs[:_MANY_PICTURES])

    def with_fewer_ones(self) -> PlannedMemory:
        """The memory of the maps, for the same net with other signs of its channels."""
        model = fewer_ones(self.model, self._inputs[:SIGN_PICTURES]).model
        m = self.memory
        return PlannedMemory(model, self._inputs[:_FEW_PICTURES], m.base, m.cell, m.scheme)

    def calibrated_or_not(self, calibrated: bool) -> Search:
        """The same search with or without calibration."""
        other = copy.copy(self)
        other.calibrated = calibrated
        return other

    def run(self, limit: float) -> Found:
        """Find the plan.

        Args:
            limit: accepted loss, a share of the error-free accuracy.
        """
        memory = self.memory
        single = self.single(limit)
        saving = memory.saving_percent(single) + 1
        self.tell("each layer's sensitivity")
        shape = self.by_sensitivity(saving)
        if memory.by_direction:
            self.tell("the directions")
            shape = self.tilted(shape, saving)
        self.tell("layers against each other")
        shape = self.balanced(shape, saving, limit)
        self.tell("all layers together")
        rates = self.largest(shape, limit, memory.saving_percent(shape))
        means = (t.mean(*pair) for t, pair in zip(memory.by_layer, rates, strict=True))
        return Found(
            tuple(float(rate) for rate in means),
            memory.pulses(rates),
            self._prepared(memory.errors(rates), PICTURES),
            memory.saving_percent(rates),
            float(single[0, 0]),
            memory.saving_percent(single),
        )

    def single(self, limit: float) -> Rates:
        """The best single rate, (layers, 2) times the same; `limit` as of `run`."""
        self.tell("the best single pulse")
        return self.largest(np.ones((len(self.memory.bits), 2)), limit, _FIRST)

    def _prepared(self, errors: WriteErrors, pictures: int) -> Model:
        """The net with thresholds for these errors, if it is to be calibrated."""
        if not self.calibrated:
            return self.model
        if pictures not in self._calibrations:
            self._calibrations[pictures] = Calibration(self.model, self._inputs[-pictures:])
        return self._calibrations[pictures].model_for(errors)

    def loss(self, rates: Rates, pictures: int | None = None, pattern: int = 0) -> Loss:
        """What these rates cost on the first `pictures` of the search; None: on all.

        `pattern` is that of `PlannedMemory.errors`.
        """
        errors = self.memory.errors(rates, pattern)
        model, some = self._prepared(errors, PICTURES), slice(pictures)
        return loss_of(self._right[some], model, self._inputs[some], self._labels[some], errors)

    def trouble(self, rates: Rates, pictures: int = _FEW_PICTURES, pattern: int = 0) -> float:
        """How much these rates trouble the net on the first `pictures`, at most _MANY_PICTURES."""
        errors = self.memory.errors(rates, pattern)
        model = self._prepared(errors, _SOME)
        scores, _ = run_pictures(model, self._inputs[: min(pictures, _MANY_PICTURES)], errors)
        return self._trouble.of(scores)

    def by_sensitivity(self, saving: float) -> Rates:
        """The first proportions, from the trouble of one layer's errors alone."""
        memory = self.memory
        nothing = np.full((len(memory.bits), 2), REFERENCE_RATE)
        quiet = self.trouble(nothing)
        hurt = np.empty(len(memory.bits))
        for layer in range(len(hurt)):
            rates = nothing.copy()
            rates[layer] = _ALONE
            hurt[layer] = self.trouble(rates) - quiet
        hurt = np.maximum(hurt, max(0.01 * hurt.max(), 1e-12))
        weight = pairs(memory.bits / hurt)
        tried = [(self.trouble(memory.at_saving(weight**g, saving)), g) for g in _EXPONENTS]
        found: Rates = weight ** min(tried)[1]
        return found

    def tilted(self, shape: Rates, saving: float) -> Rates:
        """Rates of both directions in the ratio that troubles least at equal energy."""
        memory = self.memory
        ones = np.array([traffic.ones for traffic in memory.by_layer])

        def trouble(proportions: Rates) -> float:
            return self.trouble(memory.at_saving(proportions, saving), _MANY_PICTURES)

        tried = [(trouble(shape), 0.0, shape)]
        for power in _TILTS:
            ratio = power * self._ratios()
            # The mean logarithm over the written bits stays, and with it a tail's energy.
            moved = shape * np.exp(np.column_stack([ones * ratio, (ones - 1) * ratio]))
            tried.append((trouble(moved), power, moved))
        least, power, best = min(tried, key=lambda one: one[0])
        self.tell(f"ratio to the power of {power:g}: trouble {tried[0][0]:.4f} to {least:.4f}")
        return best

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
        for traffic in self.memory.by_layer:
            z = np.array([1 - traffic.ones, traffic.ones])
            f = np.array([traffic.down, traffic.up])
            if self.memory.base.kind == FLIP:
                f = z * (1 - 2 * _NOISE) + shrink
            wanted = np.log(np.maximum(z, 1e-9) * self._nat_pj) - np.log(np.maximum(f, 1e-9))
            found.append(float(np.clip(wanted[0] - wanted[1], -_STEEPEST, _STEEPEST)))
        return np.array(found)

    @property
    def _nat_pj(self) -> NDArray[np.float64]:
        """Energy that a pulse takes more for an e-th of its error rate, (down, up)."""
        rates = (_NOISE, _NOISE / math.e)
        found = []
        for way in (self.memory.cell.down, self.memory.cell.up):
            less, more = (way.toggle_pj(way.switching.pulse_width_ns(rate)) for rate in rates)
            found.append(more - less)
        return np.array(found)

    def balanced(self, shape: Rates, saving: float, limit: float) -> Rates:
        """The rates at which every layer saves as much energy for a little more trouble.

        Args:
            shape: proportions to begin with.
            saving: what they are to save, percent; from then on the loss is kept near the limit.
            limit: accepted loss.
        """
        memory = self.memory
        unsure = _UNSURE * math.sqrt(_MANY_PICTURES / min(_MANY_PICTURES, len(self._inputs)))
        for pattern, power in enumerate(_POWERS):
            rates = memory.at_saving(shape, saving)
            loss = self.loss(rates, pattern=pattern)
            saved, troubles = self._slopes(rates, pattern)
            self.tell(
                f"{saving:.1f} % saved: {100 * loss.loss:.1f} % lost; trouble by energy "
                + ", ".join(f"{one:.2g}" for one in (troubles / np.maximum(saved, 1e-9)).flat)
            )
            shape = rates * ((saved + unsure) / (troubles + unsure)) ** power
            half = (loss.interval[1] - loss.interval[0]) / 2
            lost = loss.loss + self._room(loss)
            wanted = crossing([Try.of(saving, lost, half, _MARGIN * limit)])
            saving = min(max(wanted, saving - _NEAR), saving + _NEAR)
        return memory.at_saving(shape, saving)

    def _slopes(self, rates: Rates, pattern: int) -> tuple[Rates, Rates]:
        """Energy that a larger rate saves, and trouble that it makes: shares of the sums.

        Only the errors of the rate's own layer change, the other layers' are the same bit by bit.

        Returns:
            Twice (layers, 1), or (layers, 2) where directions have pulses of their own.
        """
        ways = [0, 1] if self.memory.by_direction else [slice(None)]
        saved, troubles = np.empty((2, len(rates), len(ways)))
        for place in np.ndindex(saved.shape):
            layer, way = place[0], ways[place[1]]
            less, more = rates.copy(), rates.copy()
            less[layer, way] /= _STEP
            more[layer, way] = np.minimum(more[layer, way] * _STEP, LARGEST)
            width = float(np.log(more[layer, way] / less[layer, way]).mean())
            pj = [float(self.memory.layer_pj(one)[layer]) for one in (less, more)]
            made = [self.trouble(one, _MANY_PICTURES, pattern) for one in (less, more)]
            saved[place] = (pj[0] - pj[1]) / width
            troubles[place] = max(0.0, made[1] - made[0]) / width
        return saved / saved.sum(), troubles / max(troubles.sum(), 1e-12)

    def largest(self, shape: Rates, limit: float, saving: float) -> Rates:
        """The rates in these proportions that save most within the loss on the pictures.

        The logarithm of the loss is nearly a straight line over the saving, and one loss has the
        scatter of its pictures and thresholds: the answer is where a line through all tries meets
        the limit. Each try has its own pattern of errors. The first tries take a few pictures.

        Args:
            shape: proportions.
            limit: accepted loss.
            saving: the saving to begin with, percent.
        """
        memory = self.memory
        most = memory.saving_percent(np.full(shape.shape, LARGEST))
        aim = _MARGIN * limit
        points: list[Try] = []
        few = _FEW if len(self._inputs) >= 2 * _FEW else None
        whole = 0
        for pattern in range(_TRIES):
            saving = min(max(saving, 0.0), most)
            loss = self.loss(memory.at_saving(shape, saving), few, pattern)
            self.tell(
                f"{saving:.1f} % saved: {100 * loss.loss:.1f} % lost, {loss.pictures} pictures"
            )
            counted = loss.loss + self._room(loss)
            half = (loss.interval[1] - loss.interval[0]) / 2
            points.append(Try.of(saving, counted, half, aim))
            before = saving
            saving = min(max(crossing(points), before - _FAR), before + _FAR)
            whole += few is None
            if whole >= _LEAST and abs(saving - before) < 0.1:
                break
            if len(points) == _ROUGH or aim / 1.5 < counted < 1.5 * aim:
                few = None
        return memory.at_saving(shape, min(max(saving, 0.0), most))

    def _room(self, loss: Loss) -> float:
        """What is left between the loss and the accepted one, so that an interval has room."""
        if self._confirmed_on is None:
            return 0.0
        half = (loss.interval[1] - loss.interval[0]) / 2
        return _ROOM * half * math.sqrt(loss.pictures / self._confirmed_on)
