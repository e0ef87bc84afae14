"""Runs on MicroPython's Unix port: makes the file system that modules/_boot.py mounts.

micropython storage.py IMAGE BYTES; standard input has the files: path, line end, size, line end,
content.
"""

import os
import sys

import vfs

_BLOCK = 4096  # as in _boot.py
_ROOT = "/image"


class Flash:
    """A block device (readblocks, writeblocks, ioctl) in memory."""

    def __init__(self, size):
        self.memory = memoryview(bytearray(size))

    def readblocks(self, block, buffer, offset=0):
        """Fill a buffer."""
        at = block * _BLOCK + offset
        buffer[:] = self.memory[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        """Keep what is in a buffer."""
        at = block * _BLOCK + offset
        self.memory[at : at + len(buffer)] = buffer

    def ioctl(self, request, _):
        """The number of blocks (request 4), the bytes of one (5)."""
        if request == 4:
            return len(self.memory) // _BLOCK
        if request == 5:
            return _BLOCK
        return 0


def make_folder(path):
    """Make a folder, and those above it."""
    above = path.rsplit("/", 1)[0]
    if above:
        make_folder(above)
    try:
        os.mkdir(path)
    except OSError:  # it is there
        pass


flash = Flash(int(sys.argv[2]))
vfs.VfsLfs2.mkfs(flash)
vfs.mount(vfs.VfsLfs2(flash), _ROOT)
source = sys.stdin.buffer
while True:
    path = source.readline()
    if not path:
        break
    path = _ROOT + path.decode().strip()
    content = source.read(int(source.readline()))
    folder = path.rsplit("/", 1)[0]
    if folder != _ROOT:
        make_folder(folder)
    with open(path, "wb") as file:
        file.write(content)
vfs.umount(_ROOT)
with open(sys.argv[1], "wb") as file:
    file.write(flash.memory)
