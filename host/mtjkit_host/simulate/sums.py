"""What a binary net's stored bits hang on, for many images: for whoever sets thresholds.

The definition is `NumpyLayer.pooled_sums`; compiled code (sums.c) takes the layers that AVX2 has
kernels for, and spreads images over threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
from mtjkit_core.chip_errors import ChipErrors
from mtjkit_core.geometry import LayerShape
from mtjkit_core.model import Model
from mtjkit_core.streams import BUFFER, place_word
from mtjkit_core.write_errors import COUNTS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.machine import cores
from mtjkit_host.simulate import draws
from mtjkit_host.simulate.binary_native import c_layers
from mtjkit_host.simulate.binary_numpy import NumpyLayer
from mtjkit_host.simulate.compile import key_words, library
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.threads import share_out

TOGETHER = 32
"""Channels whose sums are counted together: those of a word."""

_BLOCK = 128  # images whose sums are floats at the same time

Sums = NDArray[np.integer[Any]]


class LayerSums:
    """A hidden layer whose output is stored.

    Args:
        model: the net.
        layer: one of its layers.
        native: whether compiled code may be used.

    Attributes:
        arrays: the layer's thresholds, inversion and lanes.
    """

    def __init__(self, model: Model, layer: LayerShape, native: bool) -> None:
        self.arrays = NumpyLayer(model, layer)
        self._layer = layer
        self._model = np.frombuffer(model.data, np.uint8)
        self._native = native
        self._c = c_layers(model)[layer.index]
        self._work = library().mtj_sums_bytes(ctypes.byref(self._c)) if native else 0

    def pooled(self, source: NDArray[Any]) -> Sums:
        """See NumpyLayer.pooled_sums: (n, map_height, map_width, channels), int16 or int32."""
        if self._work:
            return self._compiled(source)
        whole = np.int16 if self.arrays.largest_sum < 1 << 15 else np.int32
        parts = [
            self.arrays.pooled_sums(source[at : at + _BLOCK], self.arrays.inverted).astype(whole)
            for at in range(0, len(source), _BLOCK)
        ]
        return np.concatenate(parts)

    def _compiled(self, source: Words) -> Sums:
        layer, lib = self._layer, library()
        cells = np.ascontiguousarray(source)
        padded = 32 * layer.out_words
        sums = np.empty((len(cells), layer.map_height, layer.map_width, padded), np.int16)

        def part(at: int, end: int) -> None:
            work = np.empty(self._work, np.uint8)
            arrays = (cells[at:end], sums[at:end], work)
            one, data = ctypes.byref(self._c), self._model.ctypes.data
            lib.mtj_sums(one, data, end - at, *(array.ctypes.data for array in arrays))

        share_out(len(cells), cores(), part)
        return sums[..., : layer.out_channels]

    def histograms(self, sums: Sums, bits: Words) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """How often each sum comes with a bit of 0 and of 1, for TOGETHER channels at a time.

        Args:
            sums: of `pooled`.
            bits: packed maps, (n, map_words) uint32.

        Yields:
            The first channel, and counts (channels, sums from the least one on, 2).
        """
        channels, words = self._layer.out_channels, self._layer.out_words
        low = int(sums.min())
        span = int(sums.max()) - low + 1
        rows = sums.reshape(-1, channels) if sums.flags.contiguous else None
        pixels = bits.reshape(-1, words)
        for first in range(0, channels, TOGETHER):
            count = min(TOGETHER, channels - first)
            word = np.ascontiguousarray(pixels[:, first // 32])
            if self._native and sums.dtype == np.int16:
                counts = np.zeros((count, span, 2), np.uint32)
                stride = sums.strides[2] // sums.itemsize
                library().mtj_histograms(
                    len(word), count, sums.ctypes.data + first * sums.itemsize, stride,
                    word.ctypes.data, 1, low, span, counts.ctypes.data,
                )  # fmt: skip
                yield first, counts.astype(np.int64)
                continue
            if rows is None:
                rows = np.ascontiguousarray(sums).reshape(-1, channels)
            some = np.ascontiguousarray(rows[:, first : first + count].T, np.int32)
            clean = word >> np.arange(count, dtype=np.uint32)[:, None] & 1
            places = 2 * (some - low) + clean.astype(np.int32)
            found = [np.bincount(row, minlength=2 * span) for row in places]
            yield first, np.array(found).reshape(count, span, 2)

    def write(self, cells: Words, intended: Words, errors: WriteErrors, images: Words) -> None:
        """Write the layer's maps, as `draws.write` does, which is the definition.

        Args:
            cells, intended, errors, images: see `draws.write`.
        """
        layer = self._layer
        if not self._native or isinstance(errors, ChipErrors):
            draws.write(cells, intended, self.arrays.lanes, errors, images, layer.index)
            return
        lib, key = library(), key_words(errors.seed)
        limits = np.array(errors.map_words(layer.index), np.uint32)
        intended = np.ascontiguousarray(intended)
        state, counts = np.empty(32, np.uint32), np.empty(len(COUNTS), np.uint32)
        at, step = cells.ctypes.data, cells.strides[0]
        new, row = intended.ctypes.data, intended.strides[0]
        seeds = (key.ctypes.data, place_word(BUFFER, layer.index, 0))
        shape = (layer.map_words, layer.out_words, layer.out_channels)
        process = (state.ctypes.data, limits.ctypes.data, counts.ctypes.data)
        for n, image in enumerate(images.tolist()):
            lib.mtj_seed(process[0], seeds[0], image, seeds[1])
            lib.mtj_write_run(at + n * step, new + n * row, 0, *shape, *process)
