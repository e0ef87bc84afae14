"""How the kernels of fixed.c take weights and batch norm."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from mtjkit_export.nets.fixed import FixedLayer, FoldedNorm

LANES = 32
"""Sums that the kernels compute at once: LANES of fixed.c."""

GENERATORS = np.array(
    [[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 1]], np.int64
)
"""Of a weight's column by Winograd's F(4, 3); Lavin and Gray's G, its rows times 4, 6, 6, 24, 24,
1."""

_CHANNELS = 16
"""A convolution of fewer is computed faster as it is."""

Int16 = npt.NDArray[np.int16]
Kind = TypeVar("Kind", bound=np.generic)

_UNIT = 2.0**-53  # a rounding changes a number by at most this share


def is_hidden_conv(layer: FixedLayer) -> bool:
    """Whether a layer is a convolution that goes by Winograd's way."""
    hidden = layer.kind == "conv" and layer.norm is not None and layer.input_bits == layer.bits
    return hidden and layer.codes.shape[1] >= _CHANNELS


def line_of(norm: FoldedNorm, scale: float) -> npt.NDArray[np.float32]:
    """What fixed_avx2.h takes for codes of 8 bits, (4, outputs of all panels).

    A code is sum * factor + offset, rounded and clipped. Computed in float32, this differs from
    the definition's float64 by at most 2^-21 (160 + size), with size that of the offset's parts;
    so it is sure where it is not nearer to a tie than twice that.
    """
    line = np.zeros((4, -(-len(norm.mean) // LANES) * LANES), np.float32)
    at = np.s_[: len(norm.mean)]
    with np.errstate(over="ignore", invalid="ignore"):
        slope = norm.gamma / norm.std * 128
        line[0, at] = slope * scale
        line[1, at] = norm.beta * 128 - norm.mean * slope
        size = np.abs(norm.beta * 128) + np.abs(norm.mean * slope)
        line[2] = 0.5
        line[2, at] -= 2.0**-20 * (256 + size)
    line.view(np.int32)[3, at] = np.where(norm.gamma < 0, -1, 0)
    return line


def wide_line_of(norm: FoldedNorm, bits: int, scale: float) -> npt.NDArray[np.float64]:
    """The same for codes of 16 and 32 bits in doubles, (3, outputs of all panels).

    Computed with an exact sum, and by the definition, a code differs from its real value by less
    than 16 roundings of 2 plus the parts of the offset, where it is not clipped.
    """
    out, one = len(norm.mean), 2.0 ** (bits - 1)
    line = np.zeros((3, out + -out % LANES))
    with np.errstate(over="ignore", invalid="ignore"):
        slope = norm.gamma / norm.std
        line[0, :out] = slope * one * scale
        line[1, :out] = (norm.beta - norm.mean * slope) * one
        size = np.abs(norm.beta) + np.abs(norm.mean * slope)
        line[2] = 0.5
        line[2, :out] -= 16 * _UNIT * one * (2 + size)
    return line


def pieces_of(codes: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    """Codes as pieces of 8 bits, (count, *shape).

    codes = sum of 2^(8 k) pieces[k], each within -128 .. 128.
    """
    whole = codes.astype(np.int64)
    pieces = np.empty((count, *whole.shape), np.int64)
    for piece in pieces[:-1]:
        piece[...] = ((whole + 128) & 255) - 128
        whole = (whole - piece) >> 8
    pieces[-1] = whole
    return pieces


def panels(rows: npt.NDArray[np.signedinteger[Any]], digits: int) -> Int16:
    """Weights as the kernels read them.

    Args:
        rows: (out, taps, products).
        digits: 8-bit pieces of a weight, 1 to 4: w = sum of 2^(8 d) piece[d].

    Returns:
        (panels, taps, pairs, digits, outputs of a panel, 2), zeros where it is filled up.
    """
    out, taps, products = rows.shape
    share = LANES // digits
    whole = np.zeros((-(-out // share) * share, taps, products + products % 2), np.int32)
    whole[:out, :, :products] = rows
    pieces = pieces_of(whole, digits).astype(np.int16)
    panels = pieces.reshape(digits, -1, share, taps, pieces.shape[-1] // 2, 2)
    return aligned(panels.transpose(1, 3, 4, 0, 2, 5))


def aligned(values: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
    """A copy whose first element lies on a cache line."""
    space = np.empty(values.nbytes + 64, np.uint8)
    start = -space.ctypes.data % 64
    copy = space[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy
