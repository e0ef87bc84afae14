"""What flashing runs on a board, sent over the raw REPL and never stored.

Data arrive as base64 text, so that Ctrl-C still stops the board, in chunks that are each answered
with the byte 6, so that a port with a small receive buffer loses nothing.
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
try:
    import deflate
except ImportError:
    deflate = None


def describe():
    """What flashing must know of the board: a dict."""
    gc.collect()
    root, storage = _storage()
    return {
        "machine": getattr(sys.implementation, "_machine", sys.platform),
        "platform": sys.platform,
        "mpy": getattr(sys.implementation, "_mpy", 0),
        "heap": gc.mem_free() + gc.mem_alloc(),
        "root": root,
        "storage": storage,
        "romfs": len(memoryview(_rom())) if _rom() is not None else 0,
        "mapped": _size("/rom/model.mtjb"),
        "mapped_files": listing("/rom"),
        "inflates": deflate is not None,
    }


def _storage():
    """Where the file system is that main.py is started from, and its (bytes, free bytes).

    Ports mount it at / or at /flash; the current folder after a start lies in it.
    """
    for root in (os.getcwd(), "/flash", "/"):
        try:
            _, fragment, blocks, free = os.statvfs(root)[:4]
        except OSError:
            continue
        if blocks:
            return root.rstrip("/"), (fragment * blocks, fragment * free)
    return "", (0, 0)


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
    """The SHA-256 of each file as hexadecimal, a list; "" where there is none."""
    buffer = memoryview(bytearray(512))
    found = []
    for path in paths:
        sha = hashlib.sha256()
        try:
            with open(path, "rb") as file:
                n = file.readinto(buffer)
                while n:
                    sha.update(buffer[:n])
                    n = file.readinto(buffer)
            found.append(binascii.hexlify(sha.digest()).decode())
        except OSError:
            found.append("")
    return found


def text_of(path, most):
    """The text of a file; None if there is none or it is longer than `most` bytes."""
    if not 0 <= _size(path) <= most:
        return None
    try:
        with open(path) as file:
            return file.read()
    except (OSError, UnicodeError):
        return None


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
        sys.stdout.write("\x06")


def receive_files(chunk, files):
    """Write files, given as (path, size). What is cut short is found by its digest next time."""
    for path, size in files:
        with open(path, "wb") as file:
            _receive(size, chunk, file.write)


def remove(*paths):
    """Remove files, and folders that are empty; what is not there or not empty stays."""
    for path in paths:
        try:
            if os.stat(path)[0] & 0x4000:
                os.rmdir(path)
            else:
                os.remove(path)
        except OSError:
            pass
