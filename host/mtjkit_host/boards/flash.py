"""Put mtjkit's firmware, and a model where the board can map one, on a MicroPython board.

Nothing is written before all of it is known to fit. Files that the board has already are left
alone; what is written is verified by its SHA-256.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_core.model import Model
from mtjkit_export.heap import heap_needed

from mtjkit_host.boards.build.steps import mpy_cross
from mtjkit_host.boards.catalog import processor_of
from mtjkit_host.boards.native_module import MODULE, find_native
from mtjkit_host.boards.prompt import Board, BoardInfo, Progress, resolve_port
from mtjkit_host.boards.romfs import romfs_image
from mtjkit_host.link.link import Link
from mtjkit_host.link.requests import Info
from mtjkit_host.link.session import Session
from mtjkit_host.paths import DEVICE
from mtjkit_host.progress import bar as shown

MODEL_NAME = "model.mtjb"  # in the mapped file system
_MAPPED = f"/rom/{MODEL_NAME}"
MPY_VERSION = (6, 3)  # what mpy-cross makes and MicroPython 1.23 and later load
_LIB = "/lib"
_BLOCK_BYTES = 4096  # what a small file takes on a board's file system
_HELLO_S = 120.0  # an emulated Pico takes a minute to import the server


@dataclass(frozen=True)
class Flashed:
    """What `flash` has done."""

    board: BoardInfo
    """The board."""
    copied: tuple[str, ...]
    """Files written."""
    kept: tuple[str, ...]
    """Files that were there already."""
    removed: tuple[str, ...]
    """Old files taken away."""
    mapped: bool
    """The model lies in the board's mapped memory; if not, a run sends it to the RAM."""
    info: Info
    """What the board's server says of itself."""
    weight_bits: tuple[int, int] = (0, 0)
    """Weight bits written with errors into the mapped memory, and how many of them are wrong."""


def flash(port: str, model: bytes | None = None, kernel: str = "auto") -> Flashed:
    """Make a board ready for `run --port`; on a terminal, a bar shows how far it is.

    Args:
        port: /dev/ttyACM0, COM3, a pseudo-terminal, socket://host:port, or auto.
        model: the bytes of an .mtjb file that must fit; it goes to mapped read-only memory where
            the board has such memory and too little RAM, and then must have its weights' errors
            already, as mtjkit_host.runs.flash_for gives it. None checks for no model.
        kernel: the kernel that the model shall run with.

    Raises:
        ConfigError: the board cannot take it (with the numbers), or something to flash with is
            missing here.
        FormatError: the model is none.
        LinkError: the port is not there or busy, or the board does not answer.
    """
    port = resolve_port(port)
    parsed = None if model is None else Model(model)
    with _bar(port) as progress:
        with Board(port) as board:
            found = board.info
            files = device_files(found)
            there = model is not None and _is_mapped(board, model)
            mapped = plan(found, parsed, files, kernel, there)
            stale = _stale(board, files)
            fresh = _different(board, files)
            _check_storage(found, [files[path] for path in fresh])
            if mapped and model is not None and not there:
                _write_model(board, model, progress)
            elif not mapped and model is not None and found.mapped_model_bytes >= 0:
                _write_rom(board, bytes(16), progress)  # the server would run that one
            for path in stale:
                board.execute(f"os.remove({path!r})")
            _write_files(board, {path: files[path] for path in fresh}, progress)
            board.restart()
        with Link.open(port) as link:
            info = Session(link, hello_s=_HELLO_S).info
    kept = tuple(path for path in files if path not in fresh)
    return Flashed(found, tuple(fresh), kept, tuple(stale), mapped, info)


def report(done: Flashed) -> str:
    """What `flash` has done, in two lines."""
    copied = f"{len(done.copied)} files copied, {len(done.kept)} were there"
    if done.removed:
        copied += f", {len(done.removed)} old ones removed"
    where = "the model lies in mapped memory; " if done.mapped else ""
    if done.weight_bits[0]:
        where += "{1:,} of its {0:,} weight bits are wrong; ".format(*done.weight_bits)
    free = f"{done.info.free_bytes:,} bytes of RAM free"
    return f"{done.board.machine}: {copied}\nready: {where}{free}"


@contextmanager
def _bar(port: str) -> Iterator[Progress]:
    """A bar on stderr, on a terminal only."""
    with shown("plain") as bar:
        task = bar.add_task(f"{port}: looking at the board", total=None)
        yield lambda what, done, size: bar.update(
            task, description=f"{port}: {what}", completed=done, total=size
        )


def device_files(board: BoardInfo) -> dict[str, bytes]:
    """The files of the device's side, precompiled for a board: path there -> content.

    A module that cannot be compiled for this processor (a kernel for another one) is left out;
    the device then takes another kernel. The native module is there if it has been built.

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
    files = {}
    with tempfile.TemporaryDirectory() as work:
        for source in _modules():
            name = source.relative_to(DEVICE / "lib").as_posix()
            compiled = _compile(source, name, board.architecture, Path(work) / "a.mpy")
            if compiled is not None:
                files[f"{_LIB}/{name[:-3]}.mpy"] = compiled
    native = find_native(board.architecture)
    if native is not None:
        files[f"{_LIB}/{native.name}"] = native.read_bytes()
    # The last one: nothing starts by itself before all is there.
    files["/main.py"] = (DEVICE / "main.py").read_bytes()
    return files


def plan(
    board: BoardInfo,
    model: Model | None,
    files: dict[str, bytes],
    kernel: str = "auto",
    there: bool = False,
) -> bool:
    """Decide where a model goes: True for mapped memory, False for the RAM.

    Args:
        board: the board.
        model: the model, or None.
        files: the firmware, as `device_files` gives it.
        kernel: the kernel that it shall run with.
        there: this very model lies in the mapped memory already.

    Raises:
        ConfigError: it fits neither, with what is needed and what is free.
    """
    if model is None:
        return False
    processor = processor_of(board.architecture)
    taken = _best_kernel(files) if kernel == "auto" else kernel
    in_ram = heap_needed(model, processor, taken)
    size = len(model.data)
    if in_ram <= board.heap_bytes and not there:
        return False
    in_place = heap_needed(model, processor, taken, mapped=True)
    if size + _BLOCK_BYTES <= board.romfs_bytes and in_place <= board.heap_bytes:
        return True
    needed = f"{model.name} needs a heap of {in_ram:,} bytes ({size:,} of them for its weights)"
    there_is = f"the board has {board.heap_bytes:,}"
    if board.romfs_bytes:
        there_is += f", and {board.romfs_bytes:,} of mapped memory for weights"
    raise ConfigError(f"{needed}; {there_is}")


def _best_kernel(files: dict[str, bytes]) -> str:
    """The kernel that a board with these files takes by itself."""
    if f"{_LIB}/{MODULE}" in files:
        return "native"
    names = ("asm_thumb", "viper")
    return next((n for n in names if f"{_LIB}/mtjkit_device/kernels/{n}.mpy" in files), "python")


def _modules() -> list[Path]:
    """The modules of the device's side, those of a folder before those of its subfolders."""
    found = (DEVICE / "lib").glob("mtjkit_*/**/*.py")
    return sorted(found, key=lambda path: (path.parent, path.name))


def _folders() -> list[str]:
    """The folders of these modules on a board, each after the one above it."""
    parents = dict.fromkeys(path.parent for path in _modules())
    return [f"{_LIB}/{path.relative_to(DEVICE / 'lib').as_posix()}" for path in parents]


def _compile(source: Path, name: str, architecture: str, target: Path) -> bytes | None:
    """One module as .mpy; None if this processor's compiler cannot take it."""
    command = [mpy_cross(), "-o", str(target), "-s", name]
    if architecture:
        command.append(f"-march={architecture}")
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return target.read_bytes()
    lines = done.stderr.strip().splitlines() or [f"mpy-cross ended with {done.returncode}"]
    if "@micropython." in source.read_text(encoding="utf-8"):  # machine code, and not for this one
        return None
    raise ConfigError(f"{source.name} does not compile: {lines[-1]}")


def _check_storage(board: BoardInfo, contents: list[bytes]) -> None:
    needed = sum(-(-len(data) // _BLOCK_BYTES) * _BLOCK_BYTES for data in contents)
    if contents and not board.storage_bytes:
        raise ConfigError("the board has no writable file system: put MicroPython's usual on it")
    if needed > board.storage_free_bytes:
        raise ConfigError(
            f"the firmware needs {needed:,} bytes of the board's file system, "
            f"{board.storage_free_bytes:,} are free: remove files from it"
        )


def _stale(board: Board, files: dict[str, bytes]) -> list[str]:
    """Files in our folders that would be imported in place of ours, or no longer exist."""
    folders = _folders()
    known = {*files, *folders}
    found = []
    for folder in folders:
        names = board.evaluate(f"listing({folder!r})")
        found += [f"{folder}/{name}" for name in names if f"{folder}/{name}" not in known]
    native = f"{_LIB}/{MODULE}"  # of other sources it would not fit the rest
    if native not in files and MODULE in board.evaluate(f"listing({_LIB!r})"):
        found.append(native)
    return sorted(found)


def _different(board: Board, files: dict[str, bytes]) -> list[str]:
    """Paths whose content on the board is another, or that are not there."""
    there = board.digests(list(files))
    return [
        path
        for (path, data), digest in zip(files.items(), there, strict=True)
        if digest != hashlib.sha256(data).hexdigest()
    ]


def _write_files(board: Board, files: dict[str, bytes], progress: Progress) -> None:
    if not files:
        return
    folders = [_LIB, *_folders()]
    sizes = [(path, len(data)) for path, data in files.items()]
    board.execute(f"make_folders(*{folders!r})")
    board.send(f"receive_files({{chunk}}, {sizes!r})", files, progress)
    _verify(board, files)


def _verify(board: Board, files: dict[str, bytes]) -> None:
    for path in _different(board, files):
        raise LinkError(f"{board.port}: {path} did not arrive as it was sent; flash again")


def _is_mapped(board: Board, model: bytes) -> bool:
    """Whether the board's mapped memory holds this very model."""
    same_size = board.info.mapped_model_bytes == len(model)
    return same_size and not _different(board, {_MAPPED: model})


def _write_model(board: Board, model: bytes, progress: Progress) -> None:
    _write_rom(board, romfs_image(MODEL_NAME, model), progress)
    _verify(board, {_MAPPED: model})


def _write_rom(board: Board, image: bytes, progress: Progress) -> None:
    board.load("agent_rom")
    board.send(f"receive_rom({{chunk}}, {len(image)})", {MODEL_NAME: image}, progress)
