"""What the kernels viper and asm_thumb share: all but the inner loops.

A viper integer is a machine word, of 32 or 64 bits; `full` cuts results to 32. Constants of 2**30
and more are built by shifts, because 32-bit ports reject them as literals.
"""

# ruff: noqa: F821  (viper's types)

from array import array

import micropython
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import AVERAGES, CLASS_BITS, NUMBERS, PLUS_MINUS

from mtjkit_device.kernels import viper_layers

# Positions (see mtjkit_core.footprint) of a layer all of whose windows lie in its map.
INNER = array("i", (0, 1 << 24, 1, 0, 1 << 24, 1))


def part(name):
    """A module of the kernels that only some networks need."""
    return __import__("mtjkit_device.kernels." + name, None, None, ("*",))


@micropython.viper
def seed_streams(state: ptr32, key: ptr32, image: int, place: int):
    """Set the eight streams of a place: see mtjkit_core.streams.seed_streams."""
    full = uint(0xFFFF)
    full |= full << 16
    s = 0
    while s < 8:
        a = uint(0x6170)
        a = ((a << 16) | 0x7865) ^ uint(key[0])
        b = uint(0x3320646E) ^ uint(key[1])
        c = uint(0x7962)
        c = ((c << 16) | 0x2D32) ^ uint(image)
        d = uint(0x6B20)
        d = ((d << 16) | 0x6574) ^ uint(place | s)
        i = 0
        while i < 8:
            a = (a + b) & full
            d ^= a
            d = ((d << 16) & full) | (d >> 16)
            c = (c + d) & full
            b ^= c
            b = ((b << 12) & full) | (b >> 20)
            a = (a + b) & full
            d ^= a
            d = ((d << 8) & full) | (d >> 24)
            c = (c + d) & full
            b ^= c
            b = ((b << 7) & full) | (b >> 25)
            i += 1
        state[0] = int(a)
        state[1] = int(b)
        state[2] = int(c)
        state[3] = int(d)
        state = ptr32(int(state) + 16)
        s += 1


@micropython.viper
def misaligned(data: ptr8) -> int:
    """Bytes that `data` lies beyond a multiple of 4."""
    return int(data) & 3


@micropython.viper
def values(image: ptr8, to: ptr8, count: int, low: int):
    """Bytes of an image of bits: 1 for a byte above 0, `low` for any other."""
    while count > 0:
        count -= 1
        byte = low
        if image[count] - 1 < 127 and image[count]:
            byte = 1
        to[count] = byte


@micropython.viper
def erase(cells: ptr32, words: int):
    """Put all cells into the P state (0)."""
    # No cells[w]: MicroPython 1.25 and 1.26 on Arm spoil an index that is kept in a register.
    while words > 0:
        cells[0] = 0
        cells = ptr32(int(cells) + 4)
        words -= 1


class ViperKernel:
    """The engine's kernel interface over three inner functions.

    They are `pairs` and `rows` (see viper_layers) and `write` (see viper_memory). A subclass says
    the name of the module of `pairs`, PAIRS, and has a static method `rows`, the inner loop of a
    hidden layer.

    Attributes:
        data, work, job: the model, and memory of the layers' functions.
        shapes, layers: the model's layers, and their numbers.
        pairs: the inner function of the first layer.
        loops: `rows` of every layer.
    """

    PAIRS = ""

    def __init__(self, model, write):
        # A Cortex-M0 faults on words at other addresses.
        if misaligned(model.data):
            raise ConfigError("the model is not 4-byte aligned: copy it into RAM")
        from mtjkit_core import footprint  # here, because a board forgets it

        self._write = write
        self._first, self.pairs, self.loops, self._plain, self._average = self.load(model.layers)
        self.data = model.data
        self._model = model
        self.shapes = footprint.computed(model.layers)
        self.layers = [layer.numbers() for layer in self.shapes]
        self._positions = [None] * len(self.layers)
        for layer in footprint.packed_maps(model):
            found = footprint.positions(layer)
            self._positions[layer.index] = array("i", found) if len(found) > 6 else INNER
        self.work = bytearray(4 * footprint.work_words(model))
        self.job = bytearray(4 * footprint.job_words(model))
        size = footprint.image_bytes(model.layers[0])
        self._image = bytearray(size) if size else None
        size = footprint.bits_bytes(model)
        self._bits = bytearray(size) if size else None
        for layer in model.layers:
            if layer.output == AVERAGES:
                self._pooling = layer.numbers()

    @staticmethod
    def refuses(layer) -> str:
        """Nothing: see `load`."""
        return ""

    @classmethod
    def load(cls, layers):
        """Load the code that only some networks need.

        Returns:
            The first layer's module; its `pairs` or None; `rows` of every layer; `plain` and
            `average`, or None.
        """
        from mtjkit_core import footprint

        layers = footprint.computed(layers), layers
        kind = footprint.first_kind(layers[0][0])
        first = part(("viper_first", "viper_sums", "viper_packed", "viper_plain")[kind])
        pairs = plain = average = None
        if kind in (footprint.PAIRS, footprint.LONG):
            pairs = part(cls.PAIRS).pairs
        if any([footprint.is_plain(layer) for layer in layers[0]]):
            plain = part("viper_plain").plain
        if any([layer.output == AVERAGES for layer in layers[1]]):
            average = part("viper_average").average
        return first, pairs, [cls.rows(layer) for layer in layers[0]], plain, average

    def layer_map(self, n, source, out):
        averages = self._model.layers[n].output == AVERAGES
        to = self._bits if averages else out
        g, positions = self.layers[n], self._positions[n]
        if n == 0:
            self._first.layer_map(self, self._values(source), to)
        elif not positions:
            self._plain(g, source, self.data, to, 0)
        else:
            data, work, job = self.data, self.work, self.job
            viper_layers.limits(g, data, job, work, positions)
            viper_layers.hidden(g, source, data, to, work, job, positions, self.loops[n])
        if averages:
            self._average(self._pooling, to, out, self.shapes[n].map_width)

    def layer_scores(self, n, source, scores):
        shape = self.shapes[n]
        if shape.output == CLASS_BITS:
            bits = self._bits
            self.layer_map(n, source, bits)
            for c in range(len(scores)):
                scores[c] = 1 if bits[c >> 3] >> (c & 7) & 1 else -1
        elif n == 0:
            self._first.layer_scores(self, self._values(source), scores)
        elif self._plain and (shape.cells > 1 or shape.reads == NUMBERS):
            self._plain(self.layers[n], source, self.data, scores, 1)
        else:
            viper_layers.last(self.layers[n], source, self.data, scores)

    def _values(self, image):
        """The image as int8: where the layer reads bits and does not pack them, their values."""
        if not self._image:
            return image
        low = 255 if self.shapes[0].reads == PLUS_MINUS else 0
        values(image, self._image, len(self._image), low)
        return self._image

    def seed(self, state, key, image, place):
        seed_streams(state, key, image, place)

    def write(self, n, cells, intended, state, errors, counts):
        g = self._model.layers[n]
        words, run_words, run_bits = g.map_words, g.out_words, g.out_channels
        self._write(cells, intended, words, run_words, run_bits, 0, state, errors, counts)

    def program(self, n, state, errors, counts):
        g = self._model.layers[n]
        weights = self.data[g.weights_at : g.weights_at + 4 * g.weight_words]
        words, run_words, run_bits = g.weight_words, g.run_words, g.run_bits
        self._write(weights, weights, words, run_words, run_bits, 1, state, errors, counts)

    def erase(self, cells):
        erase(cells, len(cells) >> 2)
