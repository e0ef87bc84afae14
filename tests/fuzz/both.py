"""Targets that run on CPython and MicroPython alike, and what each makes of any bytes, as a line.

On MicroPython: `micropython tests/fuzz/both.py CORPUS` with the core on MICROPYPATH; CORPUS holds
the size of the longest input (u32, little-endian), and for each a target's number (u8), a size
(u32) and that many bytes.
"""

import binascii
import struct
import sys

from mtjkit_core import messages as m
from mtjkit_core.errors import MtjkitError
from mtjkit_core.frames import MAX_BODY, MAX_FRAME, Deframer
from mtjkit_core.model import Model
from mtjkit_core.whole_frames import frames, pack

MESSAGES = {}
for _name in dir(m):
    _message = getattr(m, _name)
    if isinstance(_message, m.Message):
        MESSAGES[_message.kind] = _message


def hexed(data):
    """Bytes as text that both runtimes write alike."""
    return str(binascii.hexlify(data), "ascii")


def model(data):
    """Read a model; all that follows from its header and table."""
    found = Model(data)
    numbers = [found.input_shape, found.pixel_rule, found.half_words, found.map_bits]
    for layer in found.layers:
        numbers.append((layer.weights_at, layer.thresholds_at, layer.inverted_at, layer.macs))
        last = layer.weights_at + layer.data_bytes
        assert 0 < layer.weights_at < last < len(data) < 1 << 31
    assert max(found.weight_bits, found.map_bits) < 1 << 31
    names = [hexed(name.encode()) for name in found.class_names]
    return repr((hexed(found.name.encode()), names, numbers))


def link(data):
    """Cut a stream into frames: the first byte is the size of its chunks."""
    deframer = Deframer()
    step = data[0] + 1 if data else 1
    found = []
    for at in range(1, len(data), step):
        for kind, seq, body in frames(deframer, bytes(data[at : at + step])):
            assert len(body) <= MAX_BODY
            found.append((kind, seq, hexed(body)))
        assert len(deframer.frame) == MAX_FRAME
        assert 1 <= deframer.wanted() <= 255
    return repr((found, deframer.bad))


def message(data):
    """Read a body: the first byte is the message's kind. What is read packs to the same bytes."""
    kind, body = (data[0], bytes(data[1 : MAX_BODY + 1])) if data else (0, b"")
    ((back, _, inside),) = frames(Deframer(), pack(kind, 0, body))
    assert (back, inside) == (kind, body)
    if kind not in MESSAGES:
        return "none"
    one = MESSAGES[kind]
    values = one.unpack(body)
    again = one.pack(*values[:-1], data=values[-1]) if one.tail else one.pack(*values)
    assert again == body
    return repr([v if isinstance(v, int) else hexed(v) for v in values])


TARGETS = (("model", model), ("frames", link), ("messages", message))


def outcome(run, data):
    """The error's text, or a checksum of what was found; any other exception is a bug."""
    try:
        return "%08x" % (binascii.crc32(run(data).encode()) & 0xFFFFFFFF)
    except MtjkitError as error:
        return type(error).__name__ + " " + str(error)


def main(path):
    """Print the outcome of every input of a corpus file.

    All are read into one buffer, as on a device: whether a new one of 200 kB fits a heap of
    512 kB would depend on what lies where in it.
    """
    with open(path, "rb") as file:
        buffer = memoryview(bytearray(struct.unpack("<I", file.read(4))[0]))
        while head := file.read(5):
            number, size = struct.unpack("<BI", head)
            data = buffer[:size]
            file.readinto(data)
            print(outcome(TARGETS[number][1], data))


if __name__ == "__main__":
    main(sys.argv[1])
