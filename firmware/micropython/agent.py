"""What flashing runs on a board, sent over the raw REPL and never stored.

Data arrive as base64 text, so that Ctrl-C still stops the board, in chunks that are each answered
with a "+", so that a port with a small receive buffer loses nothing.
"""

import binascii
import gc
import hashlib
import os
import sys

try:
    import vfs
except ImportError:  # before MicroPython 1.23
    vfs = None


def describe():
    """What flashing must know of the board: a dict."""
    gc.collect()
    try:
        _, fragment, blocks, free = os.statvfs("/")[:4]
        storage = (fragment * blocks, fragment * free)
    except OSError:
        storage = (0, 0)
    return {
        "machine": getattr(sys.implementation, "_machine", sys.platform),
        "platform": sys.platform,
        "mpy": getattr(sys.implementation, "_mpy", 0),
        "free": gc.mem_free(),
        "storage": storage,
        "romfs": len(memoryview(_rom())) if _rom() is not None else 0,
        "mapped": _size("/rom/model.mtjb"),
    }


def _rom():
    """The memory or block device of the read-only file system, or None."""
    if not hasattr(vfs, "rom_ioctl") or vfs.rom_ioctl(1) <= 0:
        return None
    return vfs.rom_ioctl(2, 0)


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return -1


def digests(*paths):
    """SHA-256 of each file as hexadecimal; "" where there is none."""
    buffer = memoryview(bytearray(512))
    found = []
    for path in paths:
        if _size(path) < 0:
            found.append("")
            continue
        sha = hashlib.sha256()
        with open(path, "rb") as file:
            n = file.readinto(buffer)
            while n:
                sha.update(buffer[:n])
                n = file.readinto(buffer)
        found.append(binascii.hexlify(sha.digest()).decode())
    return found


def listing(folder):
    """Names in a folder; empty if there is none."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def make_folders(*paths):
    """Make folders, each after the one above it."""
    for path in paths:
        if _size(path) < 0:
            os.mkdir(path)


def _receive(size, chunk, take):
    while size:
        n = min(size, chunk)
        take(binascii.a2b_base64(sys.stdin.read((n + 2) // 3 * 4)))
        size -= n
        sys.stdout.write("+")


def receive_file(path, size, chunk):
    """Write a file; it gets its name only when all of it is there."""
    with open("/receiving", "wb") as file:
        _receive(size, chunk, file.write)
    if _size(path) >= 0:
        os.remove(path)
    os.rename("/receiving", path)


class _RomWriter:
    """Writes the read-only file system from its start, in blocks of 4096 bytes."""

    def __init__(self, size):
        self.rom = _rom()
        self.at = 0
        self.used = 0
        self.block = bytearray(4096)
        if hasattr(self.rom, "writeblocks"):
            for n in range((size + 4095) // 4096):
                self.rom.ioctl(6, n)
        elif vfs.rom_ioctl(3, 0, size) < 0:
            raise OSError("the read-only file system cannot be prepared")

    def take(self, data):
        done = 0
        while done < len(data):
            n = min(len(data) - done, 4096 - self.used)
            self.block[self.used : self.used + n] = data[done : done + n]
            self.used += n
            done += n
            if self.used == 4096:
                self.flush()

    def flush(self):
        if self.used and hasattr(self.rom, "writeblocks"):
            self.rom.writeblocks(self.at // 4096, self.block)
        elif self.used and vfs.rom_ioctl(4, 0, self.at, self.block) < 0:
            raise OSError("the read-only file system cannot be written")
        self.at += self.used
        self.used = 0

    def finish(self):
        self.flush()
        if not hasattr(self.rom, "writeblocks"):
            vfs.rom_ioctl(5, 0)


def receive_rom(size, chunk):
    """Write the read-only file system."""
    try:
        vfs.umount("/rom")
    except OSError:
        pass
    writer = _RomWriter(size)
    _receive(size, chunk, writer.take)
    writer.finish()
