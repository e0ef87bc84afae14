"""The native module mtjkit_native.mpy, built from firmware/native: one build or all.

A build is called as what it is for: an architecture, or one with an extension (rv32imc-zbb).

A build lies in a folder named after its sources' checksum, so a stale one is never taken.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.needs import missing

from mtjkit_host.boards.architectures import (
    COMPILER_OPTIONS,
    COMPILER_SOURCES,
    COMPILERS,
    EXTENSION_OPTIONS,
    loadable,
)
from mtjkit_host.boards.build.steps import BUILD, run_build
from mtjkit_host.boards.micropython_tree import micropython_tree
from mtjkit_host.paths import BUILT
from mtjkit_host.paths import NATIVE as SOURCE

MODULE = "mtjkit_native.mpy"


def find_native(architecture: str, build: str = "") -> Path | None:
    """The native module for a board, built from the present sources; None if it is not.

    Args:
        architecture: of the board's processor, as sys.implementation._mpy names it.
        build: a better one, which the board's processor is known to run; "" for none.
    """
    names = [*([build] if build else []), *loadable(architecture)]
    folders = [_folder(name) for name in names]
    paths = [
        place / MODULE
        for folder in folders
        for place in (folder, BUILT / "native" / folder.name)  # built here, or brought by a wheel
    ]
    return next((path for path in paths if path.is_file()), None)


def build_natives() -> tuple[list[Path], list[str]]:
    """Make every build of the native module whose compiler is here.

    Returns:
        The modules, and for every other build a line that says what is missing.

    Raises:
        ConfigError: nothing can be built, or something does not build: see build_native.
    """
    missing = {name: _compiler_missing(name) for name in COMPILERS}
    paths = [build_native(name) for name, what in missing.items() if what is None]
    if not paths:
        raise ConfigError(f"no native kernels can be built: {missing['x64']}")
    return paths, [f"{name} is left out: {what}" for name, what in missing.items() if what]


def build_native(name: str) -> Path:
    """Build the native module for a name, unless the present sources' is there.

    Args:
        name: one of COMPILERS.

    Raises:
        ConfigError: the name is unknown, a tool or MicroPython's sources are missing, or the
            build fails.
    """
    if name not in COMPILERS:
        known = ", ".join(COMPILERS)
        raise ConfigError(f"architecture {name!r} is unknown: one of {known}")
    folder = _folder(name)
    if (folder / MODULE).is_file():
        return folder / MODULE
    if not SOURCE.is_dir():
        raise ConfigError(
            "native modules are built in a clone of the project: `git clone` it first"
        )
    lacks = _compiler_missing(name)
    if lacks is not None:
        raise ConfigError(f"{lacks}, needed to build {MODULE} for {name}")
    for package, wanted in (("elftools", "pyelftools"), ("ar", "ar")):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(missing(wanted, "board", f"linking {MODULE}"))
    tree = micropython_tree()
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Built aside and renamed, so that a half is never found.
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as work:
        architecture, _, extension = name.partition("-")
        command = ["make", "-C", work, "-f", str(SOURCE / "Makefile"), f"ARCH={architecture}"]
        command += [f"EXTENSION={extension}", f"MPY_DIR={tree}", f"PYTHON={sys.executable}"]
        run_build(command, folder.with_name(f"{name}.log"), name)
        if not folder.exists():
            Path(work).rename(folder)
    return folder / MODULE


def _folder(name: str) -> Path:
    key = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        if path.is_file():
            key.update(path.read_bytes())
    return BUILD / "native" / f"{name}-{key.hexdigest()[:12]}"


def _compiler_missing(name: str) -> str | None:
    """What is missing to compile for a name; None if nothing is."""
    if name == "x64" and platform.machine().lower() not in ("x86_64", "amd64"):
        return "this is not an x86-64 machine"
    compiler = COMPILERS[name]
    for tool in ("make", compiler):
        if not shutil.which(tool):
            return f"{tool} is missing ({COMPILER_SOURCES[compiler]})"
    options = COMPILER_OPTIONS.get(compiler, [])
    probes = ([compiler, "-E", "-", *flags] for flags in ([], options))
    if not any(_succeeds(probe, "#include <assert.h>\n") for probe in probes):
        return f"{compiler} has no C library ({COMPILER_SOURCES[compiler]})"
    extension = name.partition("-")[2]
    if extension and not _succeeds([compiler, "-E", "-", *EXTENSION_OPTIONS[extension]], ""):
        return f"{compiler} is too old for {extension}"
    return None


def _succeeds(command: list[str], text: str) -> bool:
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    return done.returncode == 0
