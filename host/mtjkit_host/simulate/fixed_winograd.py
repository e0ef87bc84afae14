"""Hidden 3x3 convolutions of 8 bits by Winograd's F(4x4, 3x3), in compiled code.

The codes are those of `mtjkit_host.simulate.fixed_numpy`; firmware/native/winograd_avx2.h says why.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_export.nets.fixed import FixedLayer

from mtjkit_host.simulate.compile import library
from mtjkit_host.simulate.fixed_layout import GENERATORS, LANES, aligned, panels
from mtjkit_host.simulate.fixed_numpy import Codes

_TILES = 32  # of 4x4 outputs, computed together


class _WinogradGeometry(ctypes.Structure):
    """mtj_winograd of mtjkit.h."""

    _fields_ = [
        (name, ctypes.c_int32)
        for name in ["rows", "cols", "channels", "out", "chunk", "panels", "tiles", "pool"]
    ]


class Winograd:
    """A hidden convolution of 8 bits by Winograd's F(4x4, 3x3): see winograd_avx2.h.

    Args:
        layer: the layer.
        norm, line, scale, level: what NativeLayer makes of it.
    """

    def __init__(self, layer: FixedLayer, norm: Any, line: Any, scale: float, level: int) -> None:
        self._lib, self._level = library(), level
        self._layer, self._norm, self._line, self._scale = layer, norm, line, scale
        out, channels = layer.codes.shape[:2]
        self._chunk = _chunk(layer.codes)
        self._chunks = -(-channels // self._chunk)
        # Exact in float32: at most 7 * 7 * 128.
        both = np.kron(GENERATORS, GENERATORS).T.astype(np.float32)
        exact = layer.codes.reshape(-1, 9).astype(np.float32) @ both
        moved: npt.NDArray[np.int16] = exact.astype(np.int16).reshape(out, channels, -1)
        spare = self._chunks * self._chunk - channels
        moved = np.pad(moved, ((0, 0), (0, spare), (0, 0))).transpose(0, 2, 1)
        parts = [panels(part, 1).reshape(-1) for part in np.split(moved, self._chunks, 2)]
        self._weights = aligned(np.concatenate(parts))

    def codes(self, inputs: Codes) -> Codes:
        """See NativeLayer.codes."""
        layer = self._layer
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
        )
        sums = 16 * count * LANES * 4 if self._chunks > 1 else 0
        windows = 36 * 2 * (_TILES * self._chunk + 32)
        padded = (rows + -rows % 4 + 2) * (cols + -cols % 4 + 2) * self._chunk * self._chunks
        work = np.empty(_TILES * (36 * 4 * LANES + sums) + windows + padded, np.uint8)
        inputs = np.ascontiguousarray(inputs)
        result = np.empty((n, rows // layer.pool, cols // layer.pool, out), np.int8)
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
            self._level,
        )
        return result


def _chunk(codes: npt.NDArray[np.int32]) -> int:
    """Channels that are computed together, so that no sum leaves -2^25 .. 2^25 - 1."""
    reach = 128 * np.abs(codes.astype(np.int64)).sum((2, 3))  # (out, channels)
    channels = int(reach.shape[-1])
    for count in range(1, channels + 1):
        chunk = -(-channels // count)
        chunk += -chunk % 16
        sums = np.add.reduceat(reach, np.arange(0, channels, chunk), -1)
        if chunk == 16 or sums.max() < 1 << 25:
            break
    return chunk
