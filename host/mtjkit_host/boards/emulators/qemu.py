"""QEMU's Arm machines. A board's [emulate] table has `machine`, QEMU's name of the board."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.catalog import BoardSpec, setting

_QEMU = "qemu-system-arm"


def check(spec: BoardSpec) -> None:
    """Raise ConfigError if QEMU is missing."""
    if not shutil.which(_QEMU):
        raise ConfigError(f"{_QEMU} is missing (Debian: apt install {_QEMU})")


def command(
    spec: BoardSpec, firmware: Path, romfs: bytes, work: Path, port: int, count: bool
) -> list[str]:
    """The emulator's command line.

    Args:
        spec: the board.
        firmware: its firmware.
        romfs: image to lie in the mapped memory from the start; empty for none.
        work: a folder for files that the emulator reads.
        port: the local TCP port that becomes the board's serial line.
        count: time counts instructions, 1024 ns each, whatever the host does.

    Raises:
        ConfigError: the board's settings are wrong, or the image does not fit.
    """
    machine = setting(spec, spec.emulate, "machine", str)
    words = [shutil.which(_QEMU) or _QEMU, "-machine", machine, "-display", "none"]
    words += ["-monitor", "none", "-serial", f"tcp:127.0.0.1:{port},server=on,wait=off"]
    words += ["-kernel", str(firmware)]
    if romfs and spec.romfs is not None:
        image = work / "romfs.img"
        image.write_bytes(romfs)
        words += ["-device", f"loader,file={image},addr={spec.romfs.address:#x},force-raw=on"]
    if count:
        words += ["-icount", "shift=10,sleep=off"]
    return words
