"""Fixed-point nets in numpy: integer codes in, integer codes out, errors between.

A hidden layer computes S, the sum of products of values (code / 2^(bits-1)); y = batch norm of S
in float64, one rounding an operation; 2x2 max pooling where the layer has it; then the code
clip(rint(y * 2^(bits-1)), -2^(bits-1), 2^(bits-1) - 1), halves to even. So does the trained net
in eval mode (`mtjkit_host.train.modules`).

Every S is exact, or, where it takes more than 53 bits (hidden layers of 32 bits), the exact sum
rounded once to float64.

The memory is that of firmware/MEMORY.md with wider elements. A map is one run of bits: element
i's code, in (y, x, channel) order, takes the bits i * bits ... (i + 1) * bits - 1, two's
complement, least significant bit first. So are all weights of a layer, in (out, y, x, in) order.
Halves, streams, draws and counts are those of binary nets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from mtjkit_core.geometry import words_for
from mtjkit_core.streams import BUFFER, WEIGHTS
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from mtjkit_export.nets.fixed import FixedLayer, FixedNet
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mtjkit_host.simulate import draws
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.first_maps import FirstMaps
from mtjkit_host.simulate.inputs import checked
from mtjkit_host.simulate.threads import share_out

Codes = NDArray[Any]
"""Integer codes: int8, int16 or int32."""

_MAP_BYTES = 4 << 20  # of the largest map of all images that are computed together
_PATCH_BYTES = 32 << 20  # of one block's patch matrix: near the cache, and bounded


class ComputesLayer(Protocol):
    """What NumpyLayer and `fixed_native.NativeLayer` both are."""

    def codes(self, inputs: Codes) -> Codes:
        """Output codes (n, y, x, channel) or (n, channel) of a hidden layer."""
        ...

    def values(self, inputs: Codes) -> NDArray[np.float64]:
        """Sums S in values."""
        ...


class FixedNumpy:
    """A fixed-point net in numpy; see mtjkit_host.simulate.simulator.Simulator.

    Args:
        net: the net.
    """

    engine = "numpy"
    threads = 1

    def __init__(self, net: FixedNet) -> None:
        self.net = net
        self._layers: Sequence[ComputesLayer] = [NumpyLayer(layer) for layer in net.layers]

    @property
    def bits(self) -> int:
        """See Simulator.bits."""
        return self.net.bits

    @property
    def arithmetic(self) -> str:
        """See Simulator.arithmetic."""
        return f"integer codes, every sum exact (twin: {self.engine})"

    def program(self, errors: WriteErrors) -> tuple[FixedNumpy, NDArray[np.int64]]:
        """See Simulator.program."""
        net, counts = program(self.net, errors)
        return FixedNumpy(net), counts

    def run(
        self,
        images: NDArray[Any],
        indices: NDArray[Any] | None = None,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
        first: FirstMaps | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """See Simulator.run, and mtjkit_host.simulate.repeated.Native.run."""
        inputs, numbers = checked(self.net, images, indices, errors)
        n = len(inputs)
        sizes = [words_for(elements * self.net.bits) for elements in self.net.map_elements()]
        scores = np.empty((n, self.net.classes))
        counts = np.empty((n, len(COUNTS)), np.int64)
        maps = [np.empty((n if trace is not None else 0, words), np.uint32) for words in sizes]

        def part(at: int, end: int) -> None:
            stored = None if trace is None else [words[at:end] for words in maps]
            scores[at:end], counts[at:end] = self._some(
                inputs[at:end], numbers[at:end], errors, sizes, stored, first
            )

        share_out(n, self.threads, part, max(1, _MAP_BYTES // (4 * max(sizes, default=1))))
        if trace is not None:
            trace.extend(maps)
        return scores, counts

    def elements(self, trace: list[Words]) -> list[Codes]:
        """See Simulator.elements."""
        sizes = self.net.map_elements()
        return [
            unpack(words, size, self.net.bits) for words, size in zip(trace, sizes, strict=True)
        ]

    def _some(
        self,
        inputs: NDArray[np.int8],
        images: Words,
        errors: WriteErrors,
        sizes: list[int],
        maps: list[Words] | None,
        first: FirstMaps | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        n, bits = len(inputs), self.net.bits
        words_of = [max(sizes[half::2], default=0) for half in (0, 1)]
        halves = draws.halves_before(errors, images, words_of)
        counts = np.zeros((n, len(COUNTS)), np.int64)
        codes: Codes = inputs
        for index, layer in enumerate(self._layers[:-1]):
            intended = self._first_codes(codes, images, first) if index == 0 else layer.codes(codes)
            size = intended[0].size
            cells = halves[index & 1][:, : sizes[index]]
            words = pack(intended.reshape(n, -1))
            counts += self._write(cells, words, size * bits, errors, images, index)
            if maps is not None:
                maps[index][:] = cells
            # Not a copy: the next layer writes the other half.
            codes = cells.view(f"<i{bits // 8}")[:, :size].reshape(intended.shape)
        return self._layers[-1].values(codes), counts

    def _first_codes(self, codes: Codes, images: Words, first: FirstMaps | None) -> Codes:
        """The first layer's codes (n, ...), kept in `first`."""
        if first is None:
            return self._layers[0].codes(codes)
        kept = first.of(images)
        if kept is None:
            made = self._layers[0].codes(codes)
            first.keep(images, made)
            return made
        return kept

    def _write(
        self,
        cells: Words,
        intended: Words,
        bits: int,
        errors: WriteErrors,
        images: Words,
        layer: int,
    ) -> NDArray[np.int64]:
        return write(cells, intended, bits, errors, images, layer)


class NumpyLayer:
    """One layer in numpy: the plain reference of `fixed_native.NativeLayer`."""

    def __init__(self, layer: FixedLayer) -> None:
        self.layer = layer
        # No partial sum is larger, whatever the inputs are.
        reach = np.abs(layer.codes.astype(np.int64)).reshape(len(layer.codes), -1).sum(1).max()
        top = int(reach) << (layer.input_bits - 1)
        self.scale = 0.5 ** (layer.bits - 1 + layer.input_bits - 1)
        # (products, out): a window is (y, x, channel).
        weights = np.moveaxis(layer.codes, 1, -1).reshape(len(layer.codes), -1).T
        self.dtype = np.float32 if top <= 1 << 24 else np.float64
        self.halves = None if top <= 1 << 53 else [h.astype(np.float64) for h in _halves(weights)]
        self.weights: NDArray[Any] = weights.astype(self.dtype)

    def codes(self, inputs: Codes) -> Codes:
        """Output codes, (n, y, x, channel) or (n, channel); inputs as in `values`."""
        norm = self.layer.norm
        if norm is None:
            raise ValueError("the last layer has sums only")
        y = norm(self.values(inputs))
        if self.layer.pool == 2:  # the quantizer never falls where its input rises
            n, height, width, out = y.shape
            y = y[:, : height & ~1, : width & ~1]
            y = y.reshape(n, height // 2, 2, width // 2, 2, out).max((2, 4))
        one = 1 << (self.layer.bits - 1)
        codes: Codes = np.rint(y * one).clip(-one, one - 1)
        return codes.astype(f"<i{self.layer.bits // 8}")

    def values(self, inputs: Codes) -> NDArray[np.float64]:
        """Sums S in values, each rounded once, (n, y, x, out) or (n, out).

        Args:
            inputs: codes (n, y, x, channel), or (n, elements) for a dense layer.
        """
        if self.layer.kind == "dense":
            return self._sums(inputs.reshape(len(inputs), -1))
        image_bytes = inputs[0].size * self.layer.codes[0, 0].size * 8
        block = max(1, _PATCH_BYTES // image_bytes)
        parts = [self._map(inputs[at : at + block]) for at in range(0, len(inputs), block)]
        return np.concatenate(parts)

    def _map(self, inputs: Codes) -> NDArray[np.float64]:
        _, channels, height, width = self.layer.codes.shape
        p = self.layer.padding
        padded = np.pad(inputs, ((0, 0), (p, p), (p, p), (0, 0)))
        windows = sliding_window_view(padded, (height, width), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
        sums = self._sums(windows.reshape(-1, height * width * channels))
        return sums.reshape(*windows.shape[:3], -1)

    def _sums(self, rows: Codes) -> NDArray[np.float64]:
        """S of windows (m, products), (m, out)."""
        if self.halves is None:
            exact: NDArray[Any] = rows.astype(self.dtype)
            exact = (exact @ self.weights).astype(np.float64)
            return exact * self.scale
        high, low = (half.astype(np.float64) for half in _halves(rows))
        w_high, w_low = self.halves
        hh, ll = high @ w_high, low @ w_low
        mixed = (high + low) @ (w_high + w_low) - hh - ll
        # S = hh 2^32 + mixed 2^16 + ll, regrouped as a 2^32 + b with 0 <= b < 2^32: both
        # products are exact in float64, so their sum is the exact S rounded once.
        rest = (mixed.astype(np.int64) << 16) + ll.astype(np.int64)
        a = (hh.astype(np.int64) + (rest >> 32)).astype(np.float64)
        total: NDArray[np.float64] = a * 2.0**32 + (rest & 0xFFFFFFFF).astype(np.float64)
        return total * self.scale


def _halves(codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split codes into high (signed) and low (0 .. 65535) 16-bit halves."""
    wide = codes.astype(np.int64)
    return wide >> 16, wide & 0xFFFF


def pack(codes: Codes) -> Words:
    """Codes (n, elements) as rows of words (n, words) uint32, zeros in the padding."""
    rows = np.ascontiguousarray(codes).view(np.uint8)
    spare = -rows.shape[1] % 4
    return (np.pad(rows, ((0, 0), (0, spare))) if spare else rows).view("<u4")


def unpack(words: Words, elements: int, bits: int) -> Codes:
    """The codes (n, elements) that rows of words hold: a copy."""
    codes: Codes = words.view(f"<i{bits // 8}")[:, :elements].copy()
    return codes


def write(
    cells: Words,
    intended: Words,
    bits: int,
    errors: WriteErrors,
    images: Words,
    layer: int,
    memory: int = BUFFER,
) -> NDArray[np.int64]:
    """Write maps, or a layer's weights, with errors.

    Args:
        cells: the old bits, (n, words) uint32; replaced by what is stored.
        intended: what is written, (n, words) uint32, padding 0.
        bits: of a row, which is one run.
        errors, images, layer, memory: see mtjkit_host.simulate.draws.write.

    Returns:
        Counts of each row, (n, 5): mtjkit_core.write_errors.COUNTS.
    """
    lanes = draws.lane_masks(intended.shape[1], bits)
    return draws.write(cells, intended, lanes, errors, images, layer, memory)


def program(
    net: FixedNet, errors: WriteErrors, write: Any = write
) -> tuple[FixedNet, NDArray[np.int64]]:
    """See mtjkit_host.simulate.simulator.program; `write` as the function of this module."""
    errors.check_layers(len(net.layers))
    codes, counts = [], np.zeros(len(COUNTS), np.int64)
    image = np.zeros(1, np.uint32)
    for index, layer in enumerate(net.layers):
        # As in memory, (out, y, x, in) order: the run of one place's channels.
        order = np.moveaxis(layer.codes, 1, -1).astype(f"<i{net.bits // 8}")
        intended = pack(order.reshape(1, -1))
        cells = np.zeros_like(intended)  # all cells in the P state
        bits = order.size * net.bits
        counts += write(cells, intended, bits, errors, image, index, WEIGHTS)[0]
        stored = unpack(cells, order.size, net.bits).astype(np.int32)
        codes.append(np.ascontiguousarray(np.moveaxis(stored.reshape(order.shape), -1, 1)))
    return net.with_codes(codes), counts
