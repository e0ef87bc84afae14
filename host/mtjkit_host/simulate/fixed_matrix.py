"""Layers by AMX, in compiled code: digits of 8 bits, every sum exact.

The codes are those of `mtjkit_host.simulate.fixed_numpy`; firmware/native/fixed_amx.h says how.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_core.write_errors import COUNTS, WriteErrors
from mtjkit_export.nets.fixed import FixedLayer, FixedNet

from mtjkit_host.simulate.compile import key_words, library
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.first_maps import CFirst, FirstMaps
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


class MatrixNet:
    """A net whose layers all go by AMX: images through all of them, in compiled code.

    Args:
        net: the net.
        layers: its layers.
        places: where hidden layers' maps are written: rows of mtj_place.
    """

    def __init__(self, net: FixedNet, layers: Sequence[Matrix], places: Words) -> None:
        self._lib = library()
        side, self._parts = net.side, []
        for fixed, layer in zip(net.layers, layers, strict=True):
            side = side if fixed.kind == "conv" else 1
            self._parts.append(layer.shape(side, side))
            side //= fixed.pool
        self._layers = (CMatrix * len(layers))(*self._parts)
        self._places, self._classes = places, net.classes
        first = self._parts[0]
        sides = () if first.taps == 1 else (first.rows // first.pool, first.cols // first.pool)
        self._first = *sides, first.out
        self._kind = np.dtype(f"<i{net.bits // 8}")

    def run(
        self,
        inputs: npt.NDArray[np.int8],
        images: Words,
        errors: WriteErrors,
        maps: list[Words] | None,
        first: FirstMaps | None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Scores (n, classes) and counts (n, 5) of images.

        Args:
            inputs: images as the first layer takes them.
            images: their numbers.
            errors: the error process, which is plain.
            maps: room for the stored maps of each hidden layer, (n, words).
            first: see mtjkit_host.simulate.repeated.Native.run.
        """
        n, count = len(inputs), len(self._layers)
        scores = np.empty((n, self._classes))
        counts = np.empty((n, len(COUNTS)), np.uint32)
        limits = np.array([errors.map_words(k) for k in range(count - 1)], np.uint32)
        key = key_words(errors.seed)
        kept = None
        if first is not None:
            first.hold(self._kind, self._first)
            kept = CFirst.of(first)
        trace = None if maps is None else (ctypes.c_void_p * len(maps))(*map(_address, maps))
        work = np.empty(self._lib.mtj_matrix_images_bytes(self._layers, count), np.uint8)
        self._lib.mtj_matrix_images(
            self._layers,
            count,
            n,
            inputs.ctypes.data,
            images.ctypes.data,
            key.ctypes.data,
            self._places.ctypes.data,
            limits.ctypes.data,
            None if kept is None else ctypes.byref(kept),
            scores.ctypes.data,
            counts.ctypes.data,
            trace,
            work.ctypes.data,
        )
        return scores, counts.astype(np.int64)


def _address(array: Words) -> int:
    return array.ctypes.data
