"""Compiled files in the cache: what is loaded is whole, and only this user could change it."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import file_sha256

from mtjkit_host.machine import tell
from mtjkit_host.paths import cache_dir, is_own, temporary_cache


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """A compiled file in the cache, made anew unless it is there, whole and this user's alone.

    Its SHA-256 lies beside it: a library that was cut off ends the process that loads it.

    Args:
        name: the file's, which says what it was made of.
        make: writes the file at a path, whole or not at all.

    Raises:
        ConfigError: `make` fails, or nothing can be written.
    """
    file = _folder(cache_dir()) / name
    digest = file.with_name(f"{name}.sha256")
    try:
        if not _is_whole(file, digest):
            make(file)
            file.chmod(file.stat().st_mode & ~0o022)
            digest.write_text(file_sha256(file), encoding="ascii")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({error.strerror or error})") from None
    return file


@functools.cache
def _folder(cache: Path) -> Path:
    """Where compiled files are kept: in the cache, or, where others may write to it, elsewhere."""
    folder = _made(cache)
    foreign = [path for path in (cache, folder) if not is_own(path)]
    if not foreign:
        return folder
    other = _made(temporary_cache())
    if multiprocessing.parent_process() is None:  # workers of a pool keep quiet
        tell(
            f"others may write to {foreign[0]}: nothing is loaded from it, compiled files are kept "
            f"in {other} (mend it by chmod go-w, or set MTJKIT_CACHE to a folder of your own)"
        )
    return other


def _made(cache: Path) -> Path:
    folder = cache / "native"
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error.strerror or error})") from None
    return folder


def _is_whole(file: Path, digest: Path) -> bool:
    try:
        return is_own(file) and digest.read_text(encoding="ascii").strip() == file_sha256(file)
    except (OSError, ValueError, ConfigError):
        return False
