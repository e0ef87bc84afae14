"""Small random networks and images, the same bytes on CPython and MicroPython.

Their content comes from mtjkit_core.streams; networks.json locks their checksums and results.
"""

import binascii
import struct
from hashlib import sha256

from mtjkit_core import model as mtjb
from mtjkit_core.bits import tail_mask
from mtjkit_core.streams import next_word, seed_streams

CONV = mtjb.CONV
DENSE = mtjb.DENSE

# name: (input shape, [(kind, padding, pool, out_channels), ...])
NETWORKS = {
    "plain": ((7, 6, 3), [(CONV, 0, 0, 31), (CONV, 0, 0, 33), (DENSE, 0, 0, 10)]),
    "padded": (
        (5, 4, 3),
        [(CONV, 1, 0, 40), (CONV, 1, 0, 96), (DENSE, 0, 0, 64), (DENSE, 0, 0, 3)],
    ),
    "pooled": (
        (12, 8, 3),
        [(CONV, 1, 1, 33), (CONV, 1, 1, 40), (CONV, 1, 0, 31), (DENSE, 0, 0, 5)],
    ),
    "pool-plain": ((10, 12, 1), [(CONV, 0, 0, 64), (CONV, 0, 1, 65), (DENSE, 0, 0, 7)]),
    "thin": ((6, 6, 1), [(CONV, 1, 1, 1), (CONV, 1, 0, 1), (DENSE, 0, 0, 1), (DENSE, 0, 0, 1)]),
    "one pixel": (
        (1, 1, 2),
        [(CONV, 1, 0, 32), (CONV, 1, 0, 31), (DENSE, 0, 0, 32), (DENSE, 0, 0, 2)],
    ),
    "one row": ((1, 5, 3), [(CONV, 1, 0, 40), (CONV, 1, 0, 8), (DENSE, 0, 0, 2)]),
    "one column": ((4, 1, 3), [(CONV, 1, 0, 32), (CONV, 1, 0, 8), (DENSE, 0, 0, 2)]),
    "two by two": ((2, 2, 3), [(CONV, 1, 0, 96), (CONV, 1, 1, 33), (DENSE, 0, 0, 4)]),
    "to one": (
        (5, 5, 4),
        [(CONV, 0, 0, 20), (CONV, 0, 0, 300), (DENSE, 0, 0, 70), (DENSE, 0, 0, 10)],
    ),
    "deep image": ((4, 3, 16), [(CONV, 1, 0, 37), (DENSE, 0, 0, 6)]),
}


class Words:
    """An endless supply of random words, from stream 0 of a place."""

    def __init__(self, seed):
        self._state = [0] * 32
        seed_streams(self._state, seed, 0, 0, 0)

    def next(self):
        return next_word(self._state, 0)

    def put(self, data, at, words, run_words, run_bits):
        """Fill runs of random bits, padding 0, from byte `at` on; returns where they end."""
        for w in range(words):
            mask = tail_mask(run_bits) if w % run_words == run_words - 1 else 0xFFFFFFFF
            struct.pack_into("<I", data, at, self.next() & mask)
            at += 4
        return at


class HashedWords(Words):
    """The same from SHA-256: quick on a board too."""

    def __init__(self, seed):
        self._digest = struct.pack("<I", seed)
        self._left = ()

    def next(self):
        if not self._left:
            self._digest = sha256(self._digest).digest()
            self._left = struct.unpack("<8I", self._digest)
        word, self._left = self._left[0], self._left[1:]
        return word


def build(name, seed=1):
    """The model file of a network."""
    return fill(name, *NETWORKS[name], Words(seed))


def with_rows(words):
    """The model file of a network whose hidden dense layer has rows of so many words."""
    specs = [(CONV, 1, 0, 32 * words - 5), (DENSE, 0, 0, 9), (DENSE, 0, 0, 2)]
    return fill("rows", (1, 1, 1), specs, HashedWords(words))


def fill(name, shape, specs, words):
    """A model file: random weights, both polarities, thresholds of two kinds.

    Thresholds are near 0, so that S == threshold happens, or at the ends of the range.
    """
    layers = mtjb.chain(shape, specs)
    at = mtjb.HEADER_BYTES + mtjb.LAYER_BYTES * len(specs)
    size = at + sum(layer.data_bytes for layer in layers) + mtjb.CRC_BYTES
    data = bytearray(size)
    start = (mtjb.MAGIC, mtjb.MAJOR, mtjb.MINOR, len(specs), 0, size)
    struct.pack_into(mtjb.HEADER, data, 0, *start, *shape, 2, 255, 2, 0, 0, 0)
    raw_name = name.encode()
    name_at = mtjb.HEADER_BYTES - mtjb.NAME_BYTES
    data[name_at : name_at + len(raw_name)] = raw_name
    for i, (kind, padding, pool, out_channels) in enumerate(specs):
        table_at = mtjb.HEADER_BYTES + mtjb.LAYER_BYTES * i
        struct.pack_into(mtjb.LAYER, data, table_at, kind, padding, pool, 0, out_channels, 0)
    for layer in layers:
        at = words.put(data, at, layer.weight_words, layer.run_words, layer.run_bits)
        if not layer.last:
            spread = 300 if layer.index == 0 else 9
            for c in range(layer.out_channels):
                threshold = words.next() % (2 * spread + 1) - spread
                if c % 13 == 5:
                    threshold = (-0x80000000, 0x7FFFFFFF, layer.fan_in, -layer.fan_in)[c // 13 % 4]
                struct.pack_into("<i", data, at, threshold)
                at += 4
            at = words.put(data, at, layer.out_words, layer.out_words, layer.out_channels)
    struct.pack_into("<I", data, at, binascii.crc32(memoryview(data)[:at]) & 0xFFFFFFFF)
    return data


def image(name, seed):
    """A random int8 image of the network's shape; seed 0 gives the most negative pixels."""
    height, width, channels = NETWORKS[name][0]
    words = Words(seed)
    size = height * width * channels
    return bytes([words.next() & 255 if seed else 128 for _ in range(size)])
