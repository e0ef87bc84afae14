"""What the kernels in viper and assembler share: all but the inner loops.

A viper integer is a machine word, of 32 or 64 bits; `full` cuts results to 32. Constants of 2**30
and more are built by shifts, because 32-bit ports reject them as literals.
"""

# ruff: noqa: F821  (viper's types)

import micropython
from mtjkit_core.errors import ConfigError

from mtjkit_device.kernels import viper_layers


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
        model, data: the model, and its bytes.
        The others are those of viper_build.
    """

    PAIRS = ""

    def __init__(self, model, write):
        # A Cortex-M0 faults on words at other addresses.
        if misaligned(model.data):
            raise ConfigError("the model is not 4-byte aligned: copy it into RAM")
        self._write = write
        self.data = model.data
        self.model = model
        part("viper_build").fill(self, model)

    @staticmethod
    def refuses(layer) -> str:
        """Nothing: see `load`."""
        return ""

    @classmethod
    def load(cls, layers):
        """Load the code that only some networks need."""
        part("viper_build").load(cls, layers)

    def layer_map(self, n, source, out):
        if self.unusual:
            self.unusual.layer_map(self, n, source, out)
        elif n == 0:
            self.first.layer_map(self, source, out)
        else:
            self.hidden_map(n, source, out)

    def hidden_map(self, n, source, out):
        """The map of a layer that reads packed bits and makes bits of them."""
        g, positions = self.layers[n], self.positions[n]
        data, work, job = self.data, self.work, self.job
        viper_layers.limits(g, data, job, work, positions)
        viper_layers.hidden(g, source, data, out, work, job, positions, self.loops[n])

    def layer_scores(self, n, source, scores):
        if self.unusual:
            self.unusual.layer_scores(self, n, source, scores)
        else:
            viper_layers.last(self.layers[n], source, self.data, scores)

    def seed(self, state, key, image, place):
        seed_streams(state, key, image, place)

    def write(self, n, cells, intended, state, errors, counts):
        g = self.model.layers[n]
        words, run_words, run_bits = g.map_words, g.out_words, g.out_channels
        self._write(cells, intended, words, run_words, run_bits, 0, state, errors, counts)

    def program(self, n, state, errors, counts):
        g = self.model.layers[n]
        weights = self.data[g.weights_at : g.weights_at + 4 * g.weight_words]
        words, run_words, run_bits = g.weight_words, g.run_words, g.run_bits
        self._write(weights, weights, words, run_words, run_bits, 1, state, errors, counts)

    def erase(self, halves, image):
        for cells in halves:
            erase(cells, len(cells) >> 2)
