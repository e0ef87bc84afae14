"""Runs on emulated boards: start one, flash it as any board, classify, and end it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.formats.mtjb_reader import load

from mtjkit_host.boards import emulators
from mtjkit_host.boards.firmware import HEAP_BYTES, find_firmware
from mtjkit_host.boards.flash import MODEL_NAME, flash
from mtjkit_host.boards.pico_firmware import with_romfs
from mtjkit_host.boards.romfs import romfs_image
from mtjkit_host.boards.serial_port import SerialPlace
from mtjkit_host.link.link import Link
from mtjkit_host.runs.fleet_run import run_fleet
from mtjkit_host.runs.options import RunOptions
from mtjkit_host.runs.result import Result
from mtjkit_host.simulate.simulator import write_weights

_SERIAL_BYTES = 32 * 1024  # a longer model takes the emulated Pico's serial line too long


def run_qemu(options: RunOptions, machine: str, heap_bytes: int = HEAP_BYTES) -> Result:
    """Classify the images on an MPS2 board in QEMU.

    Args:
        options: what to run, as for run_unix.
        machine: mps2-an385 (Cortex-M3) or mps2-an500 (Cortex-M7).
        heap_bytes: the heap that the firmware was built with; a model that does not fit it is
            read in place from mapped memory.

    Raises:
        MtjkitError: see run_unix and flash; or the firmware or QEMU is missing.
    """
    if machine not in emulators.MACHINES:
        known = ", ".join(emulators.MACHINES)
        raise ConfigError(f"machine {machine!r} is unknown: one of {known}")
    return _run(options, machine, heap_bytes)


def run_pico(options: RunOptions) -> Result:
    """Classify the images on an emulated Raspberry Pi Pico: at 0.03 of its speed, so only a few.

    Raises:
        MtjkitError: see run_unix and flash; or the firmware or the emulator is missing.
    """
    return _run(options, "pico", HEAP_BYTES)


def _run(options: RunOptions, name: str, heap_bytes: int) -> Result:
    o = options
    # Mapped weights are written here, with their errors; those in RAM by the device itself.
    written = write_weights(load(o.model), o.seed, o.weight_threshold, o.error_kind)[0]
    with flashed_board(name, written, o.kernel, heap_bytes=heap_bytes) as port:
        return run_fleet(options, [SerialPlace(port, name)])


@contextmanager
def prepared_board(
    name: str, model: bytes, count: bool = False, heap_bytes: int = HEAP_BYTES
) -> Iterator[Link]:
    """`flashed_board`, with a link to its server."""
    with (
        flashed_board(name, model, count=count, heap_bytes=heap_bytes) as port,
        Link.open(port, name) as link,
    ):
        yield link


@contextmanager
def flashed_board(
    name: str,
    model: bytes,
    kernel: str = "auto",
    count: bool = False,
    heap_bytes: int = HEAP_BYTES,
) -> Iterator[str]:
    """Start an emulated board and flash it; a context that yields its serial port.

    A model that is large for the board lies in its mapped memory from the start, where `flash`
    finds it and checks its hash: over the serial line of an emulator it would take minutes.

    Args:
        name: mps2-an385, mps2-an500 or pico.
        model: the bytes of an .mtjb file.
        kernel: the kernel that it shall run with.
        count: device times count instructions, 1024 ns each (MPS2 boards).
        heap_bytes: the heap that an MPS2 board's firmware was built with.

    Raises:
        MtjkitError: see flash; or the firmware or the emulator is missing.
    """
    firmware = find_firmware(name, heap_bytes)
    pico = name == "pico"
    mapped = len(model) > (_SERIAL_BYTES if pico else heap_bytes // 2)
    with tempfile.TemporaryDirectory() as work:
        image = romfs_image(MODEL_NAME, model) if mapped else b""
        if pico:
            emulator = emulators.pico(with_romfs(firmware, image, Path(work) / "pico.uf2"))
        else:
            romfs = Path(work) / "romfs.img"
            romfs.write_bytes(image)
            emulator = emulators.qemu(name, firmware, romfs if mapped else None, count)
        with emulator as port:
            flash(port, model, kernel)
            yield port
