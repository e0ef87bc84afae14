"""The agent's part that receives deflated files; sent after files.py, where it saves time."""
# ruff: noqa: F821 (files.py has defined _receive)

import io

import deflate


class _Memory:
    """Keeps what it is given."""

    def __init__(self, size):
        self.data = bytearray(size)
        self.at = 0

    def take(self, data):
        self.data[self.at : self.at + len(data)] = data
        self.at += len(data)


def receive_inflated(chunk, size, files):
    """Write files, given as (path, size), from `size` bytes of raw deflate, window 4 KB."""
    memory = _Memory(size)
    _receive(size, chunk, memory.take)
    content = deflate.DeflateIO(io.BytesIO(memory.data), deflate.RAW, 12)
    buffer = memoryview(bytearray(512))
    for path, left in files:
        with open(path, "wb") as file:
            while left:
                n = content.readinto(buffer[: min(left, 512)])
                if not n:
                    raise OSError("the data end before the files")
                file.write(buffer[:n])
                left -= n
