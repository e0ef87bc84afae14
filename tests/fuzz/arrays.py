"""Numpy arrays, and networks of them, out of any bytes: half of them sensible, half not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, encode

DTYPES = (
    "i1",
    "i1",
    "f4",
    "?",
    "u1",
    "i8",
    "u8",
    "f2",
    "f8",
    "g",
    "O",
    "U3",
    "c8",
    "M8[s]",
    "i2,f4",
)
SIDES = (1, 2, 3, 3, 4, 0, 9, 31, 32, 33, 1 << 12, 1 << 20, 1 << 40)
VALUES = (1, -1, 0, 2, 0.5, np.nan, np.inf, 2**31, -(2**31) - 1, 2**63, 2**80, "x", None)
SMALL = 1 << 14  # elements; more would only take time ...
HUGE = 1 << 31  # elements that must be refused unseen


class Take:
    """Small numbers out of bytes; 0 after their end."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        return next(self._data, 0) % limit

    def one_of(self, choices: Any) -> Any:
        """One of some things."""
        return choices[self.below(len(choices))]


def array(take: Take, shape: tuple[int, ...], plain: tuple[int, ...]) -> Any:
    """An array of this shape and of some of the plain values; or, one time in 16, anything."""
    if take.below(16) != 15 and min(shape) >= 0:
        tile = [take.one_of(plain) for _ in range(3)]
        return np.resize(np.array(tile, take.one_of(("i1", "i4", "f4", "i8"))), shape)
    kind = take.below(8)
    if kind == 0:
        return [[1, -1], [1]]  # rows of different lengths
    if kind == 1:
        return take.one_of(VALUES)
    if kind > 3:
        shape = tuple(take.one_of(SIDES) for _ in range(take.below(6)))
    size = math.prod(max(1, side) for side in shape)
    if SMALL < size < HUGE or size >= 1 << 57 or min(shape, default=0) < 0:
        shape = (3, 3)
    value = take.one_of(VALUES)
    try:
        with np.errstate(all="ignore"):
            one = np.array(value).astype(take.one_of(DTYPES))
    except (ValueError, TypeError, OverflowError):
        one = np.array(value)
    return np.broadcast_to(one, shape)


def layer(take: Take, shape: tuple[int, int, int], last: bool) -> tuple[BinaryLayer, Any]:
    """A layer over a map of `shape`, and the shape of its output."""
    height, width, channels = shape
    out = take.one_of((1, 2, 3, 31, 32, 33))
    thresholds = None if last else array(take, (out,), (0, 1, -1, 5))
    inverted = array(take, (out,), (0, 1)) if take.below(2) else None
    if last or take.below(4) == 3:
        weights = array(take, (out, height * width * channels), (1, -1))
        inputs: Any = None if height * width == 1 else shape
        if take.below(8) == 7:
            inputs = tuple(take.one_of((*SIDES, -1, 1.5)) for _ in range(take.one_of((3, 2, 4))))
        order = take.one_of(("hwc", "hwc", "chw", "whc"))
        one = BinaryLayer.dense(weights, thresholds, inverted, input_shape=inputs, flatten=order)
        return one, (1, 1, out)
    side = take.one_of((3, 3, 3, 1, 2, 5))
    weights = array(take, (out, channels, side, side), (1, -1))
    padding, stride = take.one_of((1, 1, 0, 2)), take.one_of((1, 1, 2))
    pool = take.one_of((False, True, 3, 2, 1, -1, 1.5, None, "x", (2, 3, 4)))
    value = take.one_of((0, 0, 1, -1, 2, 200, 0.5))
    one = BinaryLayer.conv(
        weights,
        thresholds,
        inverted,
        stride=stride,
        padding=padding,
        pad_value=value,
        pool=pool,
    )
    window = 1 if pool is False else max(2, pool)
    sums = ((edge + 2 * padding - side) // stride + 1 for edge in (height, width))
    return one, (*(edge // window for edge in sums), out)


def build_network(data: bytes) -> bytes:
    """Build a network of arrays and write it as a model file."""
    take = Take(data)
    shape: Any = tuple(take.one_of((4, 3, 2, 1, 6)) for _ in range(3))
    count = take.one_of((2, 3, 4, 1, 5))
    layers = []
    inputs = shape
    for index in range(count):
        one, inputs = layer(take, inputs, index == count - 1)
        layers.append(one)
    if take.below(8) == 7:
        shape = tuple(take.one_of((*SIDES, -1, 1.5, "3")) for _ in range(take.one_of((3, 2, 4))))
    rule = PixelRule()
    if take.below(4) == 3:
        rule = PixelRule(*(take.one_of((1, 0, 65535, 65536, -1, 0.5, "1")) for _ in range(3)))
    names = [take.one_of(("a", "b\n", "\ud800", "\0", "", "é" * 9)) for _ in range(take.below(4))]
    name = "".join(take.one_of(("net", "\x1b", "\ud800", "x" * 32)) for _ in range(take.below(3)))
    return encode(BinaryNet(name, layers, shape, rule, names))
