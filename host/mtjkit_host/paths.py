"""Where things lie: the repository, the firmware, built files, the cache, carried data."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from mtjkit_core.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGE = Path(__file__).resolve().parent
IS_CHECKOUT = (REPOSITORY / "pyproject.toml").is_file()
"""False where mtjkit was installed from a wheel."""
FIRMWARE = (REPOSITORY if IS_CHECKOUT else _PACKAGE) / "firmware"
BUILT = _PACKAGE / "built"
"""What a wheel brings of what `invoke firmware` builds."""
NATIVE = FIRMWARE / "native"
BOARDS = FIRMWARE / "boards"
DEVICE = FIRMWARE / "micropython"
CARRIED = _PACKAGE / "data"
CARRIED_MODEL = CARRIED / "binary-small.mtjb"
CARRIED_IMAGES = CARRIED / "cifar10_test_500.bin"
TRAINED = Path("build/train")
"""Where the trainer puts its run folders, in the current folder."""
OTHER_NAMES = {"vgg-small": "binary-small"}
"""Name that a carried net had before -> its name."""


def carried_inputs(model: Path) -> Path:
    """The inputs that a model classifies where no data are named.

    They are its own for the carried examples, which have an .npz file beside them, and CIFAR-10's
    pictures for all others.
    """
    own = CARRIED / f"{model.stem}.npz"
    return own if model.resolve().parent == CARRIED and own.is_file() else CARRIED_IMAGES


def cache_dir() -> Path:
    """The folder for downloads and compiled libraries.

    $MTJKIT_CACHE, else mtjkit in the user's cache folder, else, for a user without a home, a folder
    of the temporary ones that is this user's alone.

    Raises:
        ConfigError: that last folder is somebody else's.
    """
    named = os.environ.get("MTJKIT_CACHE")
    if named:
        return Path(named)
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no HOME, and nothing in the list of users
        return temporary_cache()
    return cache / "mtjkit"


def is_own(path: Path) -> bool:
    """Whether only this user, or root, may change a file or a folder.

    Where there are no users (Windows), yes.
    """
    if not hasattr(os, "getuid"):
        return True
    there = path.stat()
    return there.st_uid in (0, os.getuid()) and not there.st_mode & 0o022


def temporary_cache() -> Path:
    """A folder of the temporary ones that is this user's alone.

    Raises:
        ConfigError: it is somebody else's.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"mtjkit-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        there = folder.lstat()
    except OSError as error:
        raise ConfigError(f"cannot make {folder}: {error.strerror}; set MTJKIT_CACHE") from None
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != user or there.st_mode & 0o022:
        raise ConfigError(f"{folder} is not this user's alone; set MTJKIT_CACHE to a folder")
    return folder
