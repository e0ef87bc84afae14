"""The device's files, compiled for a board's processor."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.architectures import EXTENSION_OPTIONS
from mtjkit_host.boards.build.steps import mpy_cross
from mtjkit_host.boards.catalog import native_of
from mtjkit_host.boards.native_module import find_native
from mtjkit_host.boards.prompt import BoardInfo
from mtjkit_host.paths import DEVICE

MPY_VERSION = (6, 3)
"""What mpy-cross makes and MicroPython 1.23 and later load."""


def library(board: BoardInfo) -> str:
    """The folder on a board where packages are."""
    return f"{board.root}/lib"


def main_path(board: BoardInfo) -> str:
    """What a board runs when it starts."""
    return f"{board.root}/main.py"


def device_files(board: BoardInfo, native: str = "") -> dict[str, bytes]:
    """The files of the device's side, precompiled for a board: path there -> content.

    A module that cannot be compiled for this processor (a kernel for another one) is left out,
    and so is one for an extension that the processor is not known to have; the device then takes
    another. The native module is there if it has been built.

    Args:
        board: the board.
        native: the build of the native module that it runs; "" for what its name says.

    Raises:
        ConfigError: the board's MicroPython cannot load what mpy-cross makes.
    """
    version = (board.mpy_version, board.mpy_sub_version)
    if version != MPY_VERSION:
        loads, needed = ("{}.{}".format(*v) if v[0] else "none" for v in (version, MPY_VERSION))
        raise ConfigError(
            f"the board's MicroPython loads .mpy version {loads}, "
            f"mtjkit needs {needed}: put MicroPython 1.23 or newer on it"
        )
    modules = compiled_modules(board.architecture, native or native_of(board.machine))
    files = {f"{library(board)}/{name}": content for name, content in modules.items()}
    # The last one: nothing starts by itself before all is there.
    files[main_path(board)] = (DEVICE / "main.py").read_bytes()
    return files


def compiled_modules(architecture: str, native: str = "") -> dict[str, bytes]:
    """The modules of the device's side for a processor: path below /lib -> content.

    See `device_files`; `native` is "" for the architecture's own build.
    """
    files = {}
    for source in _modules():
        extension = source.stem.rpartition("_")[2]  # of rv32_rows_zbb
        if extension in EXTENSION_OPTIONS and not native.endswith(f"-{extension}"):
            continue
        name = source.relative_to(DEVICE / "lib").as_posix()
        compiled = _compile(source.read_bytes(), name, architecture)
        if compiled is not None:
            files[f"{name[:-3]}.mpy"] = compiled
    module = find_native(architecture, native)
    if module is not None:
        files[module.name] = module.read_bytes()
    return files


def _modules() -> list[Path]:
    """The modules of the device's side, those of a folder before those of its subfolders."""
    found = (DEVICE / "lib").glob("mtjkit_*/**/*.py")
    return sorted(found, key=lambda path: (path.parent, path.name))


def device_folders(board: BoardInfo) -> list[str]:
    """The folders of these modules on a board, each after the one above it."""
    parents = dict.fromkeys(path.parent for path in _modules())
    return [f"{library(board)}/{path.relative_to(DEVICE / 'lib').as_posix()}" for path in parents]


@functools.cache  # a board that starts with its files is compared with them
def _compile(text: bytes, name: str, architecture: str) -> bytes | None:
    """One module as .mpy; None if this processor's compiler cannot take it."""
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work) / "a.py", Path(work) / "a.mpy"
        source.write_bytes(text)
        command = [mpy_cross(), "-O3", "-o", str(target), "-s", name]
        if architecture:
            command.append(f"-march={architecture}")
        done = subprocess.run(
            [*command, str(source)], capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode == 0:
            return target.read_bytes()
    lines = done.stderr.strip().splitlines() or [f"mpy-cross ended with {done.returncode}"]
    if b"@micropython." in text:  # machine code, and not for this one
        return None
    raise ConfigError(f"{name.rpartition('/')[2]} does not compile: {lines[-1]}")
