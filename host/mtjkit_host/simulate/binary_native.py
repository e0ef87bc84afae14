"""Binary nets in compiled code: binary.c and memory.c of firmware/native, called through ctypes.

The same C as in the boards' native module, images spread over threads. The bits are those of
`mtjkit_core.reference.run_image` and of `mtjkit_host.simulate.binary_numpy`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from mtjkit_core.chip_errors import ChipErrors
from mtjkit_core.geometry import FIELDS
from mtjkit_core.model import Model
from mtjkit_core.streams import BUFFER, WEIGHTS, place_word
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.machine import cores
from mtjkit_host.simulate.binary_numpy import unpack_maps, with_crc
from mtjkit_host.simulate.compile import key_words, library
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.first_maps import CFirst, FirstMaps
from mtjkit_host.simulate.inputs import checked
from mtjkit_host.simulate.threads import share_out

_TOGETHER = 4  # images that a thread computes layer by layer: MTJ_TOGETHER of mtjkit.h
_WORK_BYTES = 2 << 30  # of all threads: a model of 128 MB in maps gets fewer of them


class _Chip(ctypes.Structure):
    """mtj_chip of mtjkit.h, and the arrays that it points to."""

    _fields_ = [
        ("classes", ctypes.c_void_p),
        ("disturb", ctypes.c_void_p),
        ("key", ctypes.c_uint32 * 2),
        ("before", ctypes.c_uint32),
    ]

    @classmethod
    def of(cls, errors: WriteErrors, layers: int, *, weights: bool = False) -> _Chip | None:
        """What `errors` say of the maps of `layers` hidden layers, or of the weights of all."""
        if not isinstance(errors, ChipErrors):
            return None
        disturb = errors.weight_disturb_words if weights else errors.map_disturb_words
        classes = errors.weight_class_words if weights else errors.map_class_words
        chip = cls()
        chip.arrays = [np.array([disturb(n) for n in range(layers)], np.uint32)]
        chip.disturb = chip.arrays[0].ctypes.data
        chip.before = errors.before
        if errors.chip is not None:
            chip.arrays.append(np.array([classes(n) for n in range(layers)], np.uint32))
            chip.classes = chip.arrays[1].ctypes.data
            chip.key = tuple(int(word) for word in key_words(errors.chip))
        return chip


class _Layer(ctypes.Structure):
    """mtj_layer of mtjkit.h."""

    _fields_ = [(name, ctypes.c_int32) for name in (*FIELDS, "packed_at")]


def c_layers(model: Model) -> Any:
    """The model's layers as an array of _Layer, nothing repacked."""
    layers = (_Layer * len(model.layers))()
    for to, layer in zip(layers, model.layers, strict=True):
        to.packed_at = -1
        for name in FIELDS:
            setattr(to, name, getattr(layer, name))
    return layers


class BinaryNative:
    """A binary net in compiled code; see mtjkit_host.simulate.simulator.Simulator.

    Args:
        net: the model; its weights are read once, here.
        threads: the most threads to use; default all processors.

    Raises:
        ConfigError: there is no compiled library here (see mtjkit_host.simulate.compile).
    """

    engine = "native"
    bits = 1
    arithmetic = "integers, bit-exact with the firmware (twin: native)"

    def __init__(self, net: Model, threads: int | None = None) -> None:
        self.net = net
        self._lib = library()
        self._data = np.frombuffer(net.data, np.uint8)
        self._layers = c_layers(net)
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
        self._half_words = np.array(net.half_words, np.uint32)
        sizes = [self._lib.mtj_run_bytes(ctypes.byref(one), _TOGETHER) for one in self._layers]
        image_words = sum(net.half_words) + max(net.half_words)
        self._work_words = _TOGETHER * image_words + -(-max(sizes) // 4)
        self.threads = max(1, min(threads or cores(), _WORK_BYTES // (4 * self._work_words)))
        self._map_words = sum(layer.map_words for layer in net.layers)

    def program(self, errors: WriteErrors) -> tuple[BinaryNative, NDArray[np.int64]]:
        """See Simulator.program."""
        net, counts = program(self.net, errors)
        return BinaryNative(net, self.threads), counts

    def run(
        self,
        images: NDArray[Any],
        indices: NDArray[Any] | None = None,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
        first: FirstMaps | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """See Simulator.run, and mtjkit_host.simulate.repeated.Native.run."""
        inputs, indices = checked(self.net, images, indices, errors)
        n = len(inputs)
        scores = np.empty((n, self.net.classes), np.int32)
        counts = np.empty((n, len(COUNTS)), np.uint32)
        maps = np.empty((n if trace is not None else 0, self._map_words), np.uint32)
        hidden = range(len(self.net.layers) - 1)
        limits = np.array([errors.map_words(layer) for layer in hidden], np.uint32)
        key = key_words(errors.seed)
        chip = _Chip.of(errors, len(hidden))
        kept = CFirst.of(first) if first is not None else None

        def part(at: int, end: int) -> None:
            work = np.empty(self._work_words, np.uint32)
            arrays = (work, scores[at:end], counts[at:end])
            self._lib.mtj_run(
                self._layers,
                len(self._layers),
                self._data.ctypes.data,
                self._packed.ctypes.data,
                end - at,
                inputs[at:end].ctypes.data,
                indices[at:end].ctypes.data,
                key.ctypes.data,
                limits.ctypes.data,
                ctypes.byref(chip) if chip else None,
                self._half_words.ctypes.data,
                _TOGETHER,
                *(array.ctypes.data for array in arrays),
                maps[at:end].ctypes.data if trace is not None else None,
                ctypes.byref(kept) if kept is not None else None,
            )

        share_out(n, self.threads, part)
        if trace is not None:
            ends = np.cumsum([layer.map_words for layer in self.net.layers[:-1]])
            trace.extend(np.split(maps, ends, axis=1)[:-1])
        return scores, counts.astype(np.int64)

    def places(self) -> Words:
        """See mtjkit_host.simulate.repeated.Native.places."""
        hidden = self.net.layers[:-1]
        rows = [
            (one.map_words, one.out_words, one.out_channels, place_word(BUFFER, one.index, 0))
            if one.map_bits
            else (0, 1, 1, 0)  # averages are never in the memory
            for one in hidden
        ]
        return np.array(rows, np.uint32).reshape(len(hidden), 4)

    @property
    def first_bytes(self) -> int:
        """See mtjkit_host.simulate.repeated.Native."""
        return 4 * self.net.layers[0].map_words if len(self.net.layers) > 1 else 0

    def elements(self, trace: list[Words]) -> list[NDArray[Any]]:
        """See Simulator.elements."""
        return unpack_maps(self.net, trace)


def program(net: Model, errors: WriteErrors) -> tuple[Model, NDArray[np.int64]]:
    """See mtjkit_host.simulate.simulator.program."""
    errors.check_layers(len(net.layers))
    lib = library()
    data = np.frombuffer(net.data, np.uint8).copy()
    state, total = np.empty(32, np.uint32), np.zeros(len(COUNTS), np.int64)
    key = key_words(errors.seed)
    chip = _Chip.of(errors, len(net.layers), weights=True)
    for layer in c_layers(net):
        counts = np.zeros(len(COUNTS), np.uint32)
        place = place_word(WEIGHTS, layer.index, 0)
        lib.mtj_seed(state.ctypes.data, key.ctypes.data, 0, place)
        limits = np.array(errors.weight_words(layer.index), np.uint32)
        arrays = [array.ctypes.data for array in (data, state, limits)]
        if chip:
            chip_at = ctypes.byref(chip)
            lib.mtj_program_chip(ctypes.byref(layer), *arrays, chip_at, counts.ctypes.data)
        else:
            lib.mtj_program(ctypes.byref(layer), *arrays, counts.ctypes.data)
        total += counts
    return Model(with_crc(data), check_crc=False), total
