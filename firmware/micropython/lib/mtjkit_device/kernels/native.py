"""Kernel in C: the module mtjkit_native, built from firmware/native for this architecture.

Importing it fails with ImportError where the module is not installed, and with ValueError where
it was built for another architecture.
"""

import gc
from array import array

import mtjkit_native as native
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import FIELDS

_PACKED_AT = len(FIELDS)  # the last number of mtj_layer


def as_c(layer):
    """Layer as mtj_layer: array('i')."""
    return layer.numbers() + array("i", (-1,))


class Kernel:
    """See mtjkit_device.kernels.

    On x86-64 with AVX2, AVX-512 or AMX the weights are repacked into memory of their own, once;
    elsewhere they are read in place.
    """

    def __init__(self, model):
        self._data = model.data
        self._layers = []
        packed = 0
        scratch = 0
        for layer in model.layers:
            g = as_c(layer)
            wanted = native.packed_bytes(g)
            if wanted:
                g[_PACKED_AT] = packed
                packed += (wanted + 63) & ~63
            scratch = max(scratch, native.scratch_bytes(g))
            self._layers.append(g)
        gc.collect()  # so that nothing which is garbage already stands in their way
        self._packed = bytearray(packed or 4)  # C wants an address, even of nothing
        self._scratch = bytearray(scratch)
        try:
            for g in self._layers:
                native.pack(g, self._data, self._packed)
        except ValueError:
            raise ConfigError("the model is not 4-byte aligned: copy it into RAM")

    @staticmethod
    def memory_bytes(model) -> int:
        """Bytes of a model's repacked weights and of scratch memory on this processor."""
        packed = scratch = 0
        for layer in model.layers:
            g = as_c(layer)
            packed += (native.packed_bytes(g) + 63) & ~63
            scratch = max(scratch, native.scratch_bytes(g))
        return packed + scratch

    @staticmethod
    def load(layers):
        """Nothing: the code is one piece."""

    @staticmethod
    def refuses(layer) -> str:
        """Nothing: this kernel computes every kind."""
        return ""

    def layer_map(self, n, source, out):
        native.layer_map(self._layers[n], self._data, self._packed, source, out, self._scratch)

    def layer_scores(self, n, source, scores):
        g = self._layers[n]
        native.layer_scores(g, self._data, self._packed, source, scores, self._scratch)

    def seed(self, state, key, image, place):
        native.seed(state, key, image, place)

    def write(self, n, cells, intended, state, errors, counts):
        native.write(self._layers[n], cells, intended, state, errors, counts)

    def program(self, n, state, errors, counts):
        g = self._layers[n]
        native.program(g, self._data, state, errors, counts)
        native.pack(g, self._data, self._packed)

    def erase(self, halves, image):
        for cells in halves:
            native.erase(cells)
