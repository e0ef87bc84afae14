"""Small random networks and images, the same bytes on CPython and MicroPython.

Their content comes from mtjkit_core.streams; networks.json, geometries.json and kinds.json lock
their checksums and results.
"""

import binascii
import struct
from hashlib import sha256

from mtjkit_core import geometry, mtjb
from mtjkit_core.bits import tail_mask
from mtjkit_core.model import Model
from mtjkit_core.streams import next_word, seed_streams

CONV = geometry.CONV
DENSE = geometry.DENSE

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


def _net(shape, *layers):
    """A network of format 2.0: arguments of conv_entry after the index, or a dense width."""
    entries = []
    for index, layer in enumerate(layers):
        if isinstance(layer, int):
            entries.append(mtjb.dense_entry(index, layer, index == len(layers) - 1))
        else:
            entries.append(mtjb.conv_entry(index, *layer))
    return shape, entries


_ONE, _ALL, _NONE = (1, 1), (1, 1, 1, 1), (0, 0, 0, 0)

# name: (input shape, entries); an argument list is (out, kernel, stride, pads, pad value, pool,
# pool stride)
GEOMETRIES = {
    "5x5 and 1x1": _net((7, 8, 3), (33, (5, 5), _ONE, (2, 2, 2, 2)), (40, _ONE), 5),
    "short rows": _net((5, 4, 2), (64, _ONE), (70, (2, 2), _ONE, _ALL), (66, _ONE), 3),
    "rows and columns": _net((6, 12, 2), (31, (1, 5)), (33, (3, 1), (2, 1)), 4),
    "strides": _net(
        (11, 9, 3), (40, (3, 3), (2, 2), _ALL), (33, (3, 3), (2, 1), (0, 0, 1, 1), -1), 64, 3
    ),
    "pad value +1": _net(
        (6, 7, 3),
        (33, (3, 3), _ONE, _ALL, -128),
        (31, (3, 3), _ONE, _ALL, 1, (3, 3), (2, 2)),
        (40, (2, 2), _ONE, (1, 0, 0, 1), 1),
        2,
    ),
    "pad value -1": _net((5, 4, 1), (32, (3, 3), _ONE, _ALL, 127), (7, (5, 3), _ONE, _ALL, -1), 2),
    "pooling": _net(
        (13, 11, 1),
        (20, (3, 3), _ONE, _NONE, 0, (3, 3), (2, 2)),
        (33, (2, 2), _ONE, _ALL, 0, (2, 2), (2, 2)),
        (5, _ONE, _ONE, _NONE, 0, (3, 1), (1, 2)),
        3,
    ),
    "pooled short rows": _net(
        (6, 5, 1),
        (31, _ONE),
        (40, (3, 3), _ONE, _ALL, 0, (2, 2), _ONE),
        (70, _ONE, _ONE, _NONE, 0, (2, 2), _ONE),
        (100, _ONE, _ONE, _NONE, 0, (2, 1), _ONE),
        (230, _ONE, _ONE, _NONE, 0, (1, 2), _ONE),
        (33, _ONE, _ONE, _NONE, 0, (3, 2), _ONE),
        3,
    ),
    "odd pooling": _net((5, 7, 3), (33, (3, 3), _ONE, _ALL, 0, (2, 2), (2, 2)), 2),
    "samples": _net(
        (40, 1, 1), (16, (7, 1), (2, 1), (3, 0, 3, 0)), (33, (5, 1), (3, 1)), (8, (3, 1)), 2
    ),
    "dense first": _net((1, 1, 50), 33, 40, 3),
    "long sums": _net(
        (8, 7, 9), (4, (6, 5), (2, 1), (2, 0, 1, 3), -7, (2, 2), (1, 2)), (5, (1, 2)), 2
    ),
    "long dense first": _net((3, 10, 20), 40, 3),
    "deep and wide": _net((2, 2, 40), (33, (2, 1)), 3),
}


def _kinds(choices, shape, *layers):
    """A network of format 2.1 or 2.2: the header's choices, then as `_net`.

    A dense width below 0 has int8 weights; the last one in parentheses has class bits.
    """
    entries = []
    for index, layer in enumerate(layers):
        if isinstance(layer, tuple) and len(layer) == 1:
            entries.append(mtjb.dense_entry(index, layer[0]))
        elif isinstance(layer, tuple):
            entries.append(mtjb.conv_entry(index, *layer))
        else:
            last = index == len(layers) - 1
            entries.append(mtjb.dense_entry(index, abs(layer), last, 1 if layer > 0 else 8))
    return shape, entries, choices


_AVERAGE, _SIGNED = mtjb.AVERAGE, mtjb.SIGNED_POOL


# name: (input shape, entries, values of `input`, `pixels`, `scores` and `decision`)
KINDS = {
    "bits 0 and 1": _kinds((1, 0, 0, 0), (1, 1, 75), 33, 40, 5),
    "bits -1 and +1": _kinds((2, 0, 0, 0), (1, 1, 100), 64, 33, 10),
    "binary picture": _kinds(
        (2, 0, 0, 0), (6, 5, 2), (33, (3, 3), _ONE, _ALL, -1, (2, 2), (2, 2)), 3
    ),
    "zeros, padded": _kinds((1, 0, 0, 0), (7, 6, 3), (40, (5, 5), (2, 2), (2, 2, 2, 2), 7), 5),
    "one layer": _kinds((0, 2, 0, 0), (1, 1, 40), 10),
    "one layer of bits": _kinds((2, 0, 0, 0), (3, 3, 5), (33,)),
    "class bits": _kinds((0, 0, 0, 0), (5, 4, 3), (31, (3, 3)), (40,)),
    "scaled": _kinds((0, 0, 1, 0), (1, 1, 30), 33, 7),
    "average": _kinds(
        (0, 0, 0, 0), (6, 5, 3), (33, (3, 3), _ONE, _NONE, 0, (2, 2), (1, 1), _AVERAGE), 4
    ),
    "global average": _kinds(
        (0, 0, 0, 0),
        (7, 6, 2),
        (8, (3, 3)),
        (31, (3, 3), _ONE, _ALL, 1, (5, 4), (1, 1), _AVERAGE),
        -5,
    ),
    "int8 weights": _kinds(
        (0, 0, 0, 0), (6, 5, 3), (33, (3, 3), _ONE, _ALL, 3, _ONE, _ONE, 1, 1, 8), 34, -6
    ),
    "int8 dense": _kinds((2, 0, 0, 0), (1, 1, 70), -33, -4),
    "depthwise": _kinds(
        (0, 0, 0, 0),
        (8, 7, 2),
        (40, (3, 3)),
        (40, (3, 3), _ONE, _ALL, 0, _NONE[:2], _NONE[:2], 1, 40),
        (33, _ONE),
        3,
    ),
    "groups": _kinds(
        (0, 0, 0, 0),
        (5, 6, 4),
        (36, (3, 3), _ONE, _ALL, -7, _ONE, _ONE, 1, 2),
        (6, (3, 2), (2, 1), (1, 0, 1, 1), -1, (2, 2), (1, 2), 1, 3),
        3,
    ),
    "one score": _kinds((0, 0, 1, 1), (1, 1, 30), 33, 1),
    "signs": _kinds(
        (0, 0, 0, 0),
        (8, 4, 3),
        (33, (3, 3), _ONE, _ALL, 0, (2, 2), (2, 2), _SIGNED),
        (40, (3, 3), _ONE, _ALL, 0, (2, 2), (2, 2), _SIGNED),
        5,
    ),
    "signs, unusual pooling": _kinds(
        (0, 0, 0, 0),
        (7, 8, 1),
        (20, (3, 3), _ONE, _NONE, 0, (3, 3), (2, 2), _SIGNED),
        (36, (2, 2), _ONE, _ALL, 1, (2, 1), (1, 2), _SIGNED, 4),
        3,
    ),
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
    """The model file of a network: version 1.0 of NETWORKS, 2.0 of GEOMETRIES, 2.1 on of KINDS."""
    if name in KINDS:
        return fill_2(name, *KINDS[name][:2], Words(seed), KINDS[name][2])
    if name in GEOMETRIES:
        return fill_2(name, *GEOMETRIES[name], Words(seed))
    return fill(name, *NETWORKS[name], Words(seed))


def with_rows(words):
    """The model file of a network whose hidden dense layer has rows of `words` words."""
    specs = [(CONV, 1, 0, 32 * words - 5), (DENSE, 0, 0, 9), (DENSE, 0, 0, 2)]
    return fill("rows", (1, 1, 1), specs, HashedWords(words))


def fill(name, shape, specs, words):
    """A model file of version 1.0: (kind, padding, pool, out_channels) of each layer."""
    layers = mtjb.chain(shape, mtjb.entries_1(specs), 1)
    table = b"".join([struct.pack(mtjb.ENTRY_1, *spec[:3], 0, spec[3], 0) for spec in specs])
    rule = struct.pack(mtjb.HEADER_1, *shape, 2, 255, 2, 0, 0, 0)
    return _file((1, 0), rule, mtjb.HEADER_1_BYTES, name, table, layers, words)


def fill_2(name, shape, entries, words, choices=(0, 0, 0, 0)):
    """A model file of version 2.0, 2.1 or 2.2."""
    layers = mtjb.chain(shape, entries, reads=choices[0])
    version = (2, mtjb.minor_of(choices, entries))
    rule = (1, 0, 1) if choices[1] else (2, 255, 2)
    head = head_2(shape, rule, choices=choices)
    data = _file(version, head, mtjb.HEADER_BYTES, name, table_2(entries), layers, words)
    if choices[2]:
        floats = bytearray(mtjb.SCALE_BYTES * entries[-1][2])
        for at in range(0, len(floats), 4):  # from 2**-3 to 2**-2 in size
            struct.pack_into("<I", floats, at, 0x3E000000 | words.next() & 0x807FFFFF)
        data = data[: -mtjb.CRC_BYTES] + floats
        struct.pack_into("<I", data, 8, len(data) + mtjb.CRC_BYTES)
        data += struct.pack("<I", binascii.crc32(data) & 0xFFFFFFFF)
    return data


def table_2(entries):
    """Layer table of version 2.0."""
    size = mtjb.ENTRY_BYTES
    return b"".join([(struct.pack(mtjb.ENTRY, *entry) + bytes(size))[:size] for entry in entries])


def head_2(shape, rule=(2, 255, 2), labels_bytes=0, choices=(0, 0, 0, 0)):
    """Header of version 2.0 between its start and its name."""
    sizes = (mtjb.HEADER_BYTES, mtjb.ENTRY_BYTES)
    rest = choices[:2] + tuple(rule) + choices[2:] + (labels_bytes,)
    return struct.pack(mtjb.HEADER, *(sizes + tuple(shape) + rest))


def _file(version, head, header_bytes, name, table, layers, words):
    """A model file: random weights, both polarities, thresholds of two kinds.

    Thresholds are near 0, so that S == threshold happens, or at the ends of the range.
    """
    at = header_bytes + len(table)
    size = at + sum([layer.data_bytes for layer in layers]) + mtjb.CRC_BYTES
    data = bytearray(size)
    struct.pack_into(mtjb.START, data, 0, mtjb.MAGIC, *version, len(layers), 0, size)
    data[mtjb.HEADER_AT : mtjb.HEADER_AT + len(head)] = head
    raw_name = name.encode()
    name_at = header_bytes - mtjb.NAME_BYTES
    data[name_at : name_at + len(raw_name)] = raw_name
    data[header_bytes:at] = table
    for layer in layers:
        at = words.put(data, at, layer.weight_words, layer.run_words, layer.run_bits)
        if layer.output != geometry.SUMS:
            spread = 300 if layer.index == 0 else 9
            for c in range(layer.out_channels):
                threshold = words.next() % (2 * spread + 1) - spread
                if c % 13 == 5:
                    threshold = (-0x80000000, 0x7FFFFFFF, layer.fan_in, -layer.fan_in)[c // 13 % 4]
                struct.pack_into("<i", data, at, threshold)
                at += 4
            at = words.put(data, at, layer.out_words, layer.out_words, layer.out_channels)
        if layer.output == geometry.SIGNED:
            at = words.put(data, at, layer.out_words, layer.out_words, layer.out_channels)
    struct.pack_into("<I", data, at, binascii.crc32(memoryview(data)[:at]) & 0xFFFFFFFF)
    return data


def as_version_2(data):
    """The network of a file of version 1.0, as version 2.0."""
    model = Model(data)
    entries = []
    for layer in model.layers:
        entries.append((layer.kind, layer.padding, layer.pool, layer.out_channels))
    table = table_2(mtjb.entries_1(entries))
    table_at = model.layers[0].weights_at - mtjb.ENTRY_1_BYTES * len(entries)
    labels = bytes(data[mtjb.HEADER_1_BYTES : table_at])
    body = bytes(data[model.layers[0].weights_at : len(data) - mtjb.CRC_BYTES])
    size = mtjb.HEADER_BYTES + len(labels) + len(table) + len(body) + mtjb.CRC_BYTES
    head = struct.pack(mtjb.START, mtjb.MAGIC, 2, 0, len(entries), 0, size)
    head += head_2(model.input_shape, model.pixel_rule, len(labels))
    head += bytes(mtjb.HEADER_BYTES - mtjb.NAME_BYTES - len(head))
    head += bytes(data[mtjb.HEADER_1_BYTES - mtjb.NAME_BYTES : mtjb.HEADER_1_BYTES])
    whole = head + labels + table + body
    return bytearray(whole + struct.pack("<I", binascii.crc32(whole) & 0xFFFFFFFF))


def sealed(data):
    """A model's bytes with the right size and checksum, as far as there is room for them."""
    data = bytearray(data)
    if len(data) >= 16:
        struct.pack_into("<I", data, 8, len(data))
        struct.pack_into("<I", data, len(data) - 4, binascii.crc32(bytes(data[:-4])) & 0xFFFFFFFF)
    return bytes(data)


def image(name, seed):
    """A random int8 image of the network's shape; seed 0 gives the most negative pixels."""
    net = NETWORKS.get(name) or GEOMETRIES.get(name) or KINDS[name]
    height, width, channels = net[0]
    words = Words(seed)
    size = height * width * channels
    return bytes([words.next() & 255 if seed else 128 for _ in range(size)])
