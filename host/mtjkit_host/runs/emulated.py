"""Runs on boards by name: start the emulator of one, flash it as any board, classify, end it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.formats.mtjb_reader import load

from mtjkit_host.boards.catalog import BoardSpec, board_named, boards
from mtjkit_host.boards.emulate import emulate, storage_bytes
from mtjkit_host.boards.firmware import find_firmware
from mtjkit_host.boards.flash import MODEL_NAME, flash
from mtjkit_host.boards.romfs import romfs_image
from mtjkit_host.boards.serial_port import SerialPort
from mtjkit_host.boards.storage import flashed_files, littlefs_image
from mtjkit_host.link.link import Link
from mtjkit_host.runs.fleet_run import run_fleet, run_unix
from mtjkit_host.runs.options import RunOptions
from mtjkit_host.runs.result import Result
from mtjkit_host.simulate.simulator import program

_SENT_BYTES = 1 << 15
"""Longest model that a run sends over an emulated serial line, which takes a second for it."""


def run_board(
    options: RunOptions, name: str, heap_bytes: int = 0, path: Path | None = None
) -> Result:
    """Classify the images on a board that an emulator stands in for, or on the Unix port.

    Args:
        options: what to run, as for run_unix.
        name: a board of the catalog: mps2-an385, pico, unix, ...
        heap_bytes: the heap that the firmware was built with, 0 for the usual one; a model that
            does not fit it is read in place from mapped memory.
        path: the run file to go on with; see run_fleet.

    Raises:
        MtjkitError: see run_unix and flash; or the board, its firmware or its emulator is missing.
    """
    spec = board_named(name)
    if spec.port == "unix":
        return run_unix(options, path=path)
    if not spec.emulator:
        known = ", ".join(n for n, s in boards().items() if s.emulator or s.port == "unix")
        raise ConfigError(
            f"there is no emulator of {name}: use one of {known}, or a real board's --port"
        )
    o = options
    # Mapped weights are written here, with their errors; those in RAM by the device itself.
    model = bytes(program(load(o.model), o.write_errors)[0].data)
    with flashed_board(
        name, model, o.kernel, heap_bytes=heap_bytes, sent_bytes=_SENT_BYTES
    ) as port:
        return run_fleet(options, [SerialPort(port, name, name)], path)


@contextmanager
def prepared_board(
    name: str, model: bytes, count: bool = False, heap_bytes: int = 0
) -> Iterator[Link]:
    """`flashed_board`, with a link to its server."""
    with (
        flashed_board(name, model, count=count, heap_bytes=heap_bytes) as port,
        Link.open(port, name, name) as link,
    ):
        yield link


@contextmanager
def flashed_board(
    name: str,
    model: bytes,
    kernel: str = "auto",
    count: bool = False,
    heap_bytes: int = 0,
    sent_bytes: int = 1 << 30,
) -> Iterator[str]:
    """Start an emulated board and flash it; a context that yields its serial port.

    Where the emulator takes a file system, mtjkit's files are on it from the start, and `flash`
    finds them there and checks their hashes. A model that is large for the board lies in its
    mapped memory in the same way. Over an emulator's serial line they would take minutes.

    Args:
        name: a board of the catalog.
        model: the bytes of an .mtjb file.
        kernel: the kernel that will run it.
        count: device times count instructions where the emulator can.
        heap_bytes: the heap that its firmware was built with; 0 for the usual one.
        sent_bytes: a longer model is in mapped memory whatever the board's limit.

    Raises:
        MtjkitError: see flash; or the firmware or the emulator is missing.
    """
    spec = board_named(name)
    firmware = find_firmware(name, heap_bytes)
    most = min(spec.serial_bytes, heap_bytes // 2) if heap_bytes else spec.serial_bytes
    image = romfs_image(MODEL_NAME, model) if len(model) > min(most, sent_bytes) else b""
    with emulate(spec, firmware, image, count, _storage(spec, model if image else b"")) as port:
        flash(port, model, kernel, native=spec.native, name=name)
        yield port


def _storage(spec: BoardSpec, mapped_model: bytes) -> bytes:
    """The file system of a board that was flashed before; empty where there can be none."""
    size = storage_bytes(spec)
    if not size:
        return b""
    try:
        return littlefs_image(flashed_files(spec.architecture, spec.native, mapped_model), size)
    except ConfigError:  # without MicroPython's Unix port; then `flash` writes the files
        return b""
