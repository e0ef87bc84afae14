"""Runs on MicroPython: a model and images in blocks give what chunks in frames give.

Blocks come in order, damaged, for a slot that has another image, again, among frames, or make no
sense. MICROPYPATH names firmware/micropython/lib, tests/vectors and tests/device.
"""

import hashlib
from binascii import crc32

import networks
from line_reads import CountingTape
from mtjkit_core import messages as m
from mtjkit_core.blocks import IMAGE_BLOCK, MODEL_BLOCK, TAKES_BLOCKS
from mtjkit_core.frames import BODY_AT, Deframer
from mtjkit_core.whole_frames import frames, pack
from mtjkit_device.server import Server

IMAGES = 6
MODEL = bytes(networks.build("pooled"))
PICTURES = [bytes(networks.image("pooled", index)) for index in range(IMAGES)]


class Ended(CountingTape):
    """A line that stays at its end."""

    def readinto(self, buffer, size):
        return super().readinto(buffer, size) if self.part < len(self.parts) else 0


class Host:
    """Says what a host says, and has a server answer it."""

    def __init__(self):
        self.said = b""
        self.seq = 0

    def say(self, message, *values, data=b"", behind=b""):
        body = message.pack(*values, data=data)
        self.said += b"\0\0" + pack(message.kind, self.seq, body) + behind
        self.seq = (self.seq + 1) & 255

    def chunks(self, message, data, *fields):
        for at in range(0, len(data), m.CHUNK):
            self.say(message, *fields[:1], at, *fields[1:], data=data[at : at + m.CHUNK])

    def begin(self):
        self.say(m.HELLO, m.MAGIC, m.VERSION)
        self.say(m.MODEL_BEGIN, len(MODEL), 0, hashlib.sha256(MODEL).digest())

    def block(self, index, slot, data=None, crc=0):
        data = data or PICTURES[index]
        self.say(IMAGE_BLOCK, index, slot, crc32(data) ^ crc, behind=data)

    def model_block(self, at, end):
        data = MODEL[at:end]
        self.say(MODEL_BLOCK, at, len(data), behind=data)

    def configure(self):
        self.say(m.MODEL_END)
        self.say(m.CONFIGURE, 1, *[0] * 10)

    def answers(self):
        """Kind and body of each answer; of INFO the flags, of RESULT all but the time."""
        tape = Ended([(self.said, False)])
        Server(tape).serve()
        found = []
        for kind, _, body in frames(Deframer(), bytes(tape.out[: tape.written])):
            if kind == m.INFO.kind:
                assert body[1] & TAKES_BLOCKS
                continue
            if kind == m.RESULT.kind:
                at = m.RESULT.at("us") - BODY_AT
                body = body[:at] + body[at + 4 :]
            found.append((kind, body))
        self.reads = tape.reads
        return found


def of_kind(answers, message):
    return [body for kind, body in answers if kind == message.kind]


def check():
    plain = Host()
    plain.begin()
    plain.chunks(m.MODEL_DATA, MODEL)
    plain.configure()
    for index in range(IMAGES):
        plain.chunks(m.IMAGE_DATA, PICTURES[index], index, index & 1)
    expected = plain.answers()
    results = of_kind(expected, m.RESULT)
    assert len(results) == IMAGES

    blocks = Host()
    blocks.begin()
    blocks.model_block(0, m.CHUNK)
    blocks.model_block(m.CHUNK, len(MODEL))
    blocks.configure()
    for index in range(IMAGES):
        blocks.block(index, index & 1)
    assert [a for a in blocks.answers() if a[0] != m.DONE.kind] == [
        a for a in expected if a[0] != m.DONE.kind
    ]
    print(plain.reads, "reads by frames,", blocks.reads, "by blocks")

    # What is damaged is asked for, and comes as frames; a computed image is not computed again.
    odd = Host()
    odd.begin()
    odd.model_block(m.CHUNK, len(MODEL))
    odd.say(m.MODEL_END)
    odd.say(m.MODEL_DATA, 0, data=MODEL[: m.CHUNK])
    odd.model_block(0, m.CHUNK)
    odd.configure()
    odd.block(0, 0)
    odd.block(0, 0)
    odd.say(m.QUERY, 0, 0)
    odd.block(1, 0, crc=1)
    odd.chunks(m.IMAGE_DATA, PICTURES[1], 1, 0)
    odd.block(2, 1)
    odd.say(m.PING)
    odd.block(3, 0)
    odd.said += bytes(300)
    odd.chunks(m.IMAGE_DATA, PICTURES[4], 4, 1)
    odd.block(5, 7)
    answers = odd.answers()
    assert of_kind(answers, m.RESULT) == [results[i] for i in (0, 0, 1, 2, 3, 4, 5)]
    missing = [m.MISSING.unpack(body) for body in of_kind(answers, m.MISSING)]
    assert missing == [
        (m.THE_MODEL, 0, m.CHUNK),
        (1, 0, len(PICTURES[1])),
    ]
    assert not of_kind(answers, m.ERROR)

    # A frame that makes no sense is refused, and its bytes are no message.
    for change in (
        lambda host: host.say(IMAGE_BLOCK, 0, 200, 0),
        lambda host: host.say(IMAGE_BLOCK, m.MAX_INDEX + 1, 0, 0),
        lambda host: host.say(MODEL_BLOCK, 0, 1),
    ):
        host = Host()
        host.begin()
        host.say(MODEL_BLOCK, 1, m.CHUNK)
        host.say(MODEL_BLOCK, 0, m.CHUNK + 1)
        host.say(MODEL_BLOCK, 0, len(MODEL) + 1)
        host.say(IMAGE_BLOCK, 0, 0, 0)  # nothing is configured
        host.model_block(0, len(MODEL))
        host.configure()
        host.block(0, 0)
        change(host)
        host.said += bytes(300)
        host.block(1, 1)
        answers = host.answers()
        assert of_kind(answers, m.RESULT) == results[:2]
        codes = [body[0] for body in of_kind(answers, m.ERROR)]
        assert codes == [m.BAD_REQUEST] * 3 + [m.NOT_READY, m.BAD_REQUEST]

    # A frame among blocks that is damaged, or no frame, is passed over.
    for broken in (
        b"\0\0" + bytes((5, IMAGE_BLOCK.kind)) + b"\1" * 14 + b"\0",
        b"\0\0" + pack(IMAGE_BLOCK.kind, 0, b"\1" * 9)[:-2] + b"\7\0",
        b"\0\0" + bytes((17, IMAGE_BLOCK.kind)) + b"\0" * 15,
        b"\0\0" + bytes((17, IMAGE_BLOCK.kind)) + b"\1" * 15,
        b"\0\1\2\3\0" + bytes(20),
    ):
        host = Host()
        host.begin()
        host.model_block(0, len(MODEL))
        host.configure()
        host.block(0, 0)
        host.said += broken + bytes(300)
        host.block(1, 1)
        assert of_kind(host.answers(), m.RESULT) == results[:2], broken

    # The line ends within a block.
    for cut in (1, 5, len(PICTURES[1]), len(PICTURES[1]) + 5):
        host = Host()
        host.begin()
        host.model_block(0, len(MODEL))
        host.configure()
        host.block(0, 0)
        host.block(1, 1)
        host.said = host.said[:-cut]
        assert of_kind(host.answers(), m.RESULT) == results[:1]


if __name__ == "__main__":
    check()
