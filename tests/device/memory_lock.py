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
from mtjkit_core.frames import Deframer, frames, pack
from mtjkit_device.engine import KERNELS, load_kernel
from mtjkit_device.fast import copy
from mtjkit_device.server import Server

RATES = (0, 43, 103079215, 1 << 31, 1 << 32)  # 0, 1e-8, 2.4 %, a half, all
IMAGES = 3


class Tape:
    """A line whose input is there from the start; from `lock_at` on the heap is locked."""

    credit = 0
    chunk = m.CHUNK

    def __init__(self, data, lock_at):
        self.data = data
        self.at = 0
        self.lock_at = lock_at
        self.out = bytearray(4000)
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


def served(name, kernel, threshold, errors):
    """Results that a server gives, once it is configured, with the heap locked."""
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
    number = m.KERNELS.index(kernel)
    setup += [frame(m.MODEL_END), frame(m.CONFIGURE, 1, 2, threshold, 0, errors, number)]
    stream = []
    for index in range(m.MAX_INDEX - 5 - IMAGES, m.MAX_INDEX - 5):
        stream += list(chunks(m.IMAGE_DATA, image, index, index & 1))
        stream.append(frame(m.QUERY, index, index & 1))  # the result once more
        stream.append(frame(m.QUERY, index + 5, index & 1))  # MISSING
        stream.append(frame(m.PING))
        frame(m.PING)  # a number is missing: LOST
    setup = b"".join(setup)
    tape = Tape(setup + b"".join(stream), len(setup))
    Server(tape).serve()
    found = frames(Deframer(), bytes(tape.out[: tape.written]))
    return sum(kind == m.RESULT.kind for kind, _, _ in found)


for kernel in KERNELS[:-1]:
    try:
        load_kernel(kernel)
    except ConfigError:
        continue
    results = 0
    for name in ("pooled", "to one"):
        for threshold in RATES:
            for errors in (0, 1):
                results += served(name, kernel, threshold, errors)
    print(kernel, results, "results")
