"""Start the emulator that stands in for a board."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mtjkit_core.errors import ConfigError

from mtjkit_host.boards.catalog import BoardSpec
from mtjkit_host.boards.emulators import qemu, rp2040py
from mtjkit_host.boards.emulators.process import Emulator
from mtjkit_host.boards.emulators.start import Start


class EmulatorKind(Protocol):
    """What stands in for boards: a module."""

    def check(self, spec: BoardSpec) -> None:
        """Raise ConfigError if something is missing."""
        ...

    def storage_bytes(self, spec: BoardSpec) -> int:
        """Size of the file system that may be there from the start; 0 for none."""
        ...

    def command(self, spec: BoardSpec, start: Start, work: Path, port: int) -> list[str]:
        """The command line of its process."""
        ...


EMULATORS: dict[str, EmulatorKind] = {"qemu": qemu, "rp2040py": rp2040py}
"""By the name in a board.toml's [emulate] table."""


def emulate(
    spec: BoardSpec,
    firmware: Path,
    romfs: bytes = b"",
    count: bool = False,
    storage: bytes = b"",
) -> Emulator:
    """The emulator of a board; a context that yields the board's serial port.

    Args:
        spec: the board.
        firmware: what build_firmware made for it.
        romfs: image of a file system to lie in the mapped memory from the start; empty for none.
        count: time counts instructions where the emulator can (QEMU: 1024 ns each).
        storage: the board's file system as it is at the start, `storage_bytes` of them; empty for
            one without files.

    Raises:
        ConfigError: nothing emulates this board, the emulator is missing, or the image is larger
            than the board's mapped memory.
    """
    if not spec.emulator:
        raise ConfigError(f"there is no emulator of {spec.name}")
    if spec.emulator not in EMULATORS:
        known = ", ".join(EMULATORS)
        raise ConfigError(f"{spec.name}: emulator {spec.emulator!r} is unknown: one of {known}")
    kind = EMULATORS[spec.emulator]
    kind.check(spec)
    room = spec.romfs.bytes if spec.romfs else 0
    if len(romfs) > room:
        raise ConfigError(
            f"the model needs {len(romfs):,} bytes of {spec.name}'s mapped memory, "
            f"which has {room:,}"
        )
    start = Start(firmware, romfs, storage, count)
    return Emulator(
        f"the emulated {spec.name}",
        lambda work, port: kind.command(spec, start, work, port),
    )


def storage_bytes(spec: BoardSpec) -> int:
    """Size of the file system that an emulated board may start with; 0 for none."""
    return EMULATORS[spec.emulator].storage_bytes(spec) if spec.emulator in EMULATORS else 0
