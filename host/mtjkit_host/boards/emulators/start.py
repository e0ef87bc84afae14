"""What an emulated board starts with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Start:
    """What an emulated board starts with."""

    firmware: Path
    """Its firmware."""
    romfs: bytes = b""
    """Image of its mapped memory; empty for none."""
    storage: bytes = b""
    """Image of its file system; empty for one without files."""
    count: bool = False
    """Time counts instructions where the emulator can."""
