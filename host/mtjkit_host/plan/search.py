"""The cheapest pulses for a net: a rate of write errors for each hidden layer.

Layers differ in how many bits they write and in how much their errors hurt. If the trouble grows as
sum s_l p_l, the optimum under a tail is p_l ~ n_l / s_l, with n_l bits and s_l the trouble of one
layer's errors alone. Trouble does not grow linearly, so the search takes p_l ~ (n_l / s_l)^g, tries
some g at equal energy, then moves the layers against each other at equal energy, and at last moves
all of them together until the loss is the one that is accepted.

Trouble is measured without labels and without a step, so that few pictures tell small differences:
the mean of ln(1 + exp(-m / w)), where m is the lead of the class that the error-free net chooses
and w a quarter of the error-free net's median lead.
"""

from __future__ import annotations

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
from mtjkit_host.simulate.simulator import open_simulator

_ALONE = 0.1  # error rate of one layer alone, for its sensitivity
_EXPONENTS = (0.35, 0.5, 0.7, 1.0)
_STEP = 1.3  # by which a layer's rate moves against the others'
_LARGEST = 0.4  # an error rate of one half leaves nothing of a map
_TROUBLE_PICTURES = 500
_BATCH = 250

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
        kind: FLIP or KEEP.
        seed: of the errors.
        cell: the MTJ cell.
        scheme: how it is written.
        calibrated: whether thresholds are set anew for every plan that is tried.
        tell: told what is being done.
        reference: right or wrong without errors, by picture, of the net that losses count from;
            None for `model` itself.

    Raises:
        ConfigError: there are no pictures.
    """

    def __init__(
        self,
        model: Model,
        inputs: Pictures,
        labels: Labels,
        kind: int,
        seed: int,
        cell: Cell,
        scheme: Scheme,
        calibrated: bool,
        tell: Tell,
        reference: Model | None = None,
    ) -> None:
        if len(inputs) < 2:
            raise ConfigError("a plan takes at least two pictures to search on")
        if len(model.layers) < 2:
            raise ConfigError("the net has no hidden layer: nothing is written to the memory")
        self.model = model
        self.kind = kind
        self.seed = seed
        self.cell = cell
        self.scheme = scheme
        self.calibrated = calibrated
        self.tell = tell
        self._inputs = inputs
        self._labels = labels
        layers = model.layers[:-1]
        self.bits = np.array([g.map_height * g.map_width * g.out_channels for g in layers], float)
        scores, counts = _run(model, inputs, NO_ERRORS)
        written, toggled, _, ones, up = counts.sum(0).tolist()
        self.traffic = Traffic.of_run(written, ones, toggled - up, up)
        counted = model if reference is None else reference
        self._right = right_without_errors(counted, inputs, labels)
        some = slice(0, _TROUBLE_PICTURES)
        self._chosen = predictions(model, scores[some])
        self._width = max(1e-6, float(np.median(_leads(model, scores[some], self._chosen))) / 4)
        self._full_pj = reference_write(cell, self.traffic)[1].per_bit_pj(self.traffic)

    def run(self, limit: float) -> Found:
        """Find the plan.

        Args:
            limit: accepted loss, a share of the error-free accuracy.
        """
        even = np.ones(len(self.bits))
        self.tell("the best single pulse")
        single = self._longest_saving(even, limit)
        self.tell("each layer's sensitivity")
        shape = self._by_sensitivity(single)
        self.tell("layers against each other")
        shape = self._exchanged(shape, single)
        self.tell("all layers together")
        rates = self._longest_saving(shape, limit)
        self.tell("thresholds")
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
        return WriteErrors(self.seed, self.kind, limits)

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
        model = self._prepared(errors, PICTURES // 3)
        scores, _ = _run(model, self._inputs[:_TROUBLE_PICTURES], errors)
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

    def _longest_saving(self, shape: Rates, limit: float) -> Rates:
        """The rates in these proportions that save most within the loss on the pictures."""
        low, high = 50.0, self.saving_percent(np.full(len(shape), _LARGEST))
        while high - low > 0.2:
            middle = (low + high) / 2
            _, loss = self._tried(self.at_saving(shape, middle), PICTURES // 3)
            self.tell(f"{middle:.1f} % saved: {100 * loss.loss:.1f} % lost")
            if loss.loss > limit:
                high = middle
            else:
                low = middle
        return self.at_saving(shape, low)

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
        """Move each layer's rate up or down at equal energy, as long as it helps."""
        saving = self.saving_percent(single) + 1
        best = self.trouble(self.at_saving(shape, saving))
        for layer in range(len(shape)):
            for factor in (_STEP, 1 / _STEP):
                moved = shape.copy()
                moved[layer] *= factor
                trouble = self.trouble(self.at_saving(moved, saving))
                if trouble < best:
                    shape, best = moved, trouble
                    break
        return shape


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
    scores, _ = _run(model, inputs, errors, first)
    lost = right.astype(float) - (predictions(model, scores) == labels)
    error_free = float(right.mean())
    if not error_free:
        raise ConfigError("the net gets no picture right even without errors: look at the data")
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
    """Which pictures a net gets right without errors, (n,)."""
    right: NDArray[np.bool_] = predictions(model, _run(model, inputs, NO_ERRORS)[0]) == labels
    return right


def _run(
    model: Model, inputs: Pictures, errors: WriteErrors, first: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    simulator = open_simulator(model)
    parts = []
    for at in range(0, len(inputs), _BATCH):
        some = inputs[at : at + _BATCH]
        indices = np.arange(first + at, first + at + len(some), dtype=np.uint32)
        parts.append(simulator.run(some, indices, errors))
    scores, counts = zip(*parts, strict=True)
    return np.concatenate(scores), np.concatenate(counts)


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
