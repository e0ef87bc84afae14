"""Layers of 16 and 32 bits in compiled code: integers in doubles, every sum exact.

Hidden convolutions go another way: see `mtjkit_host.simulate.fixed_wide_winograd`.

The codes are those of `mtjkit_host.simulate.fixed_numpy`; firmware/native/wide_avx2.h says how.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_export.nets.fixed import FixedLayer

from mtjkit_host.simulate.compile import library
from mtjkit_host.simulate.fixed_numpy import Codes

PANEL = 8
"""Outputs that are summed together: PANEL of wide_avx2.h."""

_INPUTS = {8: (1 << 7,), 16: (1 << 15,), 32: (1 << 15, 1 << 16, 1 << 15)}
"""The largest parts of an input: itself, or its high half, the sum of its halves, its low half."""

Doubles = npt.NDArray[np.float64]


_GEOMETRY = "rows cols channels out taps pool input_bits bits tiles"


class WideGeometry(ctypes.Structure):
    """mtj_wide of mtjkit.h."""

    _fields_ = [(name, ctypes.c_int32) for name in _GEOMETRY.split()]


class Wide:
    """A layer in doubles: see wide_avx2.h.

    Args:
        layer: the layer, which `is_exact`.
        norm, scale: what NativeLayer makes of it.
    """

    def __init__(self, layer: FixedLayer, norm: Any, scale: float) -> None:
        self._lib = library()
        self._layer, self._norm, self._scale = layer, norm, scale
        parts = _parts(layer)
        if layer.kind == "conv":
            parts = parts.transpose(0, 1, 3, 4, 2)
        self._weights = _panels(parts.reshape(*parts.shape[:2], -1))

    def codes(self, inputs: Codes) -> Codes:
        """See NativeLayer.codes."""
        kind = np.dtype(f"<i{self._layer.bits // 8}")
        codes: Codes = self._run(inputs, kind, self._norm)
        return codes

    def values(self, inputs: Codes) -> Doubles:
        """See NativeLayer.values; of layers without batch norm."""
        values: Doubles = self._run(inputs, np.dtype(np.float64), None)
        return values

    def _run(self, inputs: Codes, kind: np.dtype[Any], norm: Any) -> Any:
        layer, n, out = self._layer, len(inputs), len(self._layer.codes)
        parts = len(_INPUTS[layer.input_bits])
        if layer.kind == "conv":
            _, rows, cols, channels = inputs.shape
            pool = layer.pool if norm is not None else 1
            shape: tuple[int, ...] = (n, rows // pool, cols // pool, out)
            padded = (rows + 2) * (cols + 2) * channels
        else:
            rows, cols, channels, pool, shape = 1, n, inputs[0].size, 1, (n, out)
            padded = n * channels
        work = np.empty(parts * padded + (2 + parts) * cols * (out + -out % PANEL))
        geometry = WideGeometry(
            rows=rows,
            cols=cols,
            channels=channels,
            out=out,
            taps=3 if layer.kind == "conv" else 1,
            pool=pool,
            input_bits=layer.input_bits,
            bits=layer.bits,
        )
        inputs = np.ascontiguousarray(inputs)
        result = np.empty(shape, kind)
        self._lib.mtj_wide_run(
            ctypes.byref(geometry),
            n if layer.kind == "conv" else 1,
            inputs.ctypes.data,
            self._weights.ctypes.data,
            None if norm is None else norm.ctypes.data,
            self._scale,
            result.ctypes.data,
            work.ctypes.data,
        )
        return result


def is_exact(layer: FixedLayer) -> bool:
    """Whether no sum of a layer leaves the integers that doubles hold."""
    return bool(_largest(_parts(layer), layer.input_bits) < 2.0**53)


def _parts(layer: FixedLayer) -> Doubles:
    """What inputs' parts are multiplied with, (parts, *shape of the codes)."""
    whole = layer.codes.astype(np.int64)
    if layer.input_bits < 32:
        return whole[None].astype(np.float64)
    low = ((whole + (1 << 15)) & 0xFFFF) - (1 << 15)
    high = (whole - low) >> 16
    return np.stack([high, high + low, low]).astype(np.float64)


def _largest(weights: Doubles, input_bits: int) -> float:
    """The largest sum of products with parts of inputs. weights: (parts, out, ...)."""
    reach = np.abs(weights).reshape(*weights.shape[:2], -1).sum(2).max(1)
    return float((reach * _INPUTS[input_bits]).max())


def _panels(rows: Doubles) -> Doubles:
    """(parts, out, products) as (panels, parts, products, outputs of a panel)."""
    parts, out, products = rows.shape
    rows = np.pad(rows, ((0, 0), (0, -out % PANEL), (0, 0)))
    rows = rows.reshape(parts, -1, PANEL, products)
    return np.ascontiguousarray(rows.transpose(1, 0, 3, 2))
