"""From scores to classes, and from pixels to inputs, for many images at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.mtjb import TABLE_BYTES
from numpy.typing import NDArray

from mtjkit_export.nets.pixels import PixelRule, PixelTables


def predictions(net: object, scores: NDArray[Any]) -> NDArray[np.intp]:
    """The class of each image, as mtjkit_core.prediction.predict says it.

    Args:
        net: a Model, or a net of another kind, whose highest score decides.
        scores: (n, scores): sums of a binary net, which are integers.

    Returns:
        (n,) numbers of classes.
    """
    values = class_values(net, scores)
    if isinstance(net, Model) and net.by_sign:
        return (values[:, 0] >= 0).astype(np.intp)
    classes: NDArray[np.intp] = values.argmax(axis=1)
    return classes


def class_values(net: object, scores: NDArray[Any]) -> NDArray[Any]:
    """What a net compares, (n, scores): its scores, or scale x score + offset where it has them."""
    if isinstance(net, Model) and net.scales_at:
        pairs = np.frombuffer(net.data, "<f4", 2 * net.classes, net.scales_at).reshape(-1, 2)
        scaled: NDArray[Any] = scores.astype(np.float32) * pairs[:, 0] + pairs[:, 1]
        return scaled
    return scores


def to_inputs(model: Model, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Turn bytes into the int8 input of a model's device, as its file says.

    Args:
        model: gives the pixel rule, the pixel tables, or neither.
        pixels: uint8, (..., channels).

    Raises:
        ConfigError: the model takes int8 as it is, and a byte is above 127.
    """
    if model.pixels == 1:
        channels = model.input_shape[2]
        values = np.frombuffer(model.data, np.int8, TABLE_BYTES * channels, model.tables_at)
        return PixelTables(values.reshape(channels, TABLE_BYTES)).apply(pixels)
    if model.pixels == 2:
        if pixels.size and pixels.max() > 127:
            raise ConfigError(
                f"model {model.name!r} takes int8 as it is, but an input is {pixels.max()}: "
                "give int8 arrays"
            )
        return pixels.astype(np.int8)
    return PixelRule(*model.pixel_rule).apply(pixels)
