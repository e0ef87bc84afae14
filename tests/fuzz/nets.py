"""Random networks of every kind through the kernels that load here, against the reference.

It runs on CPython and MicroPython: `micropython tests/fuzz/nets.py COUNT SEED`, with the core, the
device's package and tests/vectors on MICROPYPATH. Prints how many networks each kernel computed.
On a small board, where the reference would take minutes, the kernels are compared with viper.
"""

import sys

import networks
from mtjkit_core import mtjb
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from mtjkit_core.streams import next_word, seed_streams
from mtjkit_core.write_errors import WriteErrors
from mtjkit_device.engine import Engine
from mtjkit_device.kernels import KERNELS, load_kernel

MOST_PRODUCTS = 60000
SEED = 0x123456789ABCDEF
REFERENCE = "python" if sys.maxsize >> 32 else "viper"


class Dice:
    """Random choices from a stream, the same on both runtimes."""

    def __init__(self, seed):
        self._state = [0] * 32
        seed_streams(self._state, seed, 0, 0, 0)

    def of(self, *choices):
        """One of the choices."""
        return choices[next_word(self._state, 0) % len(choices)]

    def upto(self, most):
        """A number from 1 to `most`."""
        return 1 + next_word(self._state, 0) % most


def convolution(dice, index, channels):
    """Entry of a random convolution: its maps may be too small for it."""
    kernel = (dice.upto(4), dice.upto(4))
    pads = tuple([dice.upto(kernel[i & 1]) - 1 for i in range(4)])
    pad_value = dice.of(-1, 0, 0, 1) if index else dice.of(-128, -1, 0, 0, 1, 127)
    pool, step = (0, 0), (0, 0)
    if dice.of(0, 1):
        pool, step = (dice.upto(3), dice.upto(3)), (dice.upto(3), dice.upto(3))
    groups = dice.of(1, 1, 1, channels)
    out = dice.of(1, 2, 31, 33) * (groups if groups < 6 else 1)
    if groups >= 6:
        out = groups
    stride = (dice.upto(2), dice.upto(2))
    return mtjb.conv_entry(index, out, kernel, stride, pads, pad_value, pool, step, 1, groups)


def network(dice):
    """A random network: (shape, entries, choices), or None where its layers do not fit."""
    choices = (dice.of(0, 0, 1, 2), 0, 0, 0)
    entries = []
    shape = (dice.upto(7), dice.upto(7), dice.of(1, 2, 3, 5))
    if dice.of(0, 0, 1):
        shape = (1, 1, dice.of(3, 40, 300))
    else:
        channels = shape[2]
        for _ in range(dice.of(0, 1, 1, 2)):
            entries.append(convolution(dice, len(entries), channels))
            channels = entries[-1][2]
    if entries and dice.of(0, 0, 1):  # an average before the last layer
        entry = list(entries[-1])
        if entry[12]:
            entry[12] = mtjb.AVERAGE
            entries[-1] = tuple(entry)
    elif dice.of(0, 1):
        entries.append(mtjb.dense_entry(len(entries), dice.of(1, 31, 33)))
    if entries and dice.of(0, 0, 0, 1):
        entry = list(entries[0])
        entry[18] = 8
        entries[0] = tuple(entry)
    last = mtjb.dense_entry(len(entries), dice.of(1, 3, 33), dice.of(0, 1, 1), dice.of(1, 1, 8))
    entries.append(last)
    try:
        layers = mtjb.chain(shape, entries, reads=choices[0])
    except FormatError:
        return None
    if sum([layer.macs for layer in layers]) > MOST_PRODUCTS:
        return None
    return shape, entries, choices


def outcome(model, kernel, image):
    """What an engine says of an image with write errors, and of weights written with errors."""
    made = Engine(model, kernel)
    made.configure(WriteErrors(SEED, 1, 1 << 29))
    made.run(image, 5)
    found = list(made.scores) + list(made.counts)
    model = Model(bytearray(model.data))
    return found, Engine(model, kernel).program(WriteErrors(SEED, 0, 0, 1 << 29)), bytes(model.data)


def run(count, seed):
    """Compare `count` networks; returns how many each kernel computed.

    Raises:
        AssertionError: a kernel differs from the reference; it names the network.
    """
    done = {}
    n = 0
    while n < count:
        dice = Dice(seed)
        seed += 1
        net = network(dice)
        if net is None:
            continue
        n += 1
        data = networks.fill_2("random", net[0], net[1], networks.Words(seed), net[2])
        model = Model(data)
        size = net[0][0] * net[0][1] * net[0][2]
        image = bytes([dice.upto(256) - 1 for _ in range(size)])
        expected = outcome(model, REFERENCE, image)
        for kernel in KERNELS[:-1]:
            if kernel == REFERENCE:
                continue
            try:
                load_kernel(kernel, model.layers)
            except ConfigError:
                continue
            assert outcome(model, kernel, image) == expected, (kernel, seed - 1, net)
            done[kernel] = done.get(kernel, 0) + 1
    return done


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])))
