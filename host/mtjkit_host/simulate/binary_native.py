"""The fast twin: firmware/native's kernels, compiled by this machine's compiler.

The same C source as the boards' native module, called through ctypes, images spread over threads.
It gives the bits of `mtjkit_core.reference.run_image` and is a drop-in for `binary_numpy.Twin`.
"""

from __future__ import annotations

import binascii
import ctypes
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import FIELDS, beyond_3x3
from mtjkit_core.model import CRC_BYTES, Model
from mtjkit_core.streams import WEIGHTS, place_word
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.simulate.compile import library

_WORK_BYTES = 2 << 30  # of all threads: a model of 128 MB in maps gets fewer of them

Int8 = NDArray[np.int8]
Words = NDArray[np.uint32]


class _Layer(ctypes.Structure):
    """mtj_layer of mtjkit.h."""

    _fields_ = [(name, ctypes.c_int32) for name in (*FIELDS, "packed_at")]


def _geometry(model: Model) -> Any:
    """The model's layers as an array of _Layer, nothing repacked."""
    layers = (_Layer * len(model.layers))()
    for to, layer in zip(layers, model.layers, strict=True):
        to.packed_at = -1
        for name in FIELDS:
            setattr(to, name, getattr(layer, name))
    return layers


def key_words(seed: int) -> Words:
    """A seed as mtj_seed takes it: low and high word."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


class NativeTwin:
    """A model on the host, in compiled code.

    Args:
        model: mtjkit_core.model.Model; its weights are read once, here.
        threads: images are spread over at most so many threads; default all processors.

    Raises:
        ConfigError: the compiled kernels are not to be had here (see `library`).
    """

    kernel = "native"

    def __init__(self, model: Model, threads: int | None = None) -> None:
        for layer in model.layers:
            if refused := beyond_3x3(layer):
                raise ConfigError(
                    f"the compiled simulator does not compute layer {layer.index} of "
                    f"{model.name!r} ({refused}): take numpy"
                )
        self.model = model
        self._lib = library()
        self._data = np.frombuffer(model.data, np.uint8)
        self._layers = _geometry(model)
        size = 0
        for layer in self._layers:
            wanted = self._lib.mtj_packed_bytes(ctypes.byref(layer))
            if wanted:
                layer.packed_at = size
                size += -(-wanted // 64) * 64
        self._packed = np.empty(size, np.uint8)
        weights, packed = self._data.ctypes.data, self._packed.ctypes.data
        for layer in self._layers:
            self._lib.mtj_pack(ctypes.byref(layer), weights, packed)
        self._half_words = np.array(model.half_words, np.uint32)
        scratch = max(self._lib.mtj_scratch_bytes(ctypes.byref(one)) for one in self._layers)
        self._work_words = sum(model.half_words) + max(model.half_words) + -(-scratch // 4)
        self.threads = max(1, min(threads or _processors(), _WORK_BYTES // (4 * self._work_words)))
        self._map_words = sum(layer.map_words for layer in model.layers)

    def run(
        self,
        images: Int8,
        indices: Words,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Classify images through the memory.

        Args:
            images: int8 (n, height, width, channels), the pixel rule already applied.
            indices: index of each image in the data, (n,).
            errors: the error process of the feature maps; that of weights takes no part.
            trace: None, or a list that receives each hidden layer's stored map,
                (n, map_words) uint32.

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
        n = len(images)
        images = np.ascontiguousarray(images)
        indices = np.ascontiguousarray(indices, np.uint32)
        scores = np.empty((n, self.model.classes), np.int32)
        counts = np.empty((n, len(COUNTS)), np.uint32)
        maps = np.empty((n if trace is not None else 0, self._map_words), np.uint32)
        hidden = range(len(self.model.layers) - 1)
        limits = np.array([errors.map_words(layer) for layer in hidden], np.uint32)
        key = key_words(errors.seed)

        def part(at: int, end: int) -> None:
            work = np.empty(self._work_words, np.uint32)
            arrays = (key, limits, self._half_words, work, scores[at:end], counts[at:end])
            self._lib.mtj_run(
                self._layers,
                len(self._layers),
                self._data.ctypes.data,
                self._packed.ctypes.data,
                end - at,
                images[at:end].ctypes.data,
                indices[at:end].ctypes.data,
                *(array.ctypes.data for array in arrays),
                maps[at:end].ctypes.data if trace is not None else None,
            )

        # Several parts a thread, so that one that is held up does not keep the others waiting.
        parts = min(n, self.threads * 4)
        edges = [n * k // max(1, parts) for k in range(parts + 1)]
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(part, edges[:-1], edges[1:]))
        if trace is not None:
            ends = np.cumsum([layer.map_words for layer in self.model.layers[:-1]])
            trace.extend(np.split(maps, ends[:-1], axis=1))
        return scores, counts.astype(np.int64)


def _processors() -> int:
    """Processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def corrupt_weights(model: Model, errors: WriteErrors) -> tuple[bytes, int, int]:
    """`binary_numpy.corrupt_weights` in compiled code: file, bits written, bits wrong."""
    errors.check_layers(len(model.layers))
    lib = library()
    data = np.frombuffer(model.data, np.uint8).copy()
    state, counts = np.empty(32, np.uint32), np.zeros(len(COUNTS), np.uint32)
    key = key_words(errors.seed)
    written = wrong = 0
    for layer in _geometry(model):
        counts[:] = 0
        place = place_word(WEIGHTS, layer.index, 0)
        lib.mtj_seed(state.ctypes.data, key.ctypes.data, 0, place)
        limits = np.array(errors.weight_words(layer.index), np.uint32)
        arrays = (data, state, limits, counts)
        lib.mtj_program(ctypes.byref(layer), *(array.ctypes.data for array in arrays))
        written += int(counts[0])
        wrong += int(counts[2])
    file = bytearray(data.tobytes())
    file[-CRC_BYTES:] = struct.pack("<I", binascii.crc32(file[:-CRC_BYTES]))
    return bytes(file), written, wrong
