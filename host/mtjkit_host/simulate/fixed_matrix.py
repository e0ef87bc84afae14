"""Layers by AMX, in compiled code: digits of 8 bits, every sum exact.

The codes are those of `mtjkit_host.simulate.fixed_numpy`; firmware/native/fixed_amx.h says how.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_export.nets.fixed import FixedLayer

from mtjkit_host.simulate.compile import library
from mtjkit_host.simulate.fixed_layout import aligned, wide_line_of
from mtjkit_host.simulate.fixed_numpy import Codes

DEPTH, OUTPUTS = 64, 16
"""Products of a tile's row, and its outputs."""


class CMatrix(ctypes.Structure):
    """mtj_matrix of mtjkit.h, and the arrays that it points to."""

    _fields_ = [
        *(
            (name, ctypes.c_int32)
            for name in ["rows", "cols", "channels", "out", "taps", "pool", "input_bits", "bits"]
        ),
        ("weights", ctypes.c_void_p),
        ("norm", ctypes.c_void_p),
        ("line", ctypes.c_void_p),
        ("scale", ctypes.c_double),
    ]


class Matrix:
    """A layer by AMX: see fixed_amx.h.

    Args:
        layer: the layer, which `fits`.
        norm, line, scale: what NativeLayer makes of it.
    """

    def __init__(self, layer: FixedLayer, norm: Any, line: Any, scale: float) -> None:
        self._lib = library()
        self._layer, self._norm, self._scale = layer, norm, scale
        self._weights = _tiles(layer)
        self._line = line
        if layer.bits > 8 and layer.norm is not None:
            self._line = wide_line_of(layer.norm, layer.bits, scale)

    def shape(self, rows: int, cols: int) -> CMatrix:
        """The layer as C takes it, for inputs of so many rows and columns; 1 each if dense."""
        layer = self._layer
        conv = layer.kind == "conv"
        shape = CMatrix(
            rows=rows,
            cols=cols,
            channels=layer.codes.shape[1],
            out=len(layer.codes),
            taps=3 if conv else 1,
            pool=layer.pool,
            input_bits=layer.input_bits,
            bits=layer.bits,
            weights=self._weights.ctypes.data,
            norm=None if self._norm is None else self._norm.ctypes.data,
            line=self._line.ctypes.data,
            scale=self._scale,
        )
        shape.arrays = self._weights, self._norm, self._line
        return shape

    def codes(self, inputs: Codes) -> Codes:
        """See NativeLayer.codes."""
        codes: Codes = self._run(inputs, np.dtype(f"<i{self._layer.bits // 8}"))
        return codes

    def values(self, inputs: Codes) -> npt.NDArray[np.float64]:
        """See NativeLayer.values; of layers without batch norm."""
        values: npt.NDArray[np.float64] = self._run(inputs, np.dtype(np.float64))
        return values

    def _run(self, inputs: Codes, kind: np.dtype[Any]) -> Any:
        layer, n, out = self._layer, len(inputs), len(self._layer.codes)
        conv = layer.kind == "conv"
        rows, cols = inputs.shape[1:3] if conv else (1, 1)
        shape = (n, rows // layer.pool, cols // layer.pool, out) if conv else (n, out)
        result = np.empty(shape, kind)
        if not n:
            return result
        geometry = self.shape(rows, cols)
        inputs = np.ascontiguousarray(inputs)
        work = np.empty(self._lib.mtj_matrix_bytes(ctypes.byref(geometry), n), np.uint8)
        self._lib.mtj_matrix_run(
            ctypes.byref(geometry),
            n,
            inputs.ctypes.data,
            inputs.strides[0],
            result.ctypes.data,
            result.strides[0],
            work.ctypes.data,
        )
        return result


def fits(layer: FixedLayer) -> bool:
    """Whether int32s hold the sums of each group of digits, and doubles those of four groups."""
    inputs, weights = layer.input_bits // 8, layer.bits // 8
    products = int(layer.codes[0].size)
    if inputs == weights == 1:
        return products < 1 << 17  # of at most 2^14
    if inputs + weights <= 5 and products >= 1 << 52 - layer.input_bits - layer.bits + 2:
        return False
    return products * min(inputs, weights) < (1 << 31) // 255**2


def _tiles(layer: FixedLayer) -> npt.NDArray[np.int8]:
    """Weights as mtj_matrix takes them."""
    codes = layer.codes
    rows = codes.transpose(0, 2, 3, 1) if layer.kind == "conv" else codes[:, None]
    rows = rows.reshape(len(codes), 3 if layer.kind == "conv" else 1, -1)  # (out, taps, products)
    spare = (0, -len(codes) % OUTPUTS), (0, 0), (0, -rows.shape[2] % DEPTH)
    digits = np.ascontiguousarray(np.pad(rows, spare), "<i4").view(np.int8)
    count = layer.bits // 8
    digits = digits.reshape(-1, OUTPUTS, rows.shape[1], digits.shape[2] // 16, 4, 4)
    # (16 outputs, output, taps, four products, product, digit)
    moved = digits[..., :count].transpose(0, 5, 2, 3, 1, 4)
    return aligned(moved)
