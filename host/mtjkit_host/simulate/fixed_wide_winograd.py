"""Hidden 3x3 convolutions of 16 and 32 bits by Winograd's F(4x4, 3x3), in compiled code.

The codes are those of `mtjkit_host.simulate.fixed_numpy`. Sums are rounded, so a code is taken from
them only where no tie is near; firmware/native/wide_winograd_avx2.h computes the others exactly.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_export.nets.fixed import FixedLayer

from mtjkit_host.simulate.compile import library
from mtjkit_host.simulate.fixed_layout import GENERATORS, wide_line_of
from mtjkit_host.simulate.fixed_numpy import Codes
from mtjkit_host.simulate.fixed_wide import PANEL, WideGeometry

_TILES = 24  # of 4x4 outputs, computed together, a multiple of 6
_GROUP = 32  # outputs whose products are kept together
_BACK = np.array(  # 24 times four outputs, of six products
    [[6, 4, 4, 1, 1, 0], [0, 4, -4, 2, -2, 0], [0, 4, 4, 4, 4, 0], [0, 4, -4, 8, -8, 24]]
)
_ROUNDINGS = 8  # that a product undergoes at most after its sum: six on the way back
_UNIT = 2.0**-53  # a rounding changes a number by at most this share

Doubles = npt.NDArray[np.float64]


class WideWinograd:
    """A hidden convolution of 16 or 32 bits: see wide_winograd_avx2.h.

    Args:
        layer: the layer.
        norm, scale: what NativeLayer makes of it.
    """

    def __init__(self, layer: FixedLayer, norm: Any, scale: float) -> None:
        self._lib = library()
        self._layer, self._norm, self._scale = layer, norm, scale
        moved = _transformed(layer.codes)
        self._weights = _grouped(moved)
        self._line = _line(layer, _bounds(moved, layer.pool), scale)
        self._codes = np.ascontiguousarray(layer.codes.transpose(0, 2, 3, 1), np.int32)

    def codes(self, inputs: Codes) -> Codes:
        """See NativeLayer.codes."""
        layer, out = self._layer, len(self._layer.codes)
        n, rows, cols, channels = inputs.shape
        depth = channels + -channels % 8
        padded = (rows + -rows % 4 + 2) * (cols + -cols % 4 + 2) * depth  # of at most 8 bytes
        work = np.empty(36 * (_TILES * (_GROUP + depth) + 8) + _TILES + padded)
        geometry = WideGeometry(
            rows=rows,
            cols=cols,
            channels=channels,
            out=out,
            pool=layer.pool,
            input_bits=layer.input_bits,
            bits=layer.bits,
            tiles=_TILES,
        )
        inputs = np.ascontiguousarray(inputs)
        shape = n, rows // layer.pool, cols // layer.pool, out
        result = np.empty(shape, f"<i{layer.bits // 8}")
        self._lib.mtj_wide_winograd_run(
            ctypes.byref(geometry),
            n,
            inputs.ctypes.data,
            self._weights.ctypes.data,
            self._codes.ctypes.data,
            self._norm.ctypes.data,
            self._line.ctypes.data,
            self._scale,
            result.ctypes.data,
            work.ctypes.data,
        )
        return result


def _transformed(codes: npt.NDArray[np.int32]) -> Doubles:
    """Weights as Winograd's way takes them, exact, (36, out, channels)."""
    both = np.kron(GENERATORS, GENERATORS).astype(np.float64)
    moved: Doubles = both @ codes.reshape(-1, 9).T.astype(np.float64)
    return moved.reshape(-1, *codes.shape[:2])


def _grouped(moved: Doubles) -> Doubles:
    """(36, out, channels) as (groups, 36, panels, depth, outputs of a panel)."""
    window, out, channels = moved.shape
    moved = np.pad(moved, ((0, 0), (0, -out % _GROUP), (0, -channels % 8)))
    moved = moved.reshape(window, -1, _GROUP // PANEL, PANEL, channels + -channels % 8)
    return np.ascontiguousarray(moved.transpose(1, 0, 2, 4, 3))


def _line(layer: FixedLayer, bounds: Doubles, scale: float) -> Doubles:
    """What wide_winograd_avx2.h takes for codes, (3 + places, outputs of all groups).

    That of wide_line_of with the factor of 576 times a sum, and the bounds of this sum.
    """
    if layer.norm is None:
        raise ValueError("a hidden layer has batch norm")
    line = wide_line_of(layer.norm, layer.bits, scale)
    line[0] /= 576
    spread = np.zeros((len(bounds), line.shape[1]))
    spread[:, : bounds.shape[1]] = bounds * np.abs(line[0, : bounds.shape[1]])
    return np.concatenate([line, spread])


def _bounds(moved: Doubles, pool: int) -> Doubles:
    """How far 576 times a sum can be from the exact one, for each unit of a tile's length.

    A sum of products is added up channel by channel, then with other sums. Each of these roundings
    changes it by at most _UNIT times what has been added up, so a product of channel c takes part
    in `roundings[c]` of them. The sum over products of |input| |weight| roundings is at most the
    length of all inputs times that of all |weight| roundings (Cauchy and Schwarz).

    Returns:
        (places after pooling, out): the largest bound of what is pooled.
    """
    channels = moved.shape[-1]
    roundings = np.arange(channels, 0, -1) + _ROUNDINGS
    lengths = ((moved * roundings) ** 2).sum(-1)  # (36, out)
    places = np.sqrt(np.kron(_BACK, _BACK) ** 2 @ lengths)  # (16, out)
    places = places.reshape(4 // pool, pool, 4 // pool, pool, -1).max((1, 3))
    bounds: Doubles = 1.001 * _UNIT * places.reshape((4 // pool) ** 2, -1)
    return bounds
