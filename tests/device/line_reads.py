"""Runs on MicroPython: how often a server reads the line for one frame of data, whatever the data.

A read of a byte costs as much as one of a whole frame. MICROPYPATH names firmware/micropython/lib,
tests/vectors and tests/device.
"""

import hashlib

import networks
from memory_lock import Tape
from mtjkit_core import messages as m
from mtjkit_core.whole_frames import pack
from mtjkit_device.server import Server

FRAMES = 20


class CountingTape(Tape):
    """A tape that counts how often it is read."""

    reads = 0

    def readinto(self, buffer, size):
        self.reads += 1
        return super().readinto(buffer, size)


def reads(frames):
    """How often a server reads to take these frames, each behind a zero, as a host sends them."""
    tape = CountingTape([(b"".join([b"\0" + frame for frame in frames]), False)])
    Server(tape).serve()
    return tape.reads


def check():
    """Print, for several data, the reads that a frame of a model and one of an image take."""
    model = bytes(networks.build("pooled"))
    size = len(networks.image("pooled", 1))
    hello = pack(m.HELLO.kind, 0, m.HELLO.pack(m.MAGIC, m.VERSION))

    def begin(size, sha256):
        return pack(m.MODEL_BEGIN.kind, 1, m.MODEL_BEGIN.pack(size, 0, sha256))

    def model_frames(data):
        return [
            pack(m.MODEL_DATA.kind, 2 + k, m.MODEL_DATA.pack(at, data=data[at : at + m.CHUNK]))
            for k, at in enumerate(range(0, len(data), m.CHUNK))
        ]

    start = [hello, begin(len(model), hashlib.sha256(model).digest())]
    start += model_frames(model)
    start.append(pack(m.MODEL_END.kind, 100))
    start.append(pack(m.CONFIGURE.kind, 101, m.CONFIGURE.pack(1, *[0] * 10)))
    for byte in (b"\0", b"\x55", b"\xff"):
        large = [hello, begin(FRAMES * m.CHUNK, bytes(range(32)))]
        of_model = reads(large + model_frames(byte * (FRAMES * m.CHUNK))) - reads(large)
        images = [
            pack(m.IMAGE_DATA.kind, 102 + k, m.IMAGE_DATA.pack(k, at, 0, data=byte * width))
            for k in range(FRAMES)
            for at, width in ((0, m.CHUNK), (m.CHUNK, size - m.CHUNK))
        ]
        of_images = reads(start + images) - reads(start)
        print(byte[0], of_model / FRAMES, of_images / len(images))


if __name__ == "__main__":
    check()
