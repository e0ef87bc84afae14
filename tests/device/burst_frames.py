"""Runs on MicroPython: images whose frames are read at once give what the deframer alone gives.

The frames come in order, damaged, lost, doubled, swapped, without zeros between them or cut off.
MICROPYPATH names firmware/micropython/lib, tests/vectors and tests/device.
"""

import hashlib

import networks
from line_reads import CountingTape
from mtjkit_core import messages as m
from mtjkit_core.frames import BODY_AT, Deframer
from mtjkit_core.whole_frames import frames, pack
from mtjkit_device.server import Server

IMAGES = 4
STREAMS = 20
CHUNK = 32  # a small one, so that an image has nine


class SmallTape(CountingTape):
    """A line of small frames."""

    chunk = CHUNK


class Digits:
    """A small random generator, the same everywhere."""

    state = 12345

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x3FFFFFFF
        return (self.state >> 8) % n


def served(stream, at_once):
    """The messages that a server answers, without its times, and how often it read the line."""
    tape = SmallTape([(stream, False)])
    server = Server(tape)
    assert server._burst
    if not at_once:
        server._burst = None
    server.serve()
    answers = []
    for kind, seq, body in frames(Deframer(), bytes(tape.out[: tape.written])):
        if kind == m.INFO.kind:
            body = b""  # how much memory is used, and a random number
        elif kind == m.RESULT.kind:
            at = m.RESULT.at("us") - BODY_AT
            body = body[:at] + body[at + 4 :]
        answers.append((kind, seq, body))
    return answers, tape.reads


def changed(parts, digits):
    """Frames, each behind a zero, with something wrong."""
    parts = [b"\0" + part for part in parts]
    for _ in range(1 + digits.below(3)):
        at = digits.below(len(parts))
        what = digits.below(7)
        if what == 0:
            del parts[at]
        elif what == 1:
            parts.insert(at, parts[digits.below(len(parts))])
        elif what == 2:
            broken = bytearray(parts[at])
            broken[digits.below(len(broken))] ^= 1 << digits.below(8)
            parts[at] = bytes(broken).replace(b"\3", b"\4")  # a Ctrl-C would end the server
        elif what == 3:
            cut = digits.below(len(parts[at]))
            parts[at] = parts[at][:cut] + parts[at][cut + 1 :]
        elif what == 4:
            parts[at] = parts[at][1:]
        elif what == 5:
            other = digits.below(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        else:
            parts[at] += bytes(digits.below(300))
    return b"".join(parts)


def check(name="pooled"):
    """Print how many streams gave the same, and the reads of a stream without faults."""
    model = bytes(networks.build(name))
    start = [pack(m.HELLO.kind, 0, m.HELLO.pack(m.MAGIC, m.VERSION))]
    announced = m.MODEL_BEGIN.pack(len(model), 0, hashlib.sha256(model).digest())
    start.append(pack(m.MODEL_BEGIN.kind, 1, announced))
    seq = 2
    for at in range(0, len(model), CHUNK):
        body = m.MODEL_DATA.pack(at, data=model[at : at + CHUNK])
        start.append(pack(m.MODEL_DATA.kind, seq & 255, body))
        seq += 1
    start.append(pack(m.MODEL_END.kind, seq & 255))
    start.append(pack(m.CONFIGURE.kind, (seq + 1) & 255, m.CONFIGURE.pack(1, *[0] * 10)))
    seq += 2
    images = []
    for index in range(IMAGES):
        image = networks.image(name, index)
        for at in range(0, len(image), CHUNK):
            body = m.IMAGE_DATA.pack(index, at, index & 1, data=image[at : at + CHUNK])
            images.append(pack(m.IMAGE_DATA.kind, seq & 255, body))
            seq += 1
    begin = b"".join([b"\0" + part for part in start])
    whole = begin + b"".join([b"\0" + part for part in images])
    found, few = served(whole, True)
    expected, many = served(whole, False)
    assert found == expected
    assert sum(kind == m.RESULT.kind for kind, _, _ in found) == IMAGES
    digits = Digits()
    for number in range(STREAMS):
        stream = begin + changed(images, digits)
        assert served(stream, True)[0] == served(stream, False)[0], number
    print(STREAMS, "streams,", len(images), "frames,", many - few, "reads saved")


if __name__ == "__main__":
    check()
