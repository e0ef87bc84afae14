"""A plain description of a binarized network: layers, +-1 weights, integer thresholds.

Built from numpy arrays here, or from a trained torch net by `mtjkit_host.train`. The rule of a
hidden layer is bit = (S >= threshold) XOR inverted, S the signed integer sum; a bit 1 is +1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.geometry import CONV, DENSE, INT8, PLUS_MINUS, ZERO_ONE, LayerShape
from mtjkit_core.mtjb import AVERAGE, MAX_POOL, SIGNED_POOL, chain, conv_entry, dense_entry
from numpy.typing import ArrayLike, NDArray

from mtjkit_export.nets.checks import (
    bools,
    decision,
    float32,
    int8_weights,
    is_whole,
    map_shape,
    sizes,
)
from mtjkit_export.nets.pixels import PixelRule, PixelTables

INPUTS = {"int8": INT8, "0/1": ZERO_ONE, "+-1": PLUS_MINUS}
"""What the input values are: the byte, or whether it is above 0."""


@dataclass(frozen=True)
class BinaryLayer:
    """One layer as arrays; make it with `conv` or `dense`, which check them."""

    kind: int
    """mtjkit_core.geometry.CONV or DENSE."""
    weights: NDArray[np.int8]
    """+-1 or int8, (out, kernel height, kernel width, in) for a convolution, with groups (out, ...,
    in / groups); (out, height, width, in) for a dense layer over a map, (out, 1, 1, in) over a
    vector."""
    thresholds: NDArray[np.int32] | None
    """(out,); None for a last layer whose scores are the signed sums. With thresholds its scores
    are 1 and -1, the bits."""
    inverted: NDArray[np.bool_] | None
    """(out,); True where the bit is S < threshold (a negative batch-norm scale)."""
    stride: tuple[int, int] = (1, 1)
    """Vertical, horizontal."""
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Taps beyond the map: top, left, bottom, right."""
    pad_value: int = 0
    """What these taps hold: -1, 0 or 1, in the first layer any int8."""
    pool: tuple[int, int] | None = None
    """Max pooling of the bits, which is their OR: height, width of its window; None for none."""
    pool_stride: tuple[int, int] | None = None
    """Vertical, horizontal; None without pooling."""
    pooling: str = "max"
    """What the pool is: "max" or "average", of which the last layer reads signed sums."""
    groups: int = 1
    """Groups of channels, each with weights of its own; as many as inputs: depthwise."""
    weight_bits: int = 1
    """1, or 8 for int8 weights: in the first and the last layer."""
    signs: NDArray[np.bool_] | None = None
    """(out,); True where the bit is stored with the other sign after max pooling, and the next
    layer's weights are negated; None for all as they are."""

    @classmethod
    def conv(
        cls,
        weights: ArrayLike,
        thresholds: ArrayLike,
        inverted: ArrayLike | None = None,
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        pad_value: int = 0,
        pool: bool | int | Sequence[int] = False,
        pool_stride: int | Sequence[int] | None = None,
        pooling: str = "max",
        groups: int = 1,
        weight_bits: int = 1,
        signs: ArrayLike | None = None,
    ) -> BinaryLayer:
        """Describe a convolution from torch's weight order.

        Args:
            weights: +-1, (out, in, height, width), with groups (out, in / groups, height, width).
            thresholds: integers, (out,).
            inverted: bools, (out,); default all False.
            stride: of the kernel; one number or (vertical, horizontal).
            padding: taps beyond the map, fewer than the kernel has; one number or (top, left,
                bottom, right).
            pad_value: what these taps hold: -1, 0 (they add nothing to the sum) or 1; in the first
                layer any int8.
            pool: pooling of the bits; True is 2x2, a number of 2 or more the side of a square,
                else (height, width). Sums at the edge that fill no window are left out.
            pool_stride: one number or (vertical, horizontal); default the size of the window.
            pooling: "max", or "average" before the last layer, which then reads signed sums.
            groups: of channels, each with weights of its own; as many as inputs: depthwise.
            weight_bits: 8 for weights from -128 to 127, in the first layer.
            signs: bools, (out,), with max pooling: which pooled bits are inverted once more, so
                that the layer stores fewer ones; the next layer's weights are then negated.

        Raises:
            ConfigError: shapes or values are not as described.
        """
        w = int8_weights(weights, 4, weight_bits)
        if not is_whole(groups) or groups < 1 or len(w) % groups:
            raise ConfigError(f"{len(w)} outputs cannot be in {groups} groups")
        if pooling not in ("max", "average"):
            raise ConfigError(f'pooling is "max" or "average", not {pooling!r}')
        if not all(1 <= side <= 255 for side in w.shape[2:]):
            raise ConfigError(f"convolution weights are (out, in, height, width), not {w.shape}")
        strides = sizes(stride, 2, "stride")
        pads = sizes(padding, 4, "padding", least=0)
        limits = (*w.shape[2:], *w.shape[2:])
        if any(pad >= side for pad, side in zip(pads, limits, strict=True)):
            raise ConfigError(f"padding {padding} is as wide as the kernel {w.shape[2:]}")
        if not is_whole(pad_value) or not -128 <= pad_value <= 127:
            raise ConfigError(f"a pad value is a whole number from -128 to 127, not {pad_value}")
        window: tuple[int, ...] | None
        if isinstance(pool, (bool, np.bool_)):
            window = (2, 2) if pool else None
        elif is_whole(pool) and pool == 1:
            raise ConfigError("pool=1 pools nothing: say False for none, True for 2x2")
        else:
            window = sizes(pool, 2, "pool")
        if window is None and pool_stride is not None:
            raise ConfigError("a pool stride without pooling")
        steps = window if pool_stride is None else sizes(pool_stride, 2, "pool stride")
        t, i = decision(thresholds, inverted, len(w))
        if signs is not None and (window is None or pooling != "max"):
            raise ConfigError("signs go with max pooling; without pooling, inverted says the same")
        s = None if signs is None else bools(signs, len(w), "signs")
        rest: Any = (strides, pads, int(pad_value), window, steps, pooling, groups, weight_bits, s)
        return cls(CONV, w.transpose(0, 2, 3, 1), t, i, *rest)

    @classmethod
    def dense(
        cls,
        weights: ArrayLike,
        thresholds: ArrayLike | None = None,
        inverted: ArrayLike | None = None,
        *,
        input_shape: tuple[int, int, int] | None = None,
        flatten: str = "hwc",
        weight_bits: int = 1,
    ) -> BinaryLayer:
        """Describe a fully connected layer.

        Args:
            weights: +-1, (out, in).
            thresholds: integers, (out,); None for a last layer whose scores are its sums.
            inverted: bools, (out,); default all False.
            input_shape: (height, width, channels) of the map it flattens; None for a vector.
            flatten: order of the flattened map: "hwc" (channel last) or "chw" (torch's).
            weight_bits: 8 for weights from -128 to 127, in the first or the last layer.

        Raises:
            ConfigError: shapes or values are not as described.
        """
        w = int8_weights(weights, 2, weight_bits)
        height, width, channels = map_shape(input_shape or (1, 1, max(1, w.shape[1])))
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
            return cls(DENSE, w, None, None, weight_bits=weight_bits)
        t, i = decision(thresholds, inverted, len(w))
        return cls(DENSE, w, t, i, weight_bits=weight_bits)

    def entry(self, index: int, last: bool) -> tuple[int, ...]:
        """What a model file says of the layer: mtjkit_core.mtjb.ENTRY_FIELDS."""
        entry: tuple[int, ...]
        if self.kind == DENSE:
            sums = last and self.thresholds is None
            entry = dense_entry(index, len(self.weights), sums, self.weight_bits)
        else:
            entry = conv_entry(
                index,
                len(self.weights),
                self.weights.shape[1:3],
                self.stride,
                self.padding,
                self.pad_value,
                self.pool or (0, 0),
                self.pool_stride or (0, 0),
                self._pool_kind(),
                self.groups,
                self.weight_bits,
            )
        return entry

    def _pool_kind(self) -> int:
        if self.pooling == "average":
            return AVERAGE
        return MAX_POOL if self.signs is None else SIGNED_POOL


@dataclass(frozen=True)
class BinaryNet:
    """A whole network, checked: every layer fits the one before it."""

    name: str
    """Up to 32 bytes of UTF-8."""
    layers: Sequence[BinaryLayer]
    """The first one takes the image; the last one is dense. It may be the same one."""
    input_shape: tuple[int, int, int] = (32, 32, 3)
    """(height, width, channels) of an image."""
    pixel_rule: PixelRule | PixelTables | None = field(default_factory=PixelRule)
    """How pixels become int8; None for data that are int8 already."""
    class_names: Sequence[str] = ()
    """One for each score, two for a score whose sign decides; empty for none."""
    inputs: str = "int8"
    """What the first layer takes of the int8 input: "int8", the number; "0/1" or "+-1", whether it
    is above 0."""
    scale: NDArray[np.float32] | None = None
    """(classes,): a prediction compares scale x score + offset, in float32; None for 1."""
    offset: NDArray[np.float32] | None = None
    """(classes,); None for 0."""
    by_sign: bool = False
    """One score decides: class 1 where it is at least 0, else class 0."""

    def __post_init__(self) -> None:
        map_shape(self.input_shape)
        if self.inputs not in INPUTS:
            raise ConfigError(f"inputs are one of {', '.join(INPUTS)}, not {self.inputs!r}")
        classes = self.geometry()[-1].out_channels
        if isinstance(self.pixel_rule, PixelTables):
            tables, channels = len(self.pixel_rule.values), self.input_shape[2]
            if tables != channels:
                raise ConfigError(f"{tables} pixel tables for an input of {channels} channels")
        if self.scale is not None or self.offset is not None:
            for name, default in (("scale", 1), ("offset", 0)):
                given = getattr(self, name)
                values = np.full(classes, default) if given is None else given
                object.__setattr__(self, name, float32(values, classes, name))
        if self.by_sign and classes != 1:
            raise ConfigError(f"the sign of one score decides, but there are {classes}")

    def entries(self) -> list[tuple[int, ...]]:
        """What a model file says of the layers: mtjkit_core.mtjb.ENTRY_FIELDS."""
        last = len(self.layers) - 1
        return [layer.entry(index, index == last) for index, layer in enumerate(self.layers)]

    def geometry(self) -> list[LayerShape]:
        """Shapes and sizes of the layers.

        Raises:
            ConfigError: the layers do not fit together; the message names the layer.
        """
        try:
            layers: list[LayerShape] = chain(
                self.input_shape, self.entries(), reads=INPUTS[self.inputs]
            )
        except FormatError as error:
            raise ConfigError(f"network {self.name!r}: {error}") from None
        for spec, layer in zip(self.layers, layers, strict=True):
            depth = layer.in_channels // layer.groups
            expected = (layer.kernel_height, layer.kernel_width, depth)
            if spec.weights.shape[1:] != expected:
                got = spec.weights.shape[1:]
                raise ConfigError(
                    f"network {self.name!r}: layer {layer.index} takes weights of "
                    f"(out, {', '.join(map(str, expected))}), got (out, {', '.join(map(str, got))})"
                )
            if spec.thresholds is None and not layer.last:
                raise ConfigError(f"network {self.name!r}: layer {layer.index} needs thresholds")
        return layers
