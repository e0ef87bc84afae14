"""Runs on MicroPython: serves images with the heap locked, so that any allocation fails.

    micropython memory_lock.py NETWORK IMAGES

MICROPYPATH names firmware/micropython/lib and tests/vectors.
"""

import hashlib
import sys

import micropython
import networks
from mtjkit_core import messages as m
from mtjkit_core.frames import Deframer, frames, pack
from mtjkit_device.fast import copy
from mtjkit_device.server import Server

KERNEL = m.KERNELS.index("viper")


class Tape:
    """A line whose input is there from the start; from `lock_at` on the heap is locked."""

    credit = 0
    chunk = m.CHUNK

    def __init__(self, data, lock_at):
        self.data = data
        self.at = 0
        self.lock_at = lock_at
        self.out = bytearray(100_000)
        self.written = 0

    def readinto(self, buffer, size):
        if self.at >= len(self.data):
            micropython.heap_unlock()
            return 0
        if self.at >= self.lock_at:
            self.lock_at = 1 << 29
            micropython.heap_lock()
        size = min(size, len(self.data) - self.at)
        copy(buffer, 0, self.data, self.at, size)
        self.at += size
        return size

    def write(self, buffer, size):
        copy(self.out, self.written, buffer, 0, size)
        self.written += size


def main(name, count):
    model = networks.build(name)
    image = networks.image(name, 1)
    seq = [0]

    def frame(message, *values, data=b""):
        seq[0] = (seq[0] + 1) & 255
        return pack(message.kind, seq[0], message.pack(*values, data=data))

    def chunks(message, content, *fields):
        for at in range(0, len(content), m.CHUNK):
            yield frame(message, *fields[:1], at, *fields[1:], data=content[at : at + m.CHUNK])

    setup = [
        frame(m.HELLO, m.MAGIC, m.VERSION),
        frame(m.MODEL_BEGIN, len(model), 0, hashlib.sha256(model).digest()),
    ]
    setup += list(chunks(m.MODEL_DATA, bytes(model)))
    setup += [frame(m.MODEL_END), frame(m.CONFIGURE, 1, 2, 1 << 27, 0, 0, KERNEL)]
    stream = []
    for i in range(count):
        stream += list(chunks(m.IMAGE_DATA, image, i, i & 1))
        stream.append(frame(m.QUERY, i, i & 1))  # the result once more
        stream.append(frame(m.QUERY, i + 5, i & 1))  # MISSING
        stream.append(frame(m.PING))
        frame(m.PING)  # a number is missing: LOST
    setup = b"".join(setup)
    tape = Tape(setup + b"".join(stream), len(setup))
    Server(tape).serve()
    results = 0
    for kind, _, _ in frames(Deframer(), bytes(tape.out[: tape.written])):
        results += kind == m.RESULT.kind
    print(results, "results")


main(sys.argv[1], int(sys.argv[2]))
