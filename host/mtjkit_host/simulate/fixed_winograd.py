"""Hidden 3x3 convolutions of fixed-point nets by Winograd's F(4x4, 3x3), in compiled code.

The codes are those of `mtjkit_host.simulate.fixed_numpy`; firmware/native/fixed_avx2.h says why.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_export.nets.fixed import FixedLayer

from mtjkit_host.simulate.compile import library
from mtjkit_host.simulate.fixed_layout import LANES, aligned, panels, pieces_of
from mtjkit_host.simulate.fixed_numpy import Codes

_TILES = 32  # of 4x4 outputs, computed together
_TRANSFORM = np.array(
    [[1, 0, 0], [-1, -1, -1], [-1, 1, -1], [1, 2, 4], [1, -2, 4], [0, 0, 1]], np.int64
)
"""Of a weight's column; Lavin and Gray's G, each row times 4, 6, 6, 24, 24, 1."""


class _WinogradGeometry(ctypes.Structure):
    """mtj_winograd of mtjkit.h."""

    _fields_ = [
        (name, ctypes.c_int32)
        for name in ["rows", "cols", "channels", "out", "chunk", "panels", "tiles", "pool", "bits"]
    ]


class Winograd:
    """A hidden convolution by Winograd's F(4x4, 3x3): see fixed_avx2.h.

    Args:
        layer: the layer.
        norm, line, scale: what NativeLayer makes of it.
    """

    def __init__(self, layer: FixedLayer, norm: Any, line: Any, scale: float) -> None:
        self._lib = library()
        self._layer, self._norm, self._line, self._scale = layer, norm, line, scale
        out, channels = layer.codes.shape[:2]
        pieces = pieces_of(layer.codes, layer.bits // 8)
        self._chunk = _chunk(pieces)
        count = -(-channels // self._chunk)
        spare = count * self._chunk - channels
        # Exact in float32: at most 7 * 7 * 128.
        both = np.kron(_TRANSFORM, _TRANSFORM).T.astype(np.float32)
        exact = pieces.reshape(-1, 9).astype(np.float32) @ both
        moved: npt.NDArray[np.int16] = exact.astype(np.int16).reshape(*pieces.shape[:3], -1)
        moved = np.pad(moved, ((0, 0), (0, 0), (0, spare), (0, 0)))
        # (pieces, out, window, chunks, channels)
        moved = moved.reshape(len(pieces), out, count, self._chunk, -1).transpose(0, 1, 4, 2, 3)
        parts = []
        for chunk in range(count):
            for degree in _degrees(len(pieces)):
                rows = moved[degree, :, :, chunk]  # (of the degree, out, window, channels)
                rows = rows.transpose(1, 2, 0, 3).reshape(out, moved.shape[2], -1)
                parts.append(panels(rows, 1).reshape(-1))
        self._weights = aligned(np.concatenate(parts))

    def codes(self, inputs: Codes, level: int) -> Codes:
        """See NativeLayer.codes."""
        layer, bits = self._layer, self._layer.bits
        n, rows, cols, channels = inputs.shape
        out = len(layer.codes)
        count = -(-out // LANES)  # of panels
        geometry = _WinogradGeometry(
            rows=rows,
            cols=cols,
            channels=channels,
            out=out,
            chunk=self._chunk,
            panels=count,
            tiles=_TILES,
            pool=layer.pool,
            bits=bits,
        )
        stride = count * LANES
        wide = (2 if bits == 32 else 1) * 16 * stride * 8
        window = 36 * (4 * stride + bits // 8 * self._chunk * 2)
        work = np.empty(_TILES * (wide + window) + 17 * stride * 8, np.uint8)
        inputs = np.ascontiguousarray(inputs)
        kind = np.dtype(f"<i{bits // 8}")
        result = np.empty((n, rows // layer.pool, cols // layer.pool, out), kind)
        self._lib.mtj_winograd_run(
            ctypes.byref(geometry),
            n,
            inputs.ctypes.data,
            self._weights.ctypes.data,
            self._norm.ctypes.data,
            self._line.ctypes.data,
            self._scale,
            result.ctypes.data,
            work.ctypes.data,
            level,
        )
        return result


def _degrees(pieces: int) -> list[list[int]]:
    """The weight pieces degree - a of every degree, in the order of the input pieces a."""
    return [
        [degree - a for a in range(pieces) if 0 <= degree - a < pieces]
        for degree in range(2 * pieces - 1)
    ]


def _chunk(pieces: npt.NDArray[np.int64]) -> int:
    """Channels that are computed together, so that no sum leaves -2^25 .. 2^25 - 1."""
    reach = 128 * np.abs(pieces).sum((3, 4))  # (pieces, out, channels)
    reach = np.stack([reach[degree].sum(0) for degree in _degrees(len(pieces))])
    channels = int(reach.shape[-1])
    for count in range(1, channels + 1):
        chunk = -(-channels // count)
        chunk += -chunk % 16
        sums = np.add.reduceat(reach, np.arange(0, channels, chunk), -1)
        if chunk == 16 or sums.max() < 1 << 25:
            break
    return chunk
