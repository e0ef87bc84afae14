"""MicroPython firmware for the emulated boards, built from source into build/firmware."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Protocol

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.architectures import COMPILER_OPTIONS
from mtjkit_host.boards.build import qemu, rp2, steps
from mtjkit_host.boards.catalog import BoardSpec, board_named
from mtjkit_host.boards.micropython_tree import micropython_tree
from mtjkit_host.paths import BOARDS


class Builder(Protocol):
    """What builds firmware: a module."""

    def tools(self, spec: BoardSpec) -> list[str]:
        """Programs that it needs."""
        ...

    def build(self, spec: BoardSpec, tree: Path, image: Path, heap_bytes: int) -> None:
        """Build a board's firmware into a file."""
        ...


BUILDERS: dict[str, Builder] = {"qemu": qemu, "rp2": rp2}
"""By the name in a board.toml's [build] table."""


def find_firmware(name: str, heap_bytes: int = 0) -> Path:
    """The firmware that `build_firmware` has made.

    Args:
        name: a board of the catalog.
        heap_bytes: the heap it was built with; 0 for the board's usual one.

    Raises:
        ConfigError: it has not been built; the message says how to build it.
    """
    spec = _built(board_named(name))
    name = spec.name
    path = _image(spec, heap_bytes)
    if not path.is_file():
        heap = f" --heap {heap_bytes}" if heap_bytes not in (0, spec.heap_bytes) else ""
        raise ConfigError(
            f"no firmware for {name} yet: `firmware --board {name}{heap}` builds it (2 min)"
        )
    return path


def build_firmware(name: str, heap_bytes: int = 0) -> Path:
    """Build a board's firmware from MicroPython's sources; quick when nothing has changed.

    Args:
        name: a board of the catalog.
        heap_bytes: MicroPython's heap; 0 for the board's usual one.

    Returns:
        The firmware file.

    Raises:
        ConfigError: the board has no such heap, a tool or the sources are missing, or the build
            fails; the message says what to install, or where the log is.
    """
    spec = _built(board_named(name))
    builder = _builder(spec)
    least, most = spec.heap_range
    if heap_bytes and not most:
        raise ConfigError(f"--heap: the heap of {name} is what its RAM leaves")
    if heap_bytes and not least <= heap_bytes <= most:
        raise ConfigError(f"--heap of {name} must be from {least} to {most}, not {heap_bytes}")
    if not BOARDS.is_dir():
        raise ConfigError("firmware is built in a clone of the project: `git clone` it first")
    _check_tools(spec, builder.tools(spec))
    tree = micropython_tree()
    image = _image(spec, heap_bytes)
    image.parent.mkdir(parents=True, exist_ok=True)
    builder.build(spec, tree, image, heap_bytes or spec.heap_bytes)
    return image


def _built(spec: BoardSpec) -> BoardSpec:
    """The board whose firmware a board has."""
    return board_named(spec.firmware_of) if spec.firmware_of else spec


def _builder(spec: BoardSpec) -> Builder:
    if not spec.builder:
        raise ConfigError(f"{spec.name} needs no firmware of ours")
    if spec.builder not in BUILDERS:
        known = ", ".join(BUILDERS)
        raise ConfigError(f"{spec.name}: builder {spec.builder!r} is unknown: one of {known}")
    return BUILDERS[spec.builder]


def _image(spec: BoardSpec, heap_bytes: int) -> Path:
    """Where a board's firmware is built; with another heap it has another name."""
    _builder(spec)
    path = steps.BUILD / spec.name / spec.image
    usual = heap_bytes in (0, spec.heap_bytes)
    return path if usual else path.with_stem(f"{path.stem}-heap{heap_bytes}")


def _check_tools(spec: BoardSpec, tools: list[str]) -> None:
    """Raise ConfigError unless the tools of the board's build are there."""
    advice = f"needed to build {spec.name}'s firmware ({spec.advice})"
    for tool in tools:
        if not shutil.which(tool):
            raise ConfigError(f"{tool} is missing, {advice}")
    compilers = [tool for tool in tools if tool.endswith("-gcc")]
    for compiler in compilers:
        probe = subprocess.run(
            [compiler, *COMPILER_OPTIONS.get(compiler, ()), "-E", "-"],
            input=b"#include <string.h>\n",
            capture_output=True,
            check=False,
        )
        if probe.returncode:
            raise ConfigError(f"the C library's headers of {compiler} are missing, {advice}")
