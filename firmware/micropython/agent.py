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
        "heap": gc.mem_free() + gc.mem_alloc(),
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
    """Print a line for each file: its SHA-256 as hexadecimal; empty where there is none."""
    buffer = memoryview(bytearray(512))
    for path in paths:
        sha = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                n = file.readinto(buffer)
                while n:
                    sha.update(buffer[:n])
                    n = file.readinto(buffer)
            print(binascii.hexlify(sha.digest()).decode())
        except OSError:
            print()


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


def receive_files(chunk, files):
    """Write files, given as (path, size). What is cut short is found by its digest next time."""
    for path, size in files:
        with open(path, "wb") as file:
            _receive(size, chunk, file.write)
