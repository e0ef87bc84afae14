"""The twin: what the device computes, computed on the host for many images at once, to the bit.

`mtjkit_core.reference.run_image` is the definition. Here the sums are matrix products of floats
that hold integers exactly, and the memory is `mtjkit_host.simulate.draws`.
"""

from __future__ import annotations

import binascii
import functools
import struct
from typing import Any

import numpy as np
from mtjkit_core.bits import tail_mask
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import DENSE, LayerShape
from mtjkit_core.model import CRC_BYTES, Model
from mtjkit_core.mtj_memory import write
from mtjkit_core.streams import WEIGHTS, seed_streams
from mtjkit_core.write_errors import COUNTS, FLIP, NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.simulate import draws

Int8 = NDArray[np.int8]
Float = NDArray[Any]

_PATCH_BYTES = 32 << 20  # of one block's patch matrix: near the cache, and bounded
_IMAGES = 256  # drawn together; the patch matrix has blocks of its own
_MAP_BYTES = 1 << 28  # of all images drawn together, and as much for each step of the memory
MAX_BYTES = 4 << 30
"""Memory that a model may take here, weights and one image's patch matrix, as floats."""


class Twin:
    """A model on the host.

    Args:
        model: mtjkit_core.model.Model.

    Raises:
        ConfigError: the model takes more than MAX_BYTES, or a sum of it does not fit a double
            exactly (never for real networks).
    """

    kernel = "numpy"

    def __init__(self, model: Model) -> None:
        self.model = model
        needed = sum(g.fan_in * g.out_channels for g in model.layers) + max(
            g.out_height * g.out_width * (g.fan_in + 2 * g.out_channels) for g in model.layers
        )
        if 4 * needed > MAX_BYTES:
            raise ConfigError(
                f"model {model.name!r} takes {4 * needed / 1e9:.1f} GB of memory in numpy; "
                f"{MAX_BYTES / 1e9:.1f} GB are the most. With a C compiler the twin takes far less"
            )
        self._together = max(1, min(_IMAGES, _MAP_BYTES // (4 * max(model.half_words))))
        self._layers = [_Layer(model, layer) for layer in model.layers]

    def run(
        self,
        images: Int8,
        indices: NDArray[np.uint32],
        errors: WriteErrors = NO_ERRORS,
        trace: list[draws.Words] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Classify images through the memory.

        Args:
            images: int8 (n, height, width, channels), the pixel rule already applied.
            indices: index of each image in the data, (n,).
            errors: the error process of the feature maps; that of weights takes no part.
            trace: None, or a list that receives each hidden layer's stored map,
                (n, map_words) uint32; only for up to 256 images.

        Returns:
            Scores (n, classes), and counts of each image (n, 5): write_errors.COUNTS.

        Raises:
            ConfigError: the images have another shape than the model's input, or the limits are
                those of another number of layers.
        """
        errors.check_layers(len(self.model.layers))
        if images.shape[1:] != self.model.input_shape or images.dtype != np.int8:
            raise ConfigError(
                f"images are {images.dtype} {images.shape[1:]}, "
                f"the model takes int8 {self.model.input_shape}"
            )
        scores = np.empty((len(images), self.model.classes), np.int32)
        counts = np.empty((len(images), len(COUNTS)), np.int64)
        for at in range(0, len(images), self._together):
            some = slice(at, at + self._together)
            scores[some], counts[some] = self._run(
                images[some], indices[some].astype(np.uint32), errors, trace
            )
        return scores, counts

    def _run(
        self,
        images: Int8,
        indices: draws.Words,
        errors: WriteErrors,
        trace: list[draws.Words] | None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        counts = np.zeros((len(images), len(COUNTS)), np.int64)
        halves = [  # all cells in the P state before every image
            np.zeros((len(images), words), np.uint32) for words in self.model.half_words
        ]
        source: Any = images
        for layer in self._layers[:-1]:
            intended = layer.outputs(source)
            cells = halves[layer.g.index & 1][:, : layer.g.map_words]
            failed = draws.failures(errors, indices, layer.g.index, layer.lanes, intended)
            toggled = (cells ^ intended) & layer.lanes
            wrong = failed if errors.kind == FLIP else failed & toggled
            cells[:] = intended ^ wrong
            counts += draws.count(layer.lanes, intended, toggled, wrong)
            if trace is not None:
                trace.append(cells.copy())
            source = cells
        return self._layers[-1].outputs(source).astype(np.int32), counts


class _Layer:
    """One layer's arrays: weights as a matrix, thresholds, inversion, lanes of its output."""

    def __init__(self, model: Model, layer: LayerShape) -> None:
        self.g = g = layer
        # Any sum stays below the limit up to which the floats hold every integer.
        limit = g.fan_in * (128 if g.index == 0 else 1)
        if limit >= 1 << 53:
            raise ConfigError(f"layer {g.index}: its sums are too long for the twin")
        self.dtype = np.float32 if limit < 1 << 24 else np.float64
        words = np.frombuffer(model.data, "<u4", g.weight_words, g.weights_at)
        runs = _bits(words.reshape(-1, g.run_words), g.run_bits)
        # (taps * channels, out): a patch is (y, x, channel), as a row of weights is.
        self.weights = _signs(runs.reshape(g.out_channels, g.fan_in), self.dtype).T
        if not g.last:
            self.thresholds = np.frombuffer(model.data, "<i4", g.out_channels, g.thresholds_at)
            mask = np.frombuffer(model.data, "<u4", g.out_words, g.inverted_at)
            self.inverted = _bits(mask, g.out_channels).astype(np.bool_)
            self.lanes = draws.lane_masks(g.map_words, g.out_channels)

    def outputs(self, source: NDArray[Any]) -> NDArray[Any]:
        """Intended map (n, map_words) uint32 of a hidden layer; sums (n, classes) of the last.

        Args:
            source: int8 (n, height, width, channels) for the first layer, else the packed map.
        """
        g = self.g
        image_bytes = g.out_height * g.out_width * g.fan_in * np.dtype(self.dtype).itemsize
        block = max(1, _PATCH_BYTES // image_bytes)
        return np.concatenate(
            [self._block(source[at : at + block]) for at in range(0, len(source), block)]
        )

    def _block(self, source: NDArray[Any]) -> NDArray[Any]:
        g = self.g
        n = len(source)
        if g.index:
            pixels = _bits(source.reshape(n, -1, g.in_words), g.in_channels)
            values = _signs(pixels, self.dtype).reshape(n, g.in_height, g.in_width, g.in_channels)
        else:
            values = source.astype(self.dtype)
        sums: Float = self._patches(values) @ self.weights
        if g.last:
            return sums
        # A threshold beyond the floats' integers is beyond every sum too: rounding changes nothing.
        bits = (sums >= self.thresholds.astype(self.dtype)) ^ self.inverted
        bits = bits.reshape(n, g.out_height, g.out_width, g.out_channels)
        if g.pool == 1:
            bits = bits[:, : 2 * g.map_height, : 2 * g.map_width]
            bits = bits[:, ::2] | bits[:, 1::2]
            bits = bits[:, :, ::2] | bits[:, :, 1::2]
        elif g.pool:
            bits = _pooled(bits, 1, g.pool_height, g.pool_stride_y, g.map_height)
            bits = _pooled(bits, 2, g.pool_width, g.pool_stride_x, g.map_width)
        spare = -g.out_channels % 32
        packed = np.packbits(np.pad(bits, [(0, 0)] * 3 + [(0, spare)]), axis=-1, bitorder="little")
        return packed.view(np.uint32).reshape(n, g.map_words)

    def _patches(self, values: Float) -> Float:
        """The window of every output, (n * out_height * out_width, taps * channels)."""
        g = self.g
        if g.kind == DENSE:
            return values.reshape(len(values), -1)
        beyond = ((0, 0), (g.pad_top, g.pad_bottom), (g.pad_left, g.pad_right), (0, 0))
        values = np.pad(values, beyond, constant_values=g.pad_value)
        windows = np.lib.stride_tricks.sliding_window_view(
            values, (g.kernel_height, g.kernel_width), (1, 2)
        )[:, :: g.stride_y, :: g.stride_x]
        patches: Float = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, g.fan_in)
        return patches


def corrupt_weights(model: Model, errors: WriteErrors) -> tuple[bytes, int, int]:
    """Write a model's weights into MTJ cells once, with errors.

    The result is a valid model file, so that a board which maps its weights read-only gets the
    same bits as one that writes them itself.

    Args:
        model: the model as it should be.
        errors: the error process of the weights; that of feature maps takes no part.

    Returns:
        The file's bytes, the bits written, the bits that ended up wrong.
    """
    errors.check_layers(len(model.layers))
    data = bytearray(model.data)
    counts = [0] * len(COUNTS)
    state = [0] * 32
    for layer in model.layers:
        limits = errors.of_weights(layer.index)
        if not any(limits):  # nothing fails
            counts[0] += layer.weight_bits
            continue
        size = 4 * layer.weight_words
        intended = model.data[layer.weights_at : layer.weights_at + size]
        cells = bytearray(size)  # all cells in the P state
        seed_streams(state, errors.seed, 0, WEIGHTS, layer.index)
        tail = tail_mask(layer.run_bits)
        write(
            cells,
            intended,
            layer.weight_words,
            layer.run_words,
            tail,
            state,
            limits,
            errors.kind,
            counts,
        )
        data[layer.weights_at : layer.weights_at + size] = cells
    data[-CRC_BYTES:] = struct.pack("<I", binascii.crc32(data[:-CRC_BYTES]))
    return bytes(data), counts[0], counts[2]


def _pooled(
    bits: NDArray[np.bool_], axis: int, size: int, stride: int, count: int
) -> NDArray[np.bool_]:
    """OR over `count` windows along an axis."""
    span = (count - 1) * stride + 1
    parts = (np.take(bits, range(first, first + span, stride), axis) for first in range(size))
    return functools.reduce(np.logical_or, parts)


def _bits(words: draws.Words, count: int) -> NDArray[np.uint8]:
    """Unpack the first `count` bits of each run: (..., words) uint32 -> (..., count) 0 or 1."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=count, bitorder="little")


def _signs(bits: NDArray[np.uint8], dtype: type) -> Float:
    """1 -> +1, 0 -> -1."""
    signs: Float = bits.astype(dtype)
    signs *= 2
    signs -= 1
    return signs
