"""Where things lie: the repository, the firmware, built files, the cache, carried data."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FIRMWARE = REPOSITORY / "firmware"
NATIVE = FIRMWARE / "native"
BOARDS = FIRMWARE / "boards"
DEVICE = FIRMWARE / "micropython"
CARRIED = Path(__file__).resolve().parent / "data"
CARRIED_MODEL = CARRIED / "binary-small.mtjb"
CARRIED_IMAGES = CARRIED / "cifar10_test_500.bin"
OTHER_NAMES = {"vgg-small": "binary-small"}
"""Name that a carried net had before -> its name."""


def cache_dir() -> Path:
    """The folder for downloads and libraries: $MTJKIT_CACHE, else mtjkit in the user's cache."""
    named = os.environ.get("MTJKIT_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtjkit"
