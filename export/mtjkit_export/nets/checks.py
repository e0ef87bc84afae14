"""Arguments of a binary net, checked: arrays and numbers as a model file can hold them.

Every function raises ConfigError for what it does not take; the message names the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.mtjb import MAX_FILE_BYTES
from numpy.typing import ArrayLike, NDArray


def is_whole(number: object) -> TypeGuard[int]:
    """Whether something is a whole number, of Python or of numpy; True and False are not."""
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def sizes(given: object, count: int, what: str, least: int = 1) -> tuple[int, ...]:
    """One number for all, or `count` numbers, each from `least` to 255."""
    values = tuple(given) if isinstance(given, (Sequence, np.ndarray)) else (given,) * count
    good = [int(value) for value in values if is_whole(value) and least <= value <= 255]
    if len(good) != count or len(values) != count:
        raise ConfigError(
            f"{what} is one whole number from {least} to 255 or {count} of them, not {given!r}"
        )
    return tuple(good)


def map_shape(shape: Sequence[int]) -> Sequence[int]:
    """The (height, width, channels) of a map."""
    whole = len(shape) == 3 and all(isinstance(n, (int, np.integer)) for n in shape)
    if not whole or min(shape) < 1:
        raise ConfigError(f"a map's shape is (height, width, channels), each at least 1: {shape}")
    return shape


def array_of(values: ArrayLike, what: str) -> NDArray[Any]:
    """Numbers as one array, not more than a model file can hold."""
    try:
        array: NDArray[Any] = np.asarray(values)
    except ValueError:
        raise ConfigError(f"{what} are not one array: rows of different lengths") from None
    if array.dtype.kind not in "biuf":
        raise ConfigError(f"{what} are numbers, not {array.dtype}")
    if array.size > 8 * MAX_FILE_BYTES:
        raise ConfigError(f"{what} are {array.size} numbers, more than a model file can hold")
    return array


def int8_weights(weights: ArrayLike, ndim: int, bits: int) -> NDArray[np.int8]:
    """Weights of `ndim` dimensions: -1 and +1 where `bits` is 1, -128 to 127 where it is 8."""
    w = array_of(weights, "weights")
    if w.ndim != ndim:
        raise ConfigError(f"weights have {w.ndim} dimensions where {ndim} are needed")
    if bits not in (1, 8):
        raise ConfigError(f"weights have 1 or 8 bits, not {bits}")
    if bits == 8:
        if not ((w == np.round(w)) & (w >= -128) & (w <= 127)).all():
            raise ConfigError("weights of 8 bits are whole numbers from -128 to 127")
    elif not np.isin(w, (-1, 1)).all():
        raise ConfigError("weights are -1 and +1 only")
    return w.astype(np.int8)


def float32(values: ArrayLike, classes: int, what: str) -> NDArray[np.float32]:
    """One float32 for each class, (classes,); see rule R26 of FORMAT.md."""
    given = array_of(values, what)
    if given.shape != (classes,):
        raise ConfigError(f"{what} has shape {given.shape}; {classes} scores need ({classes},)")
    numbers = given.astype(np.float32)
    size = np.abs(numbers)
    if not ((numbers == 0) | ((size >= 2.0**-96) & (size < 2.0**96))).all():
        raise ConfigError(f"{what}: each number is 0 or from 2**-96 to below 2**96 in size")
    return numbers


def decision(
    thresholds: ArrayLike, inverted: ArrayLike | None, out: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Thresholds int32 and inverted bool of `out` filters, (out,) each."""
    t = array_of(thresholds, "thresholds")
    if t.shape != (out,):
        several = t.ndim == 2 and out in t.shape and t.size > out
        why = ": several for each would be activations of more than one bit" if several else ""
        raise ConfigError(f"thresholds have shape {t.shape}; {out} filters need ({out},){why}")
    if not np.isfinite(t).all() or (t != np.round(t)).any():
        raise ConfigError(
            "thresholds are whole numbers: sums are, so that S >= t is S >= ceil(t), and S > t is "
            "S >= floor(t) + 1"
        )
    if ((t < -(2**31)) | (t > 2**31 - 1)).any():
        raise ConfigError("thresholds fit 32 bits with sign")
    i = bools(np.zeros(out, np.bool_) if inverted is None else inverted, out, "inverted")
    return t.astype(np.int32), i


def bools(values: ArrayLike, out: int, what: str) -> NDArray[np.bool_]:
    """One bool for each of `out` filters, (out,)."""
    given = array_of(values, what)
    if given.shape != (out,) or not np.isin(given, (0, 1)).all():
        raise ConfigError(f"{what}: one bool for each of {out} filters")
    return given.astype(np.bool_)
