"""QEMU.

A board's [emulate] table has `system`, the family of processors as QEMU's program for it is called
(arm, riscv32); `machine`, QEMU's name of the board; and `options`, more words for QEMU.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.build.qemu import STORAGE_BYTES
from mtjkit_host.boards.catalog import BoardSpec, setting
from mtjkit_host.boards.emulators.start import Start


def check(spec: BoardSpec) -> None:
    """Raise ConfigError if QEMU is missing."""
    program = _program(spec)
    if not shutil.which(program):
        raise ConfigError(f"{program} is missing ({spec.advice})")


def storage_bytes(spec: BoardSpec) -> int:
    """Size of the file system that may be there from the start; 0 for none."""
    return STORAGE_BYTES if spec.romfs is not None else 0


def command(spec: BoardSpec, start: Start, work: Path, port: int) -> list[str]:
    """The emulator's command line.

    Args:
        spec: the board.
        start: what it starts with; where time counts instructions, each is 1024 ns, whatever the
            host does.
        work: a folder for files that the emulator reads.
        port: the local TCP port that becomes the board's serial line.

    Raises:
        ConfigError: the board's settings are wrong, or the image does not fit.
    """
    machine = setting(spec, spec.emulate, "machine", str)
    options = setting(spec, spec.emulate, "options", list)
    program = _program(spec)
    words = [shutil.which(program) or program, "-machine", machine, "-display", "none", *options]
    words += ["-monitor", "none", "-serial", f"tcp:127.0.0.1:{port},server=on,wait=off"]
    words += ["-kernel", str(start.firmware)]
    if spec.romfs is not None:
        address = spec.romfs.address
        for name, image, at in (
            ("storage", start.storage, address - STORAGE_BYTES),
            ("romfs", start.romfs, address),
        ):
            if image:
                path = work / f"{name}.img"
                path.write_bytes(image)
                words += ["-device", f"loader,file={path},addr={at:#x},force-raw=on"]
    if start.count:
        words += ["-icount", "shift=10,sleep=off"]
    return words


def _program(spec: BoardSpec) -> str:
    return f"qemu-system-{setting(spec, spec.emulate, 'system', str)}"
