"""Fixed-point nets in compiled code: fixed.c of firmware/native, called through ctypes.

The codes, sums and stored bits are those of `mtjkit_host.simulate.fixed_numpy`.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_core.geometry import words_for
from mtjkit_core.streams import BUFFER, place_word
from mtjkit_core.write_errors import COUNTS, WriteErrors
from mtjkit_export.nets.fixed import FixedLayer, FixedNet

from mtjkit_host.machine import cores
from mtjkit_host.simulate import fixed_matrix, fixed_numpy, fixed_wide
from mtjkit_host.simulate.compile import key_words, library
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.first_maps import FirstMaps
from mtjkit_host.simulate.fixed_layout import LANES, Int16, is_hidden_conv, line_of, panels
from mtjkit_host.simulate.fixed_matrix import Matrix, MatrixNet
from mtjkit_host.simulate.fixed_numpy import Codes, FixedNumpy
from mtjkit_host.simulate.fixed_wide import Wide
from mtjkit_host.simulate.fixed_wide_winograd import WideWinograd
from mtjkit_host.simulate.fixed_winograd import Winograd

# mtj_fixed_layer of mtjkit.h.
_GEOMETRY = (
    "rows cols row_step col_step image_step piece_step taps pairs chunk out panels digits pool bits"
)


class _Geometry(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in _GEOMETRY.split()]


class FixedNative(FixedNumpy):
    """A fixed-point net in compiled code; see mtjkit_host.simulate.simulator.Simulator.

    Args:
        net: the net.
        threads: the most threads to use; default all processors.

    Raises:
        ConfigError: there is no compiled library here (see mtjkit_host.simulate.compile).
    """

    engine = "native"

    def __init__(self, net: FixedNet, threads: int | None = None) -> None:
        self.net = net
        self.threads = threads or cores()
        layers = [NativeLayer(layer) for layer in net.layers]
        self._layers = layers
        matrices = [layer.fast for layer in layers if isinstance(layer.fast, Matrix)]
        self._whole: MatrixNet | None = None
        if len(matrices) == len(net.layers) > 1:
            self._whole = MatrixNet(net, matrices, self.places())

    def program(self, errors: WriteErrors) -> tuple[FixedNative, npt.NDArray[np.int64]]:
        """See Simulator.program."""
        net, counts = program(self.net, errors)
        return FixedNative(net, self.threads), counts

    def places(self) -> Words:
        """See mtjkit_host.simulate.repeated.Native.places."""
        bits = [elements * self.net.bits for elements in self.net.map_elements()]
        rows = [
            (words_for(n), words_for(n), n, place_word(BUFFER, layer, 0))
            for layer, n in enumerate(bits)
        ]
        return np.array(rows, np.uint32).reshape(len(bits), 4)

    @property
    def first_bytes(self) -> int:
        """See mtjkit_host.simulate.repeated.Native."""
        return sum(self.net.map_elements()[:1]) * self.net.bits // 8

    def _some(
        self,
        inputs: npt.NDArray[np.int8],
        images: Words,
        errors: WriteErrors,
        sizes: list[int],
        maps: list[Words] | None,
        first: FirstMaps | None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        if self._whole is not None and errors.plain:
            return self._whole.run(inputs, images, errors, maps, first)
        return super()._some(inputs, images, errors, sizes, maps, first)

    def _write(
        self,
        cells: Words,
        intended: Words,
        bits: int,
        errors: WriteErrors,
        images: Words,
        layer: int,
    ) -> npt.NDArray[np.int64]:
        return write(cells, intended, bits, errors, images, layer)


def program(net: FixedNet, errors: WriteErrors) -> tuple[FixedNet, npt.NDArray[np.int64]]:
    """See mtjkit_host.simulate.simulator.program."""
    return fixed_numpy.program(net, errors, write)


def write(
    cells: Words,
    intended: Words,
    bits: int,
    errors: WriteErrors,
    images: Words,
    layer: int,
    memory: int = BUFFER,
) -> npt.NDArray[np.int64]:
    """`mtjkit_host.simulate.fixed_numpy.write` in compiled code; there itself on a chip."""
    if not errors.plain:
        return fixed_numpy.write(cells, intended, bits, errors, images, layer, memory)
    counts = np.empty((len(cells), len(COUNTS)), np.uint32)
    key = key_words(errors.seed)
    words = errors.map_words(layer) if memory == BUFFER else errors.weight_words(layer)
    limits = np.array(words, np.uint32)
    library().mtj_fixed_write(
        len(cells),
        bits,
        cells.ctypes.data,
        cells.strides[0] // 4,
        intended.ctypes.data,
        images.ctypes.data,
        key.ctypes.data,
        place_word(memory, layer, 0),
        limits.ctypes.data,
        counts.ctypes.data,
    )
    return counts.astype(np.int64)


class NativeLayer:
    """One layer in compiled code.

    Args:
        layer: the layer.
        level: 3 for AMX, 2 for AVX-512 with VNNI, 1 for AVX2, 0 for plain C; default the
            processor's best.

    Raises:
        ConfigError: there is no compiled code here (see mtjkit_host.simulate.compile).
    """

    def __init__(self, layer: FixedLayer, level: int | None = None) -> None:
        self._lib = library()
        self._level = self._lib.mtj_fixed_level() if level is None else level
        self._layer = layer
        self._pieces = layer.input_bits // 32 + 1
        self._digits = layer.bits // 8
        self._scale = 0.5 ** (layer.bits - 1 + layer.input_bits - 1)
        self._norm, self._line = None, np.empty(0, np.float32)
        if layer.norm is not None:
            norm = layer.norm
            sign = np.where(norm.gamma < 0, -1.0, 1.0)
            self._norm = np.stack([sign, norm.mean, norm.gamma, norm.std, norm.beta])
            self._line = line_of(norm, self._scale)
        self.fast: Matrix | Winograd | WideWinograd | Wide | None = None
        if self._level == 3 and fixed_matrix.fits(layer):
            self.fast = Matrix(layer, self._norm, self._line, self._scale)
        elif self._level and is_hidden_conv(layer):
            if layer.bits == 8:
                self.fast = Winograd(layer, self._norm, self._line, self._scale, self._level)
            else:
                self.fast = WideWinograd(layer, self._norm, self._scale)
        elif self._level and layer.bits > 8 and fixed_wide.is_exact(layer):
            self.fast = Wide(layer, self._norm, self._scale)

    @functools.cached_property
    def _weights(self) -> Int16:
        """The weights of `_run`."""
        rows = self._layer.codes  # (out, taps, products of a tap)
        if self._layer.kind == "conv":
            rows = rows.transpose(0, 2, 3, 1).reshape(len(rows), rows.shape[2], -1)
        else:
            rows = rows[:, None]
        return panels(rows, self._digits)

    @functools.cached_property
    def _fixed(self) -> npt.NDArray[np.int64]:
        """What the low pieces leave out of every input, 2^15 times the weight."""
        codes = self._layer.codes
        fixed = np.zeros(self._weights.shape[0] * LANES // self._digits, np.int64)
        fixed[: len(codes)] = codes.reshape(len(codes), -1).sum(1, dtype=np.int64) << 15
        return fixed

    def codes(self, inputs: Codes) -> Codes:
        """Output codes, (n, y, x, channel) or (n, channel); inputs as in `values`."""
        if self.fast is not None:
            return self.fast.codes(inputs)
        codes: Codes = self._run(inputs, np.dtype(f"<i{self._layer.bits // 8}"), self._norm)
        return codes

    def values(self, inputs: Codes) -> npt.NDArray[np.float64]:
        """Sums S in values, each rounded once, (n, y, x, out) or (n, out).

        Args:
            inputs: codes (n, y, x, channel), or (n, elements) for a dense layer.
        """
        if isinstance(self.fast, Matrix | Wide) and self._norm is None:
            return self.fast.values(inputs)
        sums: npt.NDArray[np.float64] = self._run(inputs, np.dtype(np.float64), None)
        return sums

    def _run(self, inputs: Codes, kind: np.dtype[Any], norm: Any) -> Any:
        layer, n = self._layer, len(inputs)
        conv = layer.kind == "conv"
        if conv:
            _, rows, cols, channels = inputs.shape
            shape: tuple[int, ...] = (n, rows + 2, cols + 2, channels)
            inner: Any = np.s_[:, 1:-1, 1:-1]
        else:
            rows, cols, channels = 1, n, inputs[0].size
            shape, inner = (n, channels), np.s_[:]
            inputs = inputs.reshape(shape)
        x = self._split(inputs, shape, inner)
        row = shape[2] * channels if conv else 0
        pool = layer.pool if norm is not None else 1
        count, taps, pairs = self._weights.shape[:3]
        largest = 1 << (min(layer.input_bits, 16) - 1 + 7)  # product of two pieces
        geometry = _Geometry(
            rows=rows,
            cols=cols,
            row_step=row,
            col_step=channels,
            image_step=shape[1] * row if conv else 0,
            piece_step=int(np.prod(shape)) if self._pieces == 2 else 0,
            taps=taps,
            pairs=pairs,
            chunk=((1 << 31) - 1) // (2 * largest),
            out=len(layer.codes),
            panels=count,
            digits=self._digits,
            pool=pool,
            bits=layer.bits,
        )
        out = (n, rows // pool, cols // pool, len(layer.codes)) if conv else (n, len(layer.codes))
        result = np.empty(out, kind)
        work = np.empty(4 * cols * len(self._fixed) + len(layer.codes), np.int64)
        self._lib.mtj_fixed_run(
            ctypes.byref(geometry),
            n if conv else 1,
            x.ctypes.data,
            self._weights.ctypes.data,
            self._fixed.ctypes.data,
            None if norm is None else norm.ctypes.data,
            self._line.ctypes.data,
            self._scale,
            result.ctypes.data,
            work.ctypes.data,
            self._level,
        )
        return result

    def _split(self, inputs: Codes, shape: tuple[int, ...], inner: Any) -> Int16:
        """Inputs as int16 pieces with zeros around them, and one spare at the end."""
        size = int(np.prod(shape))
        flat = np.zeros(self._pieces * size + 1, np.int16)
        pieces = flat[:-1].reshape(self._pieces, *shape)
        if self._pieces == 1:
            pieces[0][inner] = inputs
        else:
            halves = inputs[..., None].view("<i2")  # (..., low and high)
            pieces[1] = -(1 << 15)  # the low piece of 0
            np.bitwise_xor(halves[..., 0], -(1 << 15), out=pieces[1][inner])  # less 2^15
            pieces[0][inner] = halves[..., 1]
        return flat
