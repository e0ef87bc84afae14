"""What the kernels viper and asm_thumb share: all but the inner loops."""

from mtjkit_core.errors import ConfigError
from mtjkit_core.footprint import geometry, job_words, work_words

from mtjkit_device.kernels import viper_layers, viper_memory


class ViperKernel:
    """The engine's kernel interface over three inner functions.

    They are `pairs` and `rows` (see viper_layers) and `write` (see viper_memory).
    """

    def __init__(self, model, pairs, rows, write):
        # A Cortex-M0 faults on words at other addresses.
        if viper_memory.misaligned(model.data):
            raise ConfigError("the model does not lie at a multiple of 4: copy it into RAM")
        self._pairs = pairs
        self._rows = rows
        self._write = write
        self._data = model.data
        self._layers = [geometry(layer) for layer in model.layers]
        self._work = bytearray(4 * work_words(model))
        self._job = bytearray(4 * job_words(model))

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

    def write(self, n, cells, intended, state, rate, counts):
        g = self._layers[n]
        self._write(cells, intended, g[19], g[11], g[10], 0, state, rate, counts)

    def program(self, n, state, rate, counts):
        g = self._layers[n]
        weights = self._data[g[16] : g[16] + 4 * g[20]]
        self._write(weights, weights, g[20], g[14], g[15], 1, state, rate, counts)

    def erase(self, cells):
        viper_memory.erase(cells, len(cells) >> 2)
