"""The arithmetic of an int8 TFLite file in numpy, integer by integer, as each kernel rounds.

Sums are exact everywhere; kernels differ only in how a sum becomes a code. So a file's scores
can be told to the last bit, and what is left between them and those of the trained net is the
rounding that TFLITE.md describes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mtjkit_export.formats.tflite.convert import ONE, fold_int8, weight_codes
from mtjkit_export.nets.fixed import FixedNet

Integers = NDArray[np.int64]
Rounding = Callable[[Integers, NDArray[np.float32]], Integers]
"""(sums with bias (..., out), scales (out,)) -> codes before they are clipped."""


def once(sums: Integers, scales: NDArray[np.float32]) -> Integers:
    """Round sum * scale, exact, to the nearest integer, halves to even."""
    codes: Integers = np.rint(sums * scales.astype(np.float64)).astype(np.int64)
    return codes


def float32(sums: Integers, scales: NDArray[np.float32]) -> Integers:
    """Round the sum to float32, the product to float32, then to an integer, halves to even."""
    codes: Integers = np.rint(sums.astype(np.float32) * scales).astype(np.int64)
    return codes


def twice_up(sums: Integers, scales: NDArray[np.float32]) -> Integers:
    """Round sum * scale to a fraction of a step first, then to an integer; halves up.

    scale = m * 2^-s with 1/2 <= m < 1: the fraction is 2^-s.
    """
    high, shift = _high(sums, scales)
    return (high + (1 << shift >> 1)) >> shift


def twice_away(sums: Integers, scales: NDArray[np.float32]) -> Integers:
    """As `twice_up`, but the second time halves go away from zero."""
    high, shift = _high(sums, scales)
    codes: Integers = np.sign(high) * ((np.abs(high) + (1 << shift >> 1)) >> shift)
    return codes


ROUNDINGS: dict[str, Rounding] = {
    "once": once,
    "float32": float32,
    "twice_up": twice_up,
    "twice_away": twice_away,
}
"""``once`` is the ideal; ``float32`` XNNPACK's; ``twice_up`` that of TFLite's optimized kernels on
x86-64; ``twice_away`` that of its reference kernels."""


def _high(sums: Integers, scales: NDArray[np.float32]) -> tuple[Integers, Integers]:
    """Return round(sum * scale * 2^s), and s >= 0; scales above 1 shift the sum instead."""
    fraction, exponent = np.frexp(scales.astype(np.float64))
    multiplier = np.rint(fraction * 2**31).astype(np.int64)
    product = (sums << np.maximum(exponent, 0).astype(np.int64)) * multiplier
    return (product + (1 << 30)) >> 31, np.maximum(-exponent, 0).astype(np.int64)


def trace_int8(
    net: FixedNet, images: NDArray[np.uint8], rounding: str = "once"
) -> tuple[NDArray[np.float64], list[NDArray[np.int8]]]:
    """Compute what the TFLite file of a net computes.

    Args:
        net: fixed point of 8 bits.
        images: uint8 (n, side, side, channels) RGB.
        rounding: a name of `ROUNDINGS`.

    Returns:
        Scores (n, classes), and every hidden layer's codes (n, height, width, out).

    Raises:
        ConfigError: an unknown rounding, or a net that no file holds.
    """
    if rounding not in ROUNDINGS:
        raise ConfigError(f"roundings are {', '.join(ROUNDINGS)}, not {rounding!r}")
    x = (images.astype(np.int16) - ONE).astype(np.int8)
    maps = []
    for layer in net.layers[:-1]:
        conv = layer.kind == "conv"
        folded = fold_int8(layer, (3, 3) if conv else x.shape[1:3])
        sums = _sums(np.concatenate([x, x], -1) if folded.doubled else x, folded.weights, conv)
        codes = ROUNDINGS[rounding](sums + folded.bias, folded.scales)
        x = codes.clip(-ONE, ONE - 1).astype(np.int8)
        if layer.pool == 2:
            n, height, width, out = x.shape
            x = x.reshape(n, height // 2, 2, width // 2, 2, out).max((2, 4))
        maps.append(x)
    head = weight_codes(net.layers[-1], x.shape[1:3])
    return _sums(x, head, False)[:, 0, 0] / ONE**2, maps


def _sums(x: NDArray[np.int8], weights: NDArray[np.integer], conv: bool) -> Integers:
    """Sums of products (n, height, width, out) of maps (n, height, width, in)."""
    if conv:
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        x = sliding_window_view(padded, (3, 3), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
    places = x.shape[:3] if conv else (len(x), 1, 1)
    rows = x.reshape(*places, -1).astype(np.float64)  # exact: every partial sum is below 2^53
    sums = rows @ weights.reshape(len(weights), -1).T.astype(np.float64)
    return sums.astype(np.int64)
