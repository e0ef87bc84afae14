"""What write errors cost a net: accuracy with them beside the error-free one, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from mtjkit_core.chip_errors import ERASED, RANDOM, ChipErrors
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import NO_ERRORS, WriteErrors
from mtjkit_export.predictions import predictions
from numpy.typing import NDArray

from mtjkit_host.simulate.simulator import BATCH, open_simulator, program, run_in_batches

Pictures = NDArray[np.int8]
Labels = NDArray[np.int64]


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


def process_of(
    seed: int, kind: int, limits: Any = 0, weight_limits: Any = 0, reused: bool = False
) -> WriteErrors:
    """An error process; `reused` says that cells hold random bits before an image."""
    if reused:
        return ChipErrors(seed, kind, limits, weight_limits, before=RANDOM)
    return WriteErrors(seed, kind, limits, weight_limits)


def changed(errors: WriteErrors, **values: Any) -> WriteErrors:
    """The process with another seed, other limits or other weight limits."""
    given = {name: getattr(errors, name) for name in ("seed", "kind", "limits", "weight_limits")}
    reused = getattr(errors, "before", ERASED) == RANDOM
    return process_of(**{**given, **values}, reused=reused)


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
        ConfigError: it gets none of them right.
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
            its = changed(errors, seed=(errors.seed + chip) & (2**64 - 1))
            simulator = open_simulator(program(model, its)[0])
            parts += run_in_batches(simulator, inputs[at : at + BATCH], its, first + at)
    return (
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )
