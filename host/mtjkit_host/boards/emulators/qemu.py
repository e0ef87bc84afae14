"""QEMU.

A board's [emulate] table has `system`, the family of processors as QEMU's program for it is called
(arm, riscv32); `machine`, QEMU's name of the board; and `options`, more words for QEMU.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.catalog import BoardSpec, setting


def check(spec: BoardSpec) -> None:
    """Raise ConfigError if QEMU is missing."""
    program = _program(spec)
    if not shutil.which(program):
        raise ConfigError(f"{program} is missing ({spec.advice})")


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
    options = setting(spec, spec.emulate, "options", list)
    program = _program(spec)
    words = [shutil.which(program) or program, "-machine", machine, "-display", "none", *options]
    words += ["-monitor", "none", "-serial", f"tcp:127.0.0.1:{port},server=on,wait=off"]
    words += ["-kernel", str(firmware)]
    if romfs and spec.romfs is not None:
        image = work / "romfs.img"
        image.write_bytes(romfs)
        words += ["-device", f"loader,file={image},addr={spec.romfs.address:#x},force-raw=on"]
    if count:
        words += ["-icount", "shift=10,sleep=off"]
    return words


def _program(spec: BoardSpec) -> str:
    return f"qemu-system-{setting(spec, spec.emulate, 'system', str)}"
