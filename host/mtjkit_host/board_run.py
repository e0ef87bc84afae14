"""Runs on emulated boards: start one, flash it as any board, classify, and end it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtjkit_host import emulators
from mtjkit_host.board_firmware import HEAP_BYTES, find_firmware
from mtjkit_host.boards import Progress
from mtjkit_host.flash import MODEL_NAME, flash
from mtjkit_host.options import RunOptions
from mtjkit_host.result import Result
from mtjkit_host.romfs import romfs_image
from mtjkit_host.run import prepare, run_port


def run_qemu(
    options: RunOptions,
    machine: str,
    heap_bytes: int = HEAP_BYTES,
    count: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Classify the images on an MPS2 board in QEMU.

    Args:
        options: what to run, as for run_unix.
        machine: mps2-an385 (Cortex-M3) or mps2-an500 (Cortex-M7).
        heap_bytes: the heap that the firmware was built with; a model that does not fit it is
            read in place from mapped memory.
        count: device times count instructions, 1024 ns each.
        progress: told how far the flashing is.

    Raises:
        MtjkitError: see run_unix and flash; or the firmware or QEMU is missing.
    """
    model = bytes(prepare(options).model.data)
    firmware = find_firmware(machine, heap_bytes)
    with (
        _romfs_file(model if len(model) > heap_bytes // 2 else b"") as romfs,
        emulators.qemu(machine, firmware, romfs, count) as port,
    ):
        flash(port, model, options.kernel, progress)
        return run_port(options, port, machine)


def run_pico(options: RunOptions, progress: Progress | None = None) -> Result:
    """Classify the images on an emulated Raspberry Pi Pico: at 0.03 of its speed, so only a few.

    Raises:
        MtjkitError: see run_unix and flash; or the firmware or the emulator is missing.
    """
    model = bytes(prepare(options).model.data)
    with emulators.pico(find_firmware("pico")) as port:
        flash(port, model, options.kernel, progress)
        return run_port(options, port, "pico")


@contextmanager
def _romfs_file(model: bytes) -> Iterator[Path | None]:
    """A file with the mapped memory's content, so that a large model need not go over the line.

    `flash` finds it there, checks its hash and writes it no second time.
    """
    if not model:
        yield None
        return
    with tempfile.NamedTemporaryFile(suffix=".romfs") as file:
        file.write(romfs_image(MODEL_NAME, model))
        file.flush()
        yield Path(file.name)
