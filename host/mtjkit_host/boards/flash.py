"""Put mtjkit's firmware, and a model where the board can map one, on a MicroPython board.

Nothing is written before everything is known to fit. Files that the board has already are left
alone; what is written is verified by its SHA-256. A main.py of the user's is never overwritten:
FLASHING.md says whose it is.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

from mtjkit_core.errors import ConfigError, FormatError, LinkError
from mtjkit_core.model import Model
from mtjkit_export.heap import heap_needed

from mtjkit_host.boards.catalog import processor_of
from mtjkit_host.boards.device_files import device_files, device_folders, library, main_path
from mtjkit_host.boards.installed import (
    KEPT_MAIN,
    LIST_BYTES,
    LIST_NAME,
    Installed,
    digest_of,
)
from mtjkit_host.boards.native_module import MODULE
from mtjkit_host.boards.prompt import Board, BoardInfo, Progress, resolve_port
from mtjkit_host.boards.romfs import romfs_image
from mtjkit_host.link.link import Link
from mtjkit_host.link.requests import Info
from mtjkit_host.link.session import Session
from mtjkit_host.progress import Steps, bar

MODEL_NAME = "model.mtjb"  # in the mapped file system
_MAPPED = f"/rom/{MODEL_NAME}"
_BLOCK_BYTES = 4096  # what a small file takes on a board's file system
_INFLATE_BYTES = 1500  # of the code that a board is sent for deflated files
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
    info: Info | None
    """What the board's server says of itself; None where main.py was left alone."""
    weight_bits: tuple[int, int] = (0, 0)
    """Weight bits written with errors into the mapped memory, and how many bits are wrong."""
    kept_main: str = ""
    """Path of the user's main.py while ours is in its place; "" for none."""


def flash(
    port: str,
    model: bytes | None = None,
    kernel: str = "auto",
    main: str = "ask",
    native: str = "",
    name: str = "",
) -> Flashed:
    """Make a board ready for `run --port`; on a terminal, a bar shows how far it is.

    Args:
        port: /dev/ttyACM0, COM3, a pseudo-terminal, socket://host:port, or auto.
        model: the bytes of an .mtjb file that must fit; it goes to mapped read-only memory where
            the board has mapped memory and too little RAM, and then must have its weights' errors
            already, as mtjkit_host.runs.flash_for gives it. None checks for no model.
        kernel: the kernel that will run the model.
        main: what becomes of a main.py that is not ours: "ask" refuses, "replace" keeps it under
            another name and puts ours in its place, "leave" installs the package alone.
        native: the build of the native module that the board runs; "" for what its name says.
        name: what messages and the bar call the board; "" for its port.

    Raises:
        ConfigError: the board cannot take it (with the numbers), a file of the user's is in the
            way, or something to flash with is missing here.
        FormatError: the bytes are not a model.
        LinkError: the port is not there or busy, or the board does not answer.
    """
    port = resolve_port(port)
    parsed = None if model is None else Model(model)
    with bar() as shown:
        progress = Steps(name or port, shown)
        progress("looking at the board")
        with Board(port, name=name) as board:
            try:
                done = _flash(board, model, parsed, kernel, main, native, progress)
            except (ConfigError, FormatError):
                board.restart()  # nothing was written: what it ran before runs again
                raise
            if main == "leave":
                board.leave()
                return done
            board.restart()
        progress("mtjkit starts")
        with Link.open(port, name=name) as link:
            return replace(done, info=Session(link, hello_s=_HELLO_S).info)


def _flash(
    board: Board,
    model: bytes | None,
    parsed: Model | None,
    kernel: str,
    main: str,
    native: str,
    progress: Steps,
) -> Flashed:
    """`flash` on a board at its prompt, up to its restart."""
    found = board.info
    files = device_files(found, native)
    progress("comparing files")
    there = model is not None and _is_mapped(board, model)
    mapped = plan(found, parsed, files, kernel, there)
    before = read_list(board)
    main_file = main_path(found)
    main_is_foreign = main != "leave" and _is_foreign(board, main_file, files[main_file], before)
    own_main = {}
    if main == "leave":
        del files[main_file]
        own_main = {path: digest for path, digest in before.files.items() if path == main_file}
    elif main_is_foreign and main != "replace":
        raise ConfigError(
            f"{board.name}: the board has a main.py of your own: --replace-main keeps it under "
            "another name and unflash puts it back, --no-main leaves it and installs the package"
        )
    stale = _stale(board, files)
    fresh = _different(board, files)
    after = Installed(
        files={path: digest_of(data) for path, data in files.items()} | own_main,
        kept_main=_free_name(board) if main_is_foreign else before.kept_main,
        mapped_model=digest_of(model) if mapped and model is not None else "",
    )
    listed = {f"{library(found)}/{LIST_NAME}": after.to_bytes()}
    _check_storage(found, [*listed.values(), *(files[path] for path in fresh)])
    write_rom = mapped and model is not None and not there
    clear_rom = not mapped and model is not None and found.mapped_model_bytes >= 0
    if write_rom or clear_rom:
        _check_mapped_files(board)
    if write_rom and model is not None:
        _write_model(board, model, lambda done, size: progress("model", done, size))
    elif clear_rom:
        _write_rom(board, bytes(16))  # the server would run that one
    board.execute(f"remove(*{stale!r})")
    modules = {path: files[path] for path in fresh if path != main_file}
    _write_files(board, modules, lambda done, size: progress("files", done, size))
    if after != before:
        _write_files(board, listed)
    if main_is_foreign:
        board.execute(f"os.rename({main_file!r}, {after.kept_main!r})")
    if main_file in fresh:  # the last one: nothing starts by itself before all is there
        _write_files(board, {main_file: files[main_file]})
    kept = tuple(path for path in files if path not in fresh)
    moved = after.kept_main if main_is_foreign else ""
    return Flashed(found, tuple(fresh), kept, tuple(stale), mapped, None, kept_main=moved)


def describe(done: Flashed) -> str:
    """What `flash` has done, in a few lines."""
    files = "1 file" if len(done.copied) == 1 else f"{len(done.copied)} files"
    copied = f"{files} copied, {len(done.kept)} were there"
    if done.removed:
        copied += f", {len(done.removed)} old ones removed"
    lines = [f"{done.board.machine}: {copied}"]
    if done.kept_main:
        lines.append(f"your main.py is {done.kept_main} now; unflash puts it back")
    where = "the model lies in mapped memory; " if done.mapped else ""
    if done.weight_bits[0]:
        where += "{1:,} of its {0:,} weight bits are wrong; ".format(*done.weight_bits)
    if done.info is None:
        lines.append(f"{where}main.py is as it was: mtjkit's server does not start by itself")
    else:
        lines.append(f"ready: {where}{done.info.free_bytes:,} bytes of RAM free")
    return "\n".join(lines)


def read_list(board: Board) -> Installed:
    """The list of what was flashed on a board; empty if the board has no list."""
    path = f"{library(board.info)}/{LIST_NAME}"
    text = board.evaluate(f"(text_of({path!r}, {LIST_BYTES}),)", tuple)[0]
    return Installed.from_text(text if isinstance(text, str) else None)


def _is_foreign(board: Board, path: str, ours: bytes, known: Installed) -> bool:
    """Whether a file that flashing did not write lies in the way."""
    digest = board.digests([path])[0]
    return bool(digest) and digest != digest_of(ours) and not known.owns(path, digest)


def _free_name(board: Board) -> str:
    """A path for the user's main.py at which there is nothing."""
    root = board.info.root
    taken = board.listing(root or "/")
    names = (f"{KEPT_MAIN}{suffix}.py" for suffix in ("", *(f"_{n}" for n in range(2, 1000))))
    return f"{root}/{next(name for name in names if name not in taken)}"


def _check_mapped_files(board: Board) -> None:
    """Raise ConfigError if there is more than a model in the mapped memory."""
    others = [name for name in board.info.mapped_files if name != MODEL_NAME]
    if others:
        raise ConfigError(
            f"{board.name}: the board's mapped memory holds files of your own "
            f"({', '.join(others[:3])}): take them out first, with `mpremote romfs`"
        )


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
        kernel: the kernel that will run it.
        there: this very model lies in the mapped memory already.

    Raises:
        ConfigError: it fits neither, with what is needed and what is free.
    """
    if model is None:
        return False
    processor = processor_of(board.architecture)
    taken = _best_kernel(board, files) if kernel == "auto" else kernel
    if taken == "asm_rv32" and taken not in processor.shares:
        taken = "viper"  # all of whose modules it has but the inner loops, which are shorter
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


def _best_kernel(board: BoardInfo, files: dict[str, bytes]) -> str:
    """The kernel that a board with these files takes by itself."""
    folder = library(board)
    if f"{folder}/{MODULE}" in files:
        return "native"
    parts = {"asm_thumb": "thumb_rows", "asm_rv32": "rv32_rows", "viper": "viper_rows32"}
    there = (f"{folder}/mtjkit_device/kernels/{part}.mpy" in files for part in parts.values())
    return next((name for name, found in zip(parts, there, strict=True) if found), "python")


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
    """Files in our folders that would be imported in place of ours, or no longer exist.

    Other files that somebody put there stay.
    """
    found = []
    for folder in device_folders(board.info):
        for name in board.listing(folder):
            path, (stem, _, kind) = f"{folder}/{name}", name.rpartition(".")
            shadows = kind == "py" and f"{folder}/{stem}.mpy" in files
            if path not in files and (kind == "mpy" or shadows):
                found.append(path)
    native = f"{library(board.info)}/{MODULE}"  # of other sources it would not fit the rest
    if native not in files and MODULE in board.listing(library(board.info)):
        found.append(native)
    return sorted(found)


def _different(board: Board, files: dict[str, bytes]) -> list[str]:
    """Paths whose content on the board is another, or that are not there."""
    there = board.digests(list(files))
    return [
        path
        for (path, data), digest in zip(files.items(), there, strict=True)
        if digest != digest_of(data)
    ]


def _write_files(board: Board, files: dict[str, bytes], progress: Progress | None = None) -> None:
    if not files:
        return
    folders = [library(board.info), *device_folders(board.info)]
    sizes = [(path, len(data)) for path, data in files.items()]
    board.execute(f"make_folders(*{folders!r})")
    packed = deflated(b"".join(files.values()))
    room = board.info.inflates and 4 * len(packed) < board.info.heap_bytes
    if room and len(packed) + _INFLATE_BYTES < sum(map(len, files.values())):
        board.load("inflate")
        call = f"receive_inflated({{chunk}}, {len(packed)}, {sizes!r})"
        board.send(call, [packed], progress)
    else:
        board.send(f"receive_files({{chunk}}, {sizes!r})", [*files.values()], progress)
    _verify(board, files)


def deflated(data: bytes) -> bytes:
    """Raw deflate with a window of 4 KB, which a board has room for."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(data) + packer.flush()


def _verify(board: Board, files: dict[str, bytes]) -> None:
    for path in _different(board, files):
        raise LinkError(f"{board.name}: {path} did not arrive as it was sent; flash again")


def _is_mapped(board: Board, model: bytes) -> bool:
    """Whether the board's mapped memory holds this very model."""
    same_size = board.info.mapped_model_bytes == len(model)
    return same_size and not _different(board, {_MAPPED: model})


def _write_model(board: Board, model: bytes, progress: Progress) -> None:
    _write_rom(board, romfs_image(MODEL_NAME, model), progress)
    _verify(board, {_MAPPED: model})


def _write_rom(board: Board, image: bytes, progress: Progress | None = None) -> None:
    board.load("romfs")
    board.send(f"receive_rom({{chunk}}, {len(image)})", [image], progress)


def clear_mapped_model(board: Board, digest: str) -> None:
    """Erase the mapped memory if the model there is the one whose SHA-256 this is."""
    if digest and board.info.mapped_model_bytes >= 0 and board.digests([_MAPPED])[0] == digest:
        _check_mapped_files(board)
        _write_rom(board, bytes(16))
