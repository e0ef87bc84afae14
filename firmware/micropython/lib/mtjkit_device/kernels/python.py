"""The clear kernel: mtjkit_core's reference behind the engine's interface. Slow, runs anywhere."""

from mtjkit_core.bits import tail_mask
from mtjkit_core.mtj_memory import write
from mtjkit_core.reference import layer_map, layer_scores, write_map
from mtjkit_core.streams import seed_streams
from mtjkit_core.write_errors import limits_of


class Kernel:
    """See mtjkit_device.kernels."""

    def __init__(self, model):
        self._model = model

    @staticmethod
    def load(layers):
        """Nothing: the code is one piece."""

    @staticmethod
    def refuses(layer) -> str:
        """Nothing: this kernel is the definition."""
        return ""

    def layer_map(self, n, source, out):
        layer_map(self._model, self._model.layers[n], source, out)

    def layer_scores(self, n, source, scores):
        for c, score in enumerate(layer_scores(self._model, self._model.layers[n], source)):
            scores[c] = score

    def seed(self, state, key, image, place):
        seed_streams(state, key[0] | key[1] << 32, image, place >> 16, place >> 3 & 0x1FFF)

    def write(self, n, cells, intended, state, errors, counts):
        layer = self._model.layers[n]
        write_map(layer, cells, intended, state, limits_of(errors), errors[4], counts)

    def program(self, n, state, errors, counts):
        layer = self._model.layers[n]
        size = 4 * layer.weight_words
        cells = bytearray(size)
        weights = self._model.data[layer.weights_at : layer.weights_at + size]
        tail = tail_mask(layer.run_bits)
        words = layer.weight_words
        limits = limits_of(errors)
        write(cells, weights, words, layer.run_words, tail, state, limits, errors[4], counts)
        weights[:] = cells

    def erase(self, halves, image):
        for cells in halves:
            for i in range(len(cells)):
                cells[i] = 0
