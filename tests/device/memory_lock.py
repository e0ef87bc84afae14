"""Runs on MicroPython: serves images with the heap locked, so that any allocation fails.

From the received frame to the reply, with every kernel but python that loads, at several rates of
both kinds of errors. On the Unix port: micropython memory_lock.py; MICROPYPATH names
firmware/micropython/lib and tests/vectors. Elsewhere they are on sys.path.
"""

import hashlib

import micropython
import networks
from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError
from mtjkit_core.frames import Deframer
from mtjkit_core.whole_frames import frames, pack
from mtjkit_device.frames_viper import copy
from mtjkit_device.kernels import KERNELS, load_kernel
from mtjkit_device.server import Server

# (down, up): 0, 1e-8, 2.4 %, a half, all; and two that differ.
LIMITS = (
    (0, 0), (43, 43), (103079215, 103079215), (1 << 31, 1 << 31), (1 << 32, 1 << 32),
    (103079215, 1 << 30), (1 << 32, 43),
)  # fmt: skip
IMAGES = 3


class Tape:
    """A line whose input is there from the start.

    The input comes in parts: (bytes, whether the heap is locked while they are read and answered).
    """

    credit = 0
    chunk = m.CHUNK

    def __init__(self, parts):
        self.parts = parts
        self.part = -1
        self.at = self.end = 0
        self.locked = False
        self.out = bytearray(10_000)
        self.written = 0

    def raw(self, buffer, size):
        return self.readinto(buffer, size)

    def readinto(self, buffer, size):
        if self.at == self.end:
            if self.locked:
                micropython.heap_unlock()
            self.part += 1
            if self.part == len(self.parts):
                return 0
            self.at = 0
            self.end = len(self.parts[self.part][0])
            self.locked = self.parts[self.part][1]
            if self.locked:
                micropython.heap_lock()
        size = min(size, self.end - self.at)
        copy(buffer, 0, self.parts[self.part][0], self.at, size)
        self.at += size
        return size

    def write(self, buffer, size):
        copy(self.out, self.written, buffer, 0, size)
        self.written += size


def served(name, kernel, limits):
    """Results that a server gives with the heap locked, but while it is configured."""
    model = networks.build(name)
    image = networks.image(name, 1)
    seq = [0]

    def frame(message, *values, data=b""):
        seq[0] = (seq[0] + 1) & 255
        return pack(message.kind, seq[0], message.pack(*values, data=data))

    def chunks(message, content, *fields):
        for at in range(0, len(content), m.CHUNK):
            yield frame(message, *fields[:1], at, *fields[1:], data=content[at : at + m.CHUNK])

    start = [
        frame(m.HELLO, m.MAGIC, m.VERSION),
        frame(m.MODEL_BEGIN, len(model), 0, hashlib.sha256(model).digest()),
    ]
    start.extend(chunks(m.MODEL_DATA, bytes(model)))
    start.append(frame(m.MODEL_END))
    parts = [(b"".join(start), False)]
    number = m.KERNELS.index(kernel)
    for down, up in limits:
        for kind in (0, 1):
            configure = frame(m.CONFIGURE, 1, 2, kind, number, 0, 0, down, up, 0, 0, 0)
            parts.append((configure, False))
            stream = []
            for index in range(m.MAX_INDEX - 5 - IMAGES, m.MAX_INDEX - 5):
                stream += list(chunks(m.IMAGE_DATA, image, index, index & 1))
                stream.append(frame(m.QUERY, index, index & 1))  # the result once more
                stream.append(frame(m.QUERY, index + 5, index & 1))  # MISSING
                stream.append(frame(m.PING))
                frame(m.PING)  # a number is missing: LOST
            parts.append((b"".join(stream), True))
    tape = Tape(parts)
    Server(tape).serve()
    found = frames(Deframer(), bytes(tape.out[: tape.written]))
    return sum(kind == m.RESULT.kind for kind, _, _ in found)


def check(names=("pooled", "to one"), limits=LIMITS):
    """Print for each kernel that loads how many results it gave."""
    for kernel in KERNELS[:-1]:
        try:
            load_kernel(kernel)
        except ConfigError:
            continue
        print(kernel, sum([served(name, kernel, limits) for name in names]), "results")


if __name__ == "__main__":
    check()
