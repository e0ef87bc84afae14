"""Binary nets in numpy: what the device computes, for many images at once, to the bit.

`mtjkit_core.reference.run_image` is the definition. Here the sums are matrix products of floats
that hold integers exactly, and the memory is `mtjkit_host.simulate.draws`.
"""

from __future__ import annotations

import binascii
import functools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import (
    AVERAGES,
    CLASS_BITS,
    DENSE,
    INT8,
    NUMBERS,
    PACKED,
    PLUS_MINUS,
    SIGNED,
    SUMS,
    LayerShape,
)
from mtjkit_core.model import Model
from mtjkit_core.mtjb import CRC_BYTES
from mtjkit_core.streams import WEIGHTS
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.simulate import draws
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.inputs import checked

Float = NDArray[Any]

_PATCH_BYTES = 32 << 20  # of one block's patch matrix: near the cache, and bounded
_IMAGES = 256  # drawn together; the patch matrix has blocks of its own
_MAP_BYTES = 1 << 28  # of all images drawn together, and as much for each step of the memory
MAX_BYTES = 4 << 30
"""Memory that a model may take here, weights and one image's patch matrix, as floats."""


class BinaryNumpy:
    """A binary net in numpy; see mtjkit_host.simulate.simulator.Simulator.

    Args:
        net: the model.

    Raises:
        ConfigError: the model takes more than MAX_BYTES, or one of its sums does not fit a
            double exactly (never for real networks).
    """

    engine = "numpy"
    bits = 1
    arithmetic = "integers, bit-exact with the firmware (twin: numpy)"

    def __init__(self, net: Model) -> None:
        self.net = net
        needed = sum(g.groups * g.fan_in * g.out_channels for g in net.layers) + max(
            g.out_height * g.out_width * (g.groups * g.fan_in + 2 * g.out_channels)
            for g in net.layers
        )
        if 4 * needed > MAX_BYTES:
            raise ConfigError(
                f"model {net.name!r} takes {4 * needed / 1e9:.1f} GB of memory in numpy; "
                f"{MAX_BYTES / 1e9:.1f} GB is the maximum. With a C compiler it takes far less"
            )
        self._together = max(1, min(_IMAGES, _MAP_BYTES // (4 * max(*net.half_words, 1))))
        self._layers = [NumpyLayer(net, layer) for layer in net.layers]

    def program(self, errors: WriteErrors) -> tuple[BinaryNumpy, NDArray[np.int64]]:
        """See Simulator.program."""
        net, counts = program(self.net, errors)
        return BinaryNumpy(net), counts

    def run(
        self,
        images: NDArray[Any],
        indices: NDArray[Any] | None = None,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See Simulator.run."""
        inputs, indices = checked(self.net, images, indices, errors)
        scores = np.empty((len(inputs), self.net.classes), np.int32)
        counts = np.empty((len(inputs), len(COUNTS)), np.int64)
        kept = len(inputs) if trace is not None else 0
        maps = [np.empty((kept, layer.map_words), np.uint32) for layer in self.net.layers[:-1]]
        for at in range(0, len(inputs), self._together):
            some = slice(at, at + self._together)
            parts = [stored[some] for stored in maps] if trace is not None else None
            scores[some], counts[some] = self._run(inputs[some], indices[some], errors, parts)
        if trace is not None:
            trace.extend(maps)
        return scores, counts

    def elements(self, trace: list[Words]) -> list[NDArray[Any]]:
        """See Simulator.elements."""
        return unpack_maps(self.net, trace)

    def _run(
        self,
        inputs: NDArray[np.int8],
        indices: Words,
        errors: WriteErrors,
        maps: list[Words] | None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        counts = np.zeros((len(inputs), len(COUNTS)), np.int64)
        halves = draws.halves_before(errors, indices, self.net.half_words)
        source: Any = inputs
        for layer in self._layers[:-1]:
            index = layer.layer.index
            if layer.layer.output == AVERAGES:  # never in the memory
                source = layer.outputs(source)
                if maps is not None:
                    maps[index][:] = source
                continue
            cells = halves[index & 1][:, : layer.layer.map_words]
            counts += draws.write(cells, layer.outputs(source), layer.lanes, errors, indices, index)
            if maps is not None:
                maps[index][:] = cells
            source = cells
        return self._layers[-1].outputs(source).astype(np.int32), counts


class NumpyLayer:
    """One layer's arrays: weights as a matrix, thresholds, inversion, lanes of its output.

    Args:
        model: the net.
        layer: one of its layers.

    Attributes:
        largest_sum: every sum stays below it in size.

    Raises:
        ConfigError: its sums do not fit a double exactly.
    """

    def __init__(self, model: Model, layer: LayerShape) -> None:
        self.layer = layer
        # Any sum stays below the limit up to which the floats hold every integer.
        limit = layer.fan_in * (128 if layer.index == 0 else 1) * (128 if layer.cells > 1 else 1)
        if layer.reads == NUMBERS:
            before = model.layers[layer.index - 1]
            limit *= before.pool_height * before.pool_width
        if limit >= 1 << 53:
            raise ConfigError(f"layer {layer.index}: its sums are too long for numpy")
        self.largest_sum = limit
        self.dtype = np.float32 if limit < 1 << 24 else np.float64
        words = np.frombuffer(model.data, "<u4", layer.weight_words, layer.weights_at)
        if layer.cells > 1:
            octets = words.view(np.int8).reshape(layer.out_channels, -1)[:, : layer.fan_in]
            rows: Float = octets.astype(self.dtype)
        else:
            runs = _bits(words.reshape(-1, layer.run_words), layer.run_bits)
            rows = _signs(runs.reshape(layer.out_channels, layer.fan_in), self.dtype)
        if layer.groups > 1:
            rows = _spread(rows, layer.groups, layer.in_channels // layer.groups)
        # (taps * channels, out): a patch is (y, x, channel), as a row of weights is.
        self.weights = rows.T
        if layer.output != SUMS:
            self.thresholds = np.frombuffer(
                model.data, "<i4", layer.out_channels, layer.thresholds_at
            )
            mask = np.frombuffer(model.data, "<u4", layer.out_words, layer.inverted_at)
            self.inverted = _bits(mask, layer.out_channels).astype(np.bool_)
        self.signs = np.zeros(layer.out_channels, np.bool_)
        if layer.output == SIGNED:
            at = layer.inverted_at + 4 * layer.out_words
            self.signs = _bits(
                np.frombuffer(model.data, "<u4", layer.out_words, at), layer.out_channels
            ).astype(np.bool_)
        if not layer.last:
            self.lanes = draws.lane_masks(layer.map_words, layer.out_channels)

    def outputs(self, source: NDArray[Any]) -> NDArray[Any]:
        """Intended map (n, map_words) uint32 of a hidden layer; scores (n, classes) of the last.

        Args:
            source: int8 (n, height, width, channels) for the first layer, else the packed map.
        """
        return self._by_blocks(source, lambda block: self._outputs(self._sums(block)))

    def pooled_sums(self, source: NDArray[Any], inverted: NDArray[np.bool_]) -> Float:
        """What a hidden layer's stored bits hang on, (n, map_height, map_width, channels).

        A stored bit is the OR of its window's bits, so it hangs on the window's largest sum, or
        on the smallest one where the channel is inverted: `stored` says how.

        Args:
            source: as `outputs` takes it.
            inverted: which channels are inverted, (channels,).
        """

        def block(part: NDArray[Any]) -> Float:
            sums = self._maps(self._sums(part))
            sums[..., inverted] *= -1
            extremes: Float = self._pool(sums, np.maximum)
            extremes[..., inverted] *= -1
            return extremes

        return self._by_blocks(source, block)

    def stored(self, sums: NDArray[Any], thresholds: NDArray[np.int32]) -> NDArray[np.bool_]:
        """The intended bits, (..., channels), of what `pooled_sums` returns, with thresholds."""
        return (sums >= thresholds) ^ (self.inverted ^ self.signs)

    def pack(self, bits: NDArray[np.bool_]) -> Words:
        """Pooled bits (n, map_height, map_width, channels) as words, (n, map_words) uint32."""
        spare = -self.layer.out_channels % 32
        packed = np.packbits(np.pad(bits, [(0, 0)] * 3 + [(0, spare)]), axis=-1, bitorder="little")
        return packed.view(np.uint32).reshape(len(bits), self.layer.map_words)

    def _by_blocks(
        self, source: NDArray[Any], compute: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        layer = self.layer
        image_bytes = (
            layer.out_height * layer.out_width * len(self.weights) * np.dtype(self.dtype).itemsize
        )
        block = max(1, _PATCH_BYTES // image_bytes)
        return np.concatenate(
            [compute(source[at : at + block]) for at in range(0, len(source), block)]
        )

    def _sums(self, source: NDArray[Any]) -> Float:
        """Signed sums of every output pixel, (n * out_height * out_width, channels)."""
        layer = self.layer
        n = len(source)
        if layer.reads == NUMBERS:
            count = layer.in_height * layer.in_width * layer.in_channels
            values = source.view(np.int16)[:, :count].astype(self.dtype)
        elif layer.reads == PACKED:
            pixels = _bits(source.reshape(n, -1, layer.in_words), layer.in_channels)
            values = _signs(pixels, self.dtype).reshape(
                n, layer.in_height, layer.in_width, layer.in_channels
            )
        elif layer.reads == INT8:
            values = source.astype(self.dtype)
        else:
            values = np.where(source > 0, 1, -(layer.reads == PLUS_MINUS)).astype(self.dtype)
        sums: Float = self._patches(values) @ self.weights
        return sums

    def _outputs(self, sums: Float) -> NDArray[Any]:
        layer = self.layer
        if layer.output == SUMS:
            return sums
        # A threshold beyond the floats' integers is beyond every sum too: rounding changes nothing.
        bits = (sums >= self.thresholds.astype(self.dtype)) ^ self.inverted
        if layer.output == CLASS_BITS:
            return np.where(bits, 1, -1)
        maps = self._maps(bits)
        if layer.output == AVERAGES:
            averages = self._pool(np.where(maps, 1, -1), np.add).reshape(len(maps), -1)
            spare = 2 * layer.map_words - averages.shape[1]
            return np.pad(averages, [(0, 0), (0, spare)]).astype("<i2").view(np.uint32)
        return self.pack(self._pool(maps, np.logical_or) ^ self.signs)

    def _maps(self, values: NDArray[Any]) -> NDArray[Any]:
        layer = self.layer
        return values.reshape(-1, layer.out_height, layer.out_width, layer.out_channels)

    def _pool(self, maps: NDArray[Any], combine: np.ufunc) -> NDArray[Any]:
        layer = self.layer
        if layer.pool:
            maps = _pooled(
                maps, 1, layer.pool_height, layer.pool_stride_y, layer.map_height, combine
            )
            maps = _pooled(maps, 2, layer.pool_width, layer.pool_stride_x, layer.map_width, combine)
        return maps

    def _patches(self, values: Float) -> Float:
        """The window of every output, (n * out_height * out_width, taps * channels)."""
        layer = self.layer
        if layer.kind == DENSE:
            return values.reshape(len(values), -1)
        bottom, right = pads_beyond(layer)
        rows = (layer.pad_top, bottom)
        columns = (layer.pad_left, right)
        beyond = ((0, 0), rows, columns, (0, 0))
        values = np.pad(values, beyond, constant_values=layer.pad_value)
        windows = np.lib.stride_tricks.sliding_window_view(
            values, (layer.kernel_height, layer.kernel_width), (1, 2)
        )[:, :: layer.stride_y, :: layer.stride_x]
        patches: Float = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, len(self.weights))
        return patches


def program(net: Model, errors: WriteErrors) -> tuple[Model, NDArray[np.int64]]:
    """See mtjkit_host.simulate.simulator.program."""
    errors.check_layers(len(net.layers))
    data = np.frombuffer(net.data, np.uint8).copy()
    counts = np.zeros(len(COUNTS), np.int64)
    image = np.zeros(1, np.uint32)
    for layer in net.layers:
        weights = data[layer.weights_at :][: 4 * layer.weight_words].view("<u4")[None]
        cells = np.zeros_like(weights)  # all cells in the P state
        lanes = draws.lane_masks(layer.weight_words, layer.run_bits)
        counts += draws.write(cells, weights, lanes, errors, image, layer.index, WEIGHTS)[0]
        weights[:] = cells
    return Model(with_crc(data), check_crc=False), counts


def with_crc(data: NDArray[np.uint8]) -> bytes:
    """A model file's bytes with the checksum at their end set anew."""
    file = bytearray(data.tobytes())
    file[-CRC_BYTES:] = struct.pack("<I", binascii.crc32(file[:-CRC_BYTES]))
    return bytes(file)


def unpack_maps(net: Model, trace: list[Words]) -> list[NDArray[Any]]:
    """Maps (n, words) as integers, (n, elements) each, in (y, x, channel) order.

    Stored maps are bits 0 or 1, int8; averages are signed sums, int16.
    """
    maps: list[NDArray[Any]] = []
    for layer, words in zip(net.layers, trace, strict=False):
        if layer.output == AVERAGES:
            count = layer.map_height * layer.map_width * layer.out_channels
            maps.append(words.view("<i2")[:, :count])
        else:
            bits = _bits(words.reshape(len(words), -1, layer.out_words), layer.out_channels)
            maps.append(bits.reshape(len(words), -1).astype(np.int8))
    return maps


def pads_beyond(layer: LayerShape) -> tuple[int, int]:
    """Rows and columns that windows reach beyond the map's lower and right edge."""
    bottom = (layer.out_height - 1) * layer.stride_y + layer.kernel_height
    right = (layer.out_width - 1) * layer.stride_x + layer.kernel_width
    return (
        max(0, bottom - layer.pad_top - layer.in_height),
        max(0, right - layer.pad_left - layer.in_width),
    )


def _pooled(
    maps: NDArray[Any], axis: int, size: int, stride: int, count: int, combine: np.ufunc
) -> NDArray[Any]:
    """Combine the values of each of `count` windows along an axis."""
    span = (count - 1) * stride + 1
    before = (slice(None),) * axis
    parts = (maps[(*before, slice(at, at + span, stride))] for at in range(size))
    return functools.reduce(combine, parts)


def _spread(rows: Float, groups: int, depth: int) -> Float:
    """Weights of grouped channels (out, taps * depth) among those of all, which are 0."""
    out = len(rows)
    weights = np.zeros((out, rows.shape[1] // depth, groups, depth), rows.dtype)
    group = np.arange(out) // (out // groups)
    weights[np.arange(out), :, group] = rows.reshape(out, -1, depth)
    return weights.reshape(out, -1)


def _bits(words: Words, count: int) -> NDArray[np.uint8]:
    """Unpack the first `count` bits of each run: (..., words) uint32 -> (..., count) 0 or 1."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=count, bitorder="little")


def _signs(bits: NDArray[np.uint8], dtype: type) -> Float:
    """1 -> +1, 0 -> -1."""
    signs: Float = bits.astype(dtype)
    signs *= 2
    signs -= 1
    return signs
