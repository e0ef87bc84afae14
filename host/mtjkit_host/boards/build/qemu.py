"""MicroPython for machines that QEMU emulates, from the port of our own in firmware/boards/qemu.

A board's [build] table has `cpu`, the name of its processor; `flags`, the compiler's options for
it; the addresses where its `code` and `ram` begin, of its `serial` line and its `clock`;
`serial_irq`, the interrupt of a byte that arrives; and `clock_hz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.architectures import COMPILERS
from mtjkit_host.boards.build.steps import mpy_cross, run_build
from mtjkit_host.boards.catalog import BoardSpec, setting
from mtjkit_host.machine import cores
from mtjkit_host.paths import BOARDS

STORAGE_BYTES = 8 << 20
"""Of files, right below the ROMFS: modules/_boot.py."""
_NUMBERS = ("code", "ram", "serial", "serial_irq", "clock", "clock_hz")


def tools(spec: BoardSpec) -> list[str]:
    """Programs that the build needs."""
    return ["make", COMPILERS.get(spec.architecture, "arm-none-eabi-gcc")]


def build(spec: BoardSpec, tree: Path, image: Path, heap_bytes: int) -> None:
    """Build a board's firmware.

    Args:
        spec: the board.
        tree: MicroPython's sources.
        image: the file to write, in the folder to build in.
        heap_bytes: MicroPython's heap.

    Raises:
        ConfigError: the board's settings are wrong, or the build fails.
    """
    if spec.romfs is None or spec.romfs.address < STORAGE_BYTES:
        raise ConfigError(f"{spec.name}: this board needs a [romfs], with 8 MB of RAM below it")
    command = ["make", "-C", str(BOARDS / "qemu"), f"-j{cores()}"]
    command += [f"BOARD={spec.name}", f"MPY_DIR={tree}", f"BUILD={image.parent}"]
    command += [f"IMAGE={image.name}", f"HEAP={heap_bytes}", f"ARCH={spec.architecture}"]
    command += [f"CPU={setting(spec, spec.build, 'cpu', str)}"]
    command += [f"CFLAGS_CPU={setting(spec, spec.build, 'flags', str)}"]
    for name in _NUMBERS:
        command.append(f"{name.upper()}={setting(spec, spec.build, name, int):#x}")
    command += [f"ROMFS={spec.romfs.address:#x}", f"ROMFS_BYTES={spec.romfs.bytes}"]
    command += [f"MICROPY_MPYCROSS={mpy_cross()}", f"PYTHON={sys.executable}"]
    run_build(command, image.parent / "build.log", spec.name)
