"""A lowered network against the graph that it came from: all scores, on images."""

from __future__ import annotations

from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.importers.lower import Lowered
from mtjkit_export.predictions import predictions
from numpy.typing import NDArray

from mtjkit_host.simulate.simulator import open_simulator


def random_images(lowered: Lowered, count: int, seed: int = 0) -> NDArray[Any]:
    """Images of several kinds, (count, height, width, channels): noise, black and white, flat."""
    rng = np.random.default_rng(seed)
    shape = lowered.net.input_shape
    images = rng.integers(0, 256, (count, *shape), np.uint8)
    for i, image in enumerate(images):
        if i % 4 == 1:
            image[:] = np.where(image < rng.integers(1, 256), 0, 255)
        elif i % 4 == 2:
            low, high = sorted(rng.integers(0, 257, 2))
            image[:] = np.clip(image, low, max(low, high - 1))
        elif i % 8 == 3:
            image[:] = rng.integers(0, 256, (1, 1, shape[2]))
    return images.view(np.int8) if lowered.net.pixel_rule is None else images


TIE = 2e-6
"""Two values of a graph whose difference is a smaller share of them are equal but for float32's
rounding, which another program may do in another order: either class is right."""


def check(lowered: Lowered, images: NDArray[Any], what: str) -> int:
    """Compare all scores and predictions of images with those of the original graph.

    Scores are equal exactly. A prediction compares scale x score + offset in the order of
    FORMAT.md, the graph in its own, so that predictions may differ where the graph's values tie.

    Args:
        lowered: the network.
        images: uint8 or int8 (n, height, width, channels).
        what: what the images are, for the message.

    Returns:
        How many scores were compared.

    Raises:
        ConfigError: a score or a prediction differs.
    """
    model = Model(encode(lowered.net))
    scores, _ = open_simulator(model).run(images)
    got, predicted = lowered.values(scores), predictions(model, scores)
    for i, image in enumerate(images):
        expected = lowered.expected(image)
        if expected.shape != got[i].shape or not np.array_equal(expected, got[i]):
            place = int((expected != got[i]).argmax()) if expected.shape == got[i].shape else 0
            raise ConfigError(
                f"the check failed: {what} {i} has the score {got[i][place]:g} for class {place}, "
                f"the original {expected.reshape(-1)[place]:g}; nothing was written"
            )
        said = int(expected[0] >= 0) if model.by_sign else int(expected.argmax())
        if said == predicted[i]:
            continue
        gap = expected[said] - expected[predicted[i]] if len(expected) > 1 else np.inf
        if gap > TIE * np.abs(expected).max():
            raise ConfigError(
                f"the check failed: {what} {i} is predicted as class {predicted[i]}, by the "
                f"original as class {said}; nothing was written"
            )
    return int(got.size)


def check_predictions(lowered: Lowered, images: NDArray[Any], what: str) -> int:
    """Compare predictions with those of the graph before anything was rounded to int8.

    Args:
        lowered: the network.
        images: uint8 or int8 (n, height, width, channels).
        what: what the images are, for the message.

    Returns:
        How many predictions were compared.

    Raises:
        ConfigError: a prediction differs.
    """
    scores, _ = open_simulator(Model(encode(lowered.net))).run(images)
    floats = np.stack([lowered.unrounded(image) for image in images])
    changed = int((_classes(lowered.values(scores)) != _classes(floats)).sum())
    if changed:
        raise ConfigError(
            f"cannot be imported: {lowered.rounded} as int8 change {changed} of {len(images)} "
            f"predictions of {what}; nothing was written"
        )
    return len(images)


def _classes(values: NDArray[np.float32]) -> NDArray[Any]:
    return values[:, 0] >= 0 if values.shape[1] == 1 else values.argmax(axis=1)


def check_known(lowered: Lowered, images: NDArray[Any], known: NDArray[Any]) -> int:
    """Compare scores with those that a file holds for its own images.

    Args:
        lowered: the network.
        images: uint8 (n, ...), as many values as the network takes.
        known: whole numbers (n, classes).

    Returns:
        How many scores were compared.

    Raises:
        ConfigError: a score differs, or they do not fit the network.
    """
    shape = lowered.net.input_shape
    if images[0].size != np.prod(shape) or len(images) != len(known):
        raise ConfigError("the file's images do not fit its network")
    scores, _ = open_simulator(Model(encode(lowered.net))).run(images.reshape(-1, *shape))
    if scores.shape != known.shape or not np.array_equal(scores, known):
        raise ConfigError("the check failed: scores differ from the file's; nothing was written")
    return int(scores.size)
