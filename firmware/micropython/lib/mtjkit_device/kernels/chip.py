"""Any kernel, on a chip whose cells differ, are disturbed or not erased: MEMORY.md.

Loaded for mtjkit_core.chip_errors.ChipErrors alone. The layers, and writes of cells that are alike,
stay the kernel's own. A disturbance is a write of what is stored, of kind FLIP.
"""

from array import array

from mtjkit_core.places import place_word
from mtjkit_core.write_errors import COUNTS, NO_LIMITS

try:
    from mtjkit_device.kernels.viper_classes import write as write_quickly
except (ImportError, SyntaxError, ValueError, AttributeError):
    write_quickly = None

_BEFORE = 2  # chip_errors.BEFORE, which is not loaded here


class ChipKernel:
    """See mtjkit_device.kernels.

    Args:
        kernel: computes the layers; `python` writes as the reference does.
        name: its name.
        model: mtjkit_core.model.Model.
        errors: mtjkit_core.chip_errors.ChipErrors.
    """

    def __init__(self, kernel, name: str, model, errors):
        self._kernel = kernel
        self.layer_map = kernel.layer_map
        self.layer_scores = kernel.layer_scores
        self.seed = kernel.seed
        self._model = model
        hidden = range(len(model.layers) - 1)
        every = range(len(model.layers))
        self._disturb = None
        if errors.disturb != NO_LIMITS:
            self._disturb = [errors.map_disturb_words(n) for n in hidden]
        self._weight_disturb = [errors.weight_disturb_words(n) for n in every]
        self._unused = array("I", bytes(4 * len(COUNTS)))
        self._classes = self._fill = None
        self._streams = array("I", bytes(128))
        if errors.before:
            self._key = array("I", (errors.seed & 0xFFFFFFFF, errors.seed >> 32))
            self._fill = _fill_of(name)
        if errors.chip is None:
            return
        self._write = _write_plainly if name == "python" or not write_quickly else write_quickly
        self._classes = [errors.map_class_words(n) for n in hidden]
        self._weight_classes = [errors.weight_class_words(n) for n in every]
        self._chip = array("I", (errors.chip & 0xFFFFFFFF, errors.chip >> 32))
        self._memories = errors.memories

    def erase(self, halves, image):
        kernel = self._kernel
        kernel.erase(halves, image)
        if self._fill:
            half = 0
            for cells in halves:
                kernel.seed(self._streams, self._key, image, place_word(_BEFORE, half, 0))
                self._fill(cells, self._streams)
                half += 1

    def write(self, n, cells, intended, state, errors, counts):
        kernel = self._kernel
        if self._classes:
            layer = self._model.layers[n]
            kernel.seed(self._streams, self._chip, 0, place_word(self._memories[0], n & 1, 0))
            self._write(
                cells,
                intended,
                layer.map_words,
                layer.out_words,
                layer.out_channels,
                0,
                state,
                self._streams,
                self._classes[n],
                counts,
            )
        else:
            kernel.write(n, cells, intended, state, errors, counts)
        if self._disturb:
            kernel.write(n, cells, cells, state, self._disturb[n], self._unused)

    def program(self, n, state, errors, counts):
        kernel = self._kernel
        if self._classes:
            layer = self._model.layers[n]
            kernel.seed(self._streams, self._chip, 0, place_word(self._memories[1], n, 0))
            at = layer.weights_at
            weights = self._model.data[at : at + 4 * layer.weight_words]
            self._write(
                weights,
                weights,
                layer.weight_words,
                layer.run_words,
                layer.run_bits,
                1,
                state,
                self._streams,
                self._weight_classes[n],
                counts,
            )
        else:
            kernel.program(n, state, errors, counts)
        # Where nothing is disturbed, this has the kernel take the weights as they are now.
        kernel.program(n, state, self._weight_disturb[n], self._unused)


def _fill_of(name: str):
    """What fills cells with random bits, quickly where that can be and the kernel is not python."""
    if name != "python":
        try:
            from mtjkit_device.kernels.viper_before import fill

            return fill
        except (ImportError, SyntaxError, ValueError, AttributeError):
            pass
    from mtjkit_core.chip_memory import fill

    return fill


def _write_plainly(
    cells, intended, words, run_words, run_bits, erased, state, streams, classes, counts
):
    """What viper_classes.write does, by the reference."""
    from mtjkit_core.bits import tail_mask
    from mtjkit_core.chip_memory import class_limits, write_classes

    to = bytearray(4 * words) if erased else cells
    tail = tail_mask(run_bits)
    limits = class_limits(classes)
    kind = classes[4]
    write_classes(to, intended, words, run_words, tail, state, streams, limits, kind, counts)
    if erased:
        cells[:] = to
