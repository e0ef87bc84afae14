"""The cheapest pulses for a net: a rate of write errors for each layer of a memory.

The memory is that of the feature maps, or that of the weights. Layers differ in how many bits they
write and in how much their errors hurt. If the trouble grows as sum s_l p_l, the optimum under a
tail is p_l ~ n_l / s_l, with n_l bits and s_l the trouble of one layer's errors alone. Trouble does
not grow linearly, so the search takes p_l ~ (n_l / s_l)^g, tries some g at equal energy, then
follows the slope of the trouble at equal energy, and at last moves all layers together until the
loss is the one that is accepted.

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

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import NO_ERRORS, WriteErrors
from mtjkit_export.predictions import class_values, predictions
from numpy.typing import NDArray

from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell
from mtjkit_host.mtj.pulse_plan import LayerPulses, layer_pulses
from mtjkit_host.mtj.schemes import Scheme, Traffic, reference_write
from mtjkit_host.plan.calibrate import PICTURES, calibrate
from mtjkit_host.simulate.polarity import PICTURES as SIGN_PICTURES
from mtjkit_host.simulate.polarity import fewer_ones
from mtjkit_host.simulate.simulator import BATCH, open_simulator, program, run_in_batches

_ALONE = 0.1  # error rate of one layer alone, for its sensitivity
_EXPONENTS = (0.35, 0.5, 0.7, 1.0)
_STEP = 1.3  # by which a layer's rate moves against the others', to see the slope
_LEAP = 1.8  # by which the layer with the steepest slope moves; then less and less
_LEAPS = 3
_LARGEST = 0.4  # an error rate of one half leaves nothing of a map
_TROUBLE_PICTURES = 500
_SOME = 100  # pictures that set the thresholds of a plan that is one of many

_TRIES = 6  # savings that are tried for a loss
_MARGIN = 0.95  # of the accepted loss; rates that fit the search's pictures fit others less well
_FIRST = 82.0  # percent saved that are tried first
_SLOPE = 0.25  # of ln(loss) by percent of energy saved, near 85 %, where nothing is known yet

Pictures = NDArray[np.int8]
Labels = NDArray[np.int64]
Rates = NDArray[np.float64]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Loss:
    """Accuracy with errors beside the error-free one, on the same pictures."""

    error_free: float
    """Error-free accuracy of the net as it was trained, 0 to 1."""
    accuracy: float
    """Accuracy with errors, 0 to 1."""
    loss: float
    """Share of the error-free accuracy that is lost."""
    interval: tuple[float, float]
    """95 % interval of the loss, from the differences picture by picture."""
    pictures: int
    """How many pictures."""


@dataclass(frozen=True)
class Found:
    """What the search has found."""

    rates: tuple[float, ...]
    """Error rate of each hidden layer."""
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
    loss: Loss
    """On the pictures of the search."""
    single_loss: Loss
    """The same for the single rate."""


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
        self._inputs = inputs
        self._labels = labels
        scores, counts = run_pictures(model, inputs, NO_ERRORS)
        self.bits = np.array([layer.map_bits for layer in model.layers[:-1]], float)
        if weights:
            self.bits = np.array([layer.weight_bits for layer in model.layers], float)
            _, total = program(model, NO_ERRORS)
        else:
            total = counts.sum(0)
        self._count(total)
        counted = model if reference is None else reference
        self._right = right_without_errors(counted, inputs, labels)
        some = slice(0, _TROUBLE_PICTURES)
        self._chosen = predictions(model, scores[some])
        self._width = max(1e-6, float(np.median(_leads(model, scores[some], self._chosen))) / 4)
        self._full_pj = reference_write(cell, self.traffic)[1].per_bit_pj(self.traffic)

    def _count(self, total: NDArray[np.int64]) -> None:
        self.counts = tuple(total.tolist())
        """Bits of the memory that is searched, without errors: COUNTS."""
        written, toggled, _, ones, up = self.counts
        self.traffic = Traffic.of_run(written, ones, toggled - up, up)

    def with_fewer_ones(self) -> Search:
        """The same search of the maps, for the same net with other signs of its channels."""
        other = copy.copy(self)
        other.model = fewer_ones(self.model, self._inputs[:SIGN_PICTURES]).model
        other._count(run_pictures(other.model, self._inputs, NO_ERRORS)[1].sum(0))
        return other

    def run(self, limit: float) -> Found:
        """Find the plan.

        Args:
            limit: accepted loss, a share of the error-free accuracy.
        """
        single = self.single(limit)
        self.tell("each layer's sensitivity")
        shape = self._by_sensitivity(single)
        self.tell("layers against each other")
        shape = self._exchanged(shape, single)
        self.tell("all layers together")
        rates = self._longest_saving(shape, limit, self.saving_percent(single) + 1)
        self.tell("thresholds" if self.calibrated else "the loss")
        model, loss = self._tried(rates, PICTURES)
        _, single_loss = self._tried(single, PICTURES)
        layers = tuple(layer_pulses(self.cell, self.scheme, p, self.traffic) for p in rates)
        return Found(
            tuple(rates.tolist()),
            layers,
            model,
            self.saving_percent(rates),
            float(single[0]),
            self.saving_percent(single),
            loss,
            single_loss,
        )

    def single(self, limit: float) -> Rates:
        """The best single rate for all layers, (layers,) times the same; `limit` as of `run`."""
        self.tell("the best single pulse")
        return self._longest_saving(np.ones(len(self.bits)), limit, _FIRST)

    def calibrated_or_not(self, calibrated: bool) -> Search:
        """The same search with or without calibration."""
        other = copy.copy(self)
        other.calibrated = calibrated
        return other

    def saving_percent(self, rates: Rates) -> float:
        """Write energy of the maps saved by these rates against REFERENCE_RATE everywhere."""
        pj = float(self._pj(rates) @ self.bits)
        return 100 * (1 - pj / float(self._full_pj * self.bits.sum()))

    def _pj(self, rates: Rates) -> Rates:
        found = []
        for rate in rates:
            pulses = self.scheme.pulses_for(self.cell, float(rate), self.traffic)
            found.append(
                self.scheme.write(self.cell, pulses, self.traffic).per_bit_pj(self.traffic)
            )
        return np.array(found)

    def _errors(self, rates: Rates) -> WriteErrors:
        limits = [
            layer_pulses(self.cell, self.scheme, float(p), self.traffic).limits for p in rates
        ]
        base = self.base
        if self.weights:
            return WriteErrors(base.seed, base.kind, base.limits, limits)
        return WriteErrors(base.seed, base.kind, limits, base.weight_limits)

    def _prepared(self, errors: WriteErrors, pictures: int) -> Model:
        if not self.calibrated:
            return self.model
        return calibrate(self.model, self._inputs[-pictures:], errors)

    def _tried(self, rates: Rates, pictures: int) -> tuple[Model, Loss]:
        errors = self._errors(rates)
        model = self._prepared(errors, pictures)
        return model, loss_of(self._right, model, self._inputs, self._labels, errors)

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
        """The rates in these proportions that save so much."""
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
        scatter of its pictures and thresholds: the answer is where a line through the nearest
        points that were tried meets the limit.

        Args:
            shape: proportions.
            limit: accepted loss.
            saving: the saving to begin with, percent.
        """
        most = self.saving_percent(np.full(len(shape), _LARGEST))
        aim = _MARGIN * limit
        points: list[tuple[float, float]] = []
        for _ in range(_TRIES):
            saving = min(max(saving, 0.0), most)
            _, loss = self._tried(self.at_saving(shape, saving), PICTURES)
            self.tell(f"{saving:.1f} % saved: {100 * loss.loss:.1f} % lost")
            points.append((math.log(max(loss.loss, aim / 8) / aim), saving))
            before, saving = saving, _crossing(points)
            if abs(saving - before) < 0.1:
                break
        return self.at_saving(shape, min(max(saving, 0.0), most))

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
        found: Rates = weight ** min(tried)[1]
        return found

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
                moved = shape * leap ** (-slope / steepest)
                trouble = self.trouble(self.at_saving(moved, saving))
                if trouble < best:
                    self.tell(f"trouble {best:.4f} to {trouble:.4f}")
                    shape, best = moved, trouble
                    break
                leap = math.sqrt(leap)
            else:
                break
        return shape


def _crossing(points: list[tuple[float, float]]) -> float:
    """The saving at which ln(loss / aim) is 0, from pairs (ln, saving) that were tried."""
    near = sorted(points, key=lambda point: abs(point[0]))[:3]
    logs, savings = (np.array(values) for values in zip(*near, strict=True))
    spread = float(np.var(logs))
    slope = 1 / _SLOPE  # percent saved by unit of ln(loss)
    if spread > 1e-4:
        fitted = float(np.mean((logs - logs.mean()) * (savings - savings.mean()))) / spread
        slope = min(max(fitted, slope / 8), 4 * slope)  # more is lost where more is saved
    return float(savings.mean() - slope * logs.mean())


def loss_of(
    right: NDArray[np.bool_],
    model: Model,
    inputs: Pictures,
    labels: Labels,
    errors: WriteErrors,
    first: int = 0,
) -> Loss:
    """What errors cost a net.

    Args:
        right: which pictures the reference gets right without errors, (n,).
        model: the net with errors, calibrated or not.
        inputs: int8 pictures.
        labels: their classes.
        errors: the error process.
        first: index of the first picture: the pattern of errors follows from it.
    """
    scores, _ = run_pictures(model, inputs, errors, first)
    lost = right.astype(float) - (predictions(model, scores) == labels)
    error_free = float(right.mean())
    loss = float(lost.mean()) / error_free
    half = NormalDist().inv_cdf(0.975) * float(lost.std()) / math.sqrt(len(lost)) / error_free
    return Loss(
        error_free,
        error_free - float(lost.mean()),
        loss,
        (loss - half, loss + half),
        len(lost),
    )


def right_without_errors(model: Model, inputs: Pictures, labels: Labels) -> NDArray[np.bool_]:
    """Which pictures a net gets right without errors, (n,).

    Raises:
        ConfigError: none.
    """
    scores, _ = run_pictures(model, inputs, NO_ERRORS)
    right: NDArray[np.bool_] = predictions(model, scores) == labels
    if not right.any():
        raise ConfigError("the net gets no picture right even without errors: look at the data")
    return right


def run_pictures(
    model: Model, inputs: Pictures, errors: WriteErrors, first: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Scores (n, classes) and counts (n, 5) of pictures that go through the memory.

    Where weights fail, every batch of pictures has a chip of its own, with the next seed: what is
    lost is the mean over chips.

    Args:
        model: the net.
        inputs: int8 pictures, (n, height, width, channels).
        errors: the error process.
        first: index of the first picture.
    """
    if not errors.weights_fail:
        parts = list(run_in_batches(open_simulator(model), inputs, errors, first))
    else:
        parts = []
        for chip, at in enumerate(range(0, len(inputs), BATCH)):
            seed = (errors.seed + chip) & (2**64 - 1)
            its = WriteErrors(seed, errors.kind, errors.limits, errors.weight_limits)
            simulator = open_simulator(program(model, its)[0])
            parts += run_in_batches(simulator, inputs[at : at + BATCH], its, first + at)
    return (
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )


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
