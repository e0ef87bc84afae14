"""Mount the file system, as a board's own start-up does: littlefs on the 8 MB below the ROMFS.

It survives soft resets and machine.reset(), not the emulator's end.
"""

import sys

import uctypes
import vfs

sys.path.append("/lib")

_BLOCK = 4096
_BYTES = 8 * 1024 * 1024


class Flash:
    """A block device (readblocks, writeblocks, ioctl) over memory at an address."""

    def __init__(self, address, size):
        self.memory = memoryview(uctypes.bytearray_at(address, size))

    def readblocks(self, block, buffer, offset=0):
        at = block * _BLOCK + offset
        buffer[:] = self.memory[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * _BLOCK + offset
        self.memory[at : at + len(buffer)] = buffer

    def ioctl(self, request, _):
        if request == 4:
            return len(self.memory) // _BLOCK
        if request == 5:
            return _BLOCK
        return 0


flash = Flash(uctypes.addressof(vfs.rom_ioctl(2, 0)) - _BYTES, _BYTES)
try:
    vfs.mount(flash, "/")
except OSError:
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), "/")
