"""What the kernels viper and asm_thumb share: all but the inner loops."""

from mtjkit_core.errors import ConfigError
from mtjkit_core.footprint import job_words, work_words
from mtjkit_core.geometry import beyond_3x3

from mtjkit_device.kernels import viper_layers, viper_memory


class ViperKernel:
    """The engine's kernel interface over three inner functions.

    They are `pairs` and `rows` (see viper_layers) and `write` (see viper_memory).
    """

    def __init__(self, model, pairs, rows, write):
        # A Cortex-M0 faults on words at other addresses.
        if viper_memory.misaligned(model.data):
            raise ConfigError("the model is not 4-byte aligned: copy it into RAM")
        self._pairs = pairs
        self._rows = rows
        self._write = write
        self._data = model.data
        self._shapes = model.layers
        self._layers = [layer.numbers() for layer in model.layers]
        self._work = bytearray(4 * work_words(model))
        self._job = bytearray(4 * job_words(model))

    @staticmethod
    def refuses(layer) -> str:
        """What of a layer this kernel does not compute; "" for nothing."""
        return beyond_3x3(layer)

    def layer_map(self, n, source, out):
        g = self._layers[n]
        if n == 0:
            viper_layers.first(g, source, self._data, out, self._work, self._job, self._pairs)
        else:
            viper_layers.limits(g, self._data, self._job)
            viper_layers.hidden(g, source, self._data, out, self._work, self._job, self._rows)

    def layer_scores(self, n, source, scores):
        viper_layers.last(self._layers[n], source, self._data, scores)

    def seed(self, state, key, image, place):
        viper_memory.seed_streams(state, key, image, place)

    def write(self, n, cells, intended, state, errors, counts):
        g = self._shapes[n]
        words, run_words, run_bits = g.map_words, g.out_words, g.out_channels
        self._write(cells, intended, words, run_words, run_bits, 0, state, errors, counts)

    def program(self, n, state, errors, counts):
        g = self._shapes[n]
        weights = self._data[g.weights_at : g.weights_at + 4 * g.weight_words]
        words, run_words, run_bits = g.weight_words, g.run_words, g.run_bits
        self._write(weights, weights, words, run_words, run_bits, 1, state, errors, counts)

    def erase(self, cells):
        viper_memory.erase(cells, len(cells) >> 2)
