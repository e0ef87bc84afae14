"""Layers of 16 and 32 bits in compiled code: integers in doubles, every sum exact.

The codes are those of `mtjkit_host.simulate.fixed_numpy`; firmware/native/wide_avx2.h says how.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_export.nets.fixed import FixedLayer

from mtjkit_host.simulate.compile import library
from mtjkit_host.simulate.fixed_layout import GENERATORS, is_hidden_conv
from mtjkit_host.simulate.fixed_numpy import Codes

_TILES = 24  # of 4x4 outputs, computed together
_PANEL, _GROUP = 8, 32
_INPUTS = {8: (1 << 7,), 16: (1 << 15,), 32: (1 << 15, 1 << 16, 1 << 15)}
"""The largest parts of an input: itself, or its high half, the sum of its halves, its low half."""

Doubles = npt.NDArray[np.float64]


_GEOMETRY = "rows cols channels out taps pool input_bits bits tiles"


class _WideGeometry(ctypes.Structure):
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
        moved = _transformed(parts) if is_hidden_conv(layer) else None
        self._winograd = moved is not None and _winograd_is_exact(moved, parts, layer.input_bits)
        if moved is not None and self._winograd:
            self._weights = _grouped(moved)
        else:
            if layer.kind == "conv":
                parts = parts.transpose(0, 1, 3, 4, 2)
            self._weights = _panels(parts.reshape(*parts.shape[:2], -1))

    def codes(self, inputs: Codes) -> Codes:
        """See NativeLayer.codes."""
        kind = np.dtype(f"<i{self._layer.bits // 8}")
        codes: Codes = self._run(inputs, kind, self._norm, self._winograd)
        return codes

    def values(self, inputs: Codes) -> Doubles:
        """See NativeLayer.values; of layers without batch norm."""
        values: Doubles = self._run(inputs, np.dtype(np.float64), None, False)
        return values

    def _run(self, inputs: Codes, kind: np.dtype[Any], norm: Any, winograd: bool) -> Any:
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
        if winograd:
            depth = channels + -channels % 8
            tiles = parts * 36 * (_TILES * (_GROUP + depth) + 8)
            padded = (rows + -rows % 4 + 2) * (cols + -cols % 4 + 2) * depth  # of at most 8 bytes
            work = np.empty(tiles + 17 * _GROUP + padded)
        else:
            work = np.empty(parts * padded + (2 + parts) * cols * (out + -out % _PANEL))
        geometry = _WideGeometry(
            rows=rows,
            cols=cols,
            channels=channels,
            out=out,
            taps=3 if layer.kind == "conv" else 1,
            pool=pool,
            input_bits=layer.input_bits,
            bits=layer.bits,
            tiles=_TILES,
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
            winograd,
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


def _transformed(parts: Doubles) -> Doubles:
    """Weights of a convolution as Winograd's way takes them, (parts, out, channels, 36)."""
    both = np.kron(GENERATORS, GENERATORS).T.astype(np.float64)
    moved: Doubles = (parts.reshape(-1, 9) @ both).reshape(*parts.shape[:3], -1)
    return moved


def _winograd_is_exact(moved: Doubles, parts: Doubles, input_bits: int) -> bool:
    """Whether products of transformed inputs, up to 100 times an input's part, stay below 2^51.

    So must 9 times each sum.
    """
    products = 100 * max(_largest(moved[..., k], input_bits) for k in range(moved.shape[-1]))
    return max(products, 9 * _largest(parts, input_bits)) < 2.0**51


def _panels(rows: Doubles) -> Doubles:
    """(parts, out, products) as (panels, parts, products, outputs of a panel)."""
    parts, out, products = rows.shape
    rows = np.pad(rows, ((0, 0), (0, -out % _PANEL), (0, 0)))
    rows = rows.reshape(parts, -1, _PANEL, products)
    return np.ascontiguousarray(rows.transpose(1, 0, 3, 2))


def _grouped(moved: Doubles) -> Doubles:
    """(parts, out, channels, 36) as (groups, parts, 36, panels, depth, outputs of a panel)."""
    parts, out, channels, window = moved.shape
    moved = np.pad(moved, ((0, 0), (0, -out % _GROUP), (0, -channels % 8), (0, 0)))
    moved = moved.reshape(parts, -1, _GROUP // _PANEL, _PANEL, channels + -channels % 8, window)
    return np.ascontiguousarray(moved.transpose(1, 0, 5, 2, 4, 3))
