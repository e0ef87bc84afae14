"""The agent's part that writes the mapped read-only file system; sent after files.py, if needed."""
# ruff: noqa: F821 (files.py has defined _rom and _receive)

import vfs


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


def receive_rom(chunk, size):
    """Write the read-only file system and mount it again, if it is one."""
    try:
        vfs.umount("/rom")
    except OSError:
        pass
    writer = _RomWriter(size)
    _receive(size, chunk, writer.take)
    writer.finish()
    try:
        vfs.mount(vfs.VfsRom(_rom()), "/rom")
    except OSError:  # it was erased
        pass
