"""Packages for MicroPython's `mip install`: all modules compiled, one package an architecture.

mip does not know a board's processor, so a package.json names the files of one architecture. A web
server gives the folder to boards.
"""

from __future__ import annotations

import json
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_export.files import write_atomically

from mtjkit_host.boards.architectures import ARCHITECTURES, COMPILERS
from mtjkit_host.boards.device_files import compiled_modules
from mtjkit_host.boards.native_module import MODULE


def write_mip_package(architecture: str, folder: Path, version: str) -> tuple[Path, bool]:
    """Write ``<folder>/<architecture>/package.json`` and the .mpy files that it names.

    Args:
        architecture: what mpy-cross calls the processor, which the board says as
            ``sys.implementation._mpy``; after a hyphen an extension that the processor has.
        folder: of the packages.
        version: mtjkit's.

    Returns:
        The package.json, and whether the C kernels are in it: they are if they have been built.

    Raises:
        ConfigError: the architecture is unknown, mpy-cross is missing, or a file cannot be written.
    """
    known = list(dict.fromkeys([*ARCHITECTURES[1:], *COMPILERS]))
    if architecture not in known:
        given = f"not {architecture!r}" if architecture else "not left out"
        raise ConfigError(f"--arch names the processor, {given}: one of {', '.join(known)}")
    files = compiled_modules(architecture.partition("-")[0], architecture)
    place = folder / architecture
    for name, content in files.items():
        write_atomically(place / name, content)
    package = {"urls": [[name, name] for name in files], "deps": [], "version": version}
    path = place / "package.json"
    write_atomically(path, (json.dumps(package, indent=1) + "\n").encode())
    return path, MODULE in files
