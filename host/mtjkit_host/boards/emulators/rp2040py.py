"""rp2040py, an emulator of the Raspberry Pi Pico: at about 0.03 of its speed."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.needs import missing

from mtjkit_host.boards.catalog import BoardSpec
from mtjkit_host.boards.emulators.start import Start

_BLOCK = 512  # bytes of a block of a UF2 file
_PAYLOAD = 256
_MAGIC = (0x0A324655, 0x9E5D5157)
_END = 0x0AB16F30
_FAMILY_AT = 28


def check(spec: BoardSpec) -> None:
    """Raise ConfigError if the emulator is missing."""
    if importlib.util.find_spec("rp2040py") is None:
        raise ConfigError(missing("rp2040py", "board", f"emulating {spec.name}"))


def storage_bytes(spec: BoardSpec) -> int:
    """No file system is there from the start."""
    return 0


def command(spec: BoardSpec, start: Start, work: Path, port: int) -> list[str]:
    """The emulator's command line; arguments as for the other emulators.

    `start.count` is ignored: the emulator's time is the processor's cycles anyhow.
    """
    firmware = start.firmware
    if start.romfs and spec.romfs is not None:
        uf2 = work / "firmware.uf2"
        firmware = with_romfs(firmware, start.romfs, spec.romfs.address, uf2)
    words = [sys.executable, "-m", "rp2040py", "micropython", "--image", str(firmware)]
    return [*words, "--tcp-port", str(port)]


def with_romfs(firmware: Path, image: bytes, address: int, target: Path) -> Path:
    """Write firmware with a mapped file system in it; returns the .uf2 file.

    Args:
        firmware: a .uf2 file.
        image: the file system.
        address: where it lies in the flash.
        target: where to write.
    """
    blocks = [firmware.read_bytes()]
    (family,) = struct.unpack_from("<I", blocks[0], _FAMILY_AT)
    count = -(-len(image) // _PAYLOAD)
    for number in range(count):
        at = number * _PAYLOAD
        data = image[at : at + _PAYLOAD].ljust(_PAYLOAD, b"\xff")
        head = (*_MAGIC, 0x2000, address + at, _PAYLOAD, number, count, family)
        block = struct.pack("<8I", *head) + data
        blocks.append(block.ljust(_BLOCK - 4, b"\0") + struct.pack("<I", _END))
    target.write_bytes(b"".join(blocks))
    return target
