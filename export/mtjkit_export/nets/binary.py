"""A plain description of a binarized network: layers, +-1 weights, integer thresholds.

Built from numpy arrays here, or from a trained torch net by `mtjkit_host.train`. The rule of a
hidden layer is bit = (S >= threshold) XOR inverted, S the signed integer sum; a bit 1 is +1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import CONV, DENSE, MAX_FILE_BYTES, Layer, chain
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PixelRule:
    """How a pixel p (0..255) becomes the int8 input: clip((mul * p + add) // div - 128)."""

    mul: int = 1
    """Factor, 0..65535."""
    add: int = 0
    """Summand, 0..65535."""
    div: int = 1
    """Divisor, 1..65535."""

    def __post_init__(self) -> None:
        whole = all(isinstance(n, (int, np.integer)) for n in (self.mul, self.add, self.div))
        if not whole or not (
            0 <= self.mul < 65536 and 0 <= self.add < 65536 and 1 <= self.div < 65536
        ):
            raise ConfigError(
                f"{self}: mul and add are whole numbers 0..65535, div is one of 1..65535"
            )

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Convert uint8 pixels of any shape to the int8 input of the first layer."""
        p = np.arange(256, dtype=np.int64)
        table = np.clip((self.mul * p + self.add) // self.div - 128, -128, 127).astype(np.int8)
        return table[pixels]


@dataclass(frozen=True)
class BinaryLayer:
    """One layer as arrays; make it with `conv` or `dense`, which check them."""

    kind: int
    """mtjkit_core.model.CONV or DENSE."""
    weights: NDArray[np.int8]
    """+-1, (out, 3, 3, in) for a convolution; (out, height, width, in) for a dense layer over
    a map, (out, 1, 1, in) over a vector."""
    thresholds: NDArray[np.int32] | None
    """(out,); None for the last layer, whose scores are the signed sums."""
    inverted: NDArray[np.bool_] | None
    """(out,); True where the bit is S < threshold (a negative batch-norm scale)."""
    padding: int = 0
    """0, or 1 with zeros: a padded tap adds nothing to the sum."""
    pool: bool = False
    """2x2 max pooling of the bits, which is their OR."""

    @classmethod
    def conv(
        cls,
        weights: ArrayLike,
        thresholds: ArrayLike,
        inverted: ArrayLike | None = None,
        *,
        padding: int = 0,
        pool: bool = False,
    ) -> BinaryLayer:
        """Describe a 3x3 convolution from torch's weight order.

        Args:
            weights: +-1, (out, in, 3, 3).
            thresholds: integers, (out,).
            inverted: bools, (out,); default all False.
            padding: 0 or 1.
            pool: whether 2x2 max pooling of the bits follows.

        Raises:
            ConfigError: shapes or values are not as described.
        """
        w = _signs(weights, 4)
        if w.shape[2:] != (3, 3):
            raise ConfigError(f"convolution weights are (out, in, 3, 3), not {w.shape}")
        if padding not in (0, 1):
            raise ConfigError(f"padding is 0 or 1, not {padding}")
        t, i = _decision(thresholds, inverted, len(w))
        return cls(CONV, w.transpose(0, 2, 3, 1), t, i, int(padding), bool(pool))

    @classmethod
    def dense(
        cls,
        weights: ArrayLike,
        thresholds: ArrayLike | None = None,
        inverted: ArrayLike | None = None,
        *,
        input_shape: tuple[int, int, int] | None = None,
        flatten: str = "hwc",
    ) -> BinaryLayer:
        """Describe a fully connected layer.

        Args:
            weights: +-1, (out, in).
            thresholds: integers, (out,); None makes this the last layer.
            inverted: bools, (out,); default all False.
            input_shape: (height, width, channels) of the map it flattens; None for a vector.
            flatten: order of the flattened map: "hwc" (channel last) or "chw" (torch's).

        Raises:
            ConfigError: shapes or values are not as described.
        """
        w = _signs(weights, 2)
        height, width, channels = _map_shape(input_shape or (1, 1, max(1, w.shape[1])))
        if w.shape[1] != height * width * channels:
            raise ConfigError(
                f"dense weights {w.shape} do not fit an input of {height} x {width} x {channels}"
            )
        if flatten == "chw":
            w = w.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        elif flatten == "hwc":
            w = w.reshape(-1, height, width, channels)
        else:
            raise ConfigError(f'flatten is "hwc" or "chw", not {flatten!r}')
        if thresholds is None:
            return cls(DENSE, w, None, None)
        t, i = _decision(thresholds, inverted, len(w))
        return cls(DENSE, w, t, i)


@dataclass(frozen=True)
class BinaryNet:
    """A whole network, checked: every layer fits the one before it."""

    name: str
    """Up to 32 bytes of UTF-8."""
    layers: Sequence[BinaryLayer]
    """First layer: convolution over int8; last: dense without thresholds."""
    input_shape: tuple[int, int, int] = (32, 32, 3)
    """(height, width, channels) of an image."""
    pixel_rule: PixelRule = PixelRule()
    """How pixels become int8."""
    class_names: Sequence[str] = ()
    """One for each score; empty for none."""

    def __post_init__(self) -> None:
        _map_shape(self.input_shape)
        self.geometry()

    def geometry(self) -> list[Layer]:
        """Shapes and sizes of the layers (mtjkit_core.model.Layer).

        Raises:
            ConfigError: the layers do not fit together; the message names the layer.
        """
        try:
            layers = chain(
                self.input_shape,
                [(s.kind, s.padding, int(s.pool), len(s.weights)) for s in self.layers],
            )
        except FormatError as error:
            raise ConfigError(f"network {self.name!r}: {error}") from None
        for spec, layer in zip(self.layers, layers, strict=True):
            expected = (layer.kernel_height, layer.kernel_width, layer.in_channels)
            if spec.weights.shape[1:] != expected:
                got = spec.weights.shape[1:]
                raise ConfigError(
                    f"network {self.name!r}: layer {layer.index} takes weights of "
                    f"(out, {', '.join(map(str, expected))}), got (out, {', '.join(map(str, got))})"
                )
            if (spec.thresholds is None) != layer.last:
                need = "has no thresholds" if layer.last else "needs thresholds"
                raise ConfigError(f"network {self.name!r}: layer {layer.index} {need}")
        return layers


def _map_shape(shape: Sequence[int]) -> Sequence[int]:
    whole = len(shape) == 3 and all(isinstance(n, (int, np.integer)) for n in shape)
    if not whole or min(shape) < 1:
        raise ConfigError(f"a map's shape is (height, width, channels), each at least 1: {shape}")
    return shape


def _signs(weights: ArrayLike, ndim: int) -> NDArray[np.int8]:
    w = _numbers(weights, "weights")
    if w.ndim != ndim:
        raise ConfigError(f"weights have {w.ndim} dimensions where {ndim} are needed")
    if not np.isin(w, (-1, 1)).all():
        raise ConfigError("weights are -1 and +1 only")
    return w.astype(np.int8)


def _numbers(values: ArrayLike, what: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.asarray(values)
    except ValueError:
        raise ConfigError(f"{what} are not one array: rows of different lengths") from None
    if array.dtype.kind not in "biuf":
        raise ConfigError(f"{what} are numbers, not {array.dtype}")
    if array.size > 8 * MAX_FILE_BYTES:
        raise ConfigError(f"{what} are {array.size} numbers: a model file cannot hold so many")
    return array


def _decision(
    thresholds: ArrayLike, inverted: ArrayLike | None, out: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    t = _numbers(thresholds, "thresholds")
    if t.shape != (out,):
        raise ConfigError(f"thresholds have shape {t.shape}; {out} filters need ({out},)")
    if not np.isfinite(t).all() or (t != np.round(t)).any():
        raise ConfigError("thresholds are whole numbers")
    if ((t < -(2**31)) | (t > 2**31 - 1)).any():
        raise ConfigError("thresholds fit 32 bits with sign")
    i = _numbers(np.zeros(out, np.bool_) if inverted is None else inverted, "inversions")
    if i.shape != (out,) or not np.isin(i, (0, 1)).all():
        raise ConfigError(f"inverted is one bool for each of {out} filters")
    return t.astype(np.int32), i.astype(np.bool_)
