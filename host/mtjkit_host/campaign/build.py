"""What of mtjkit a result follows from: two machines can tell whether theirs is the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mtjkit_core
import mtjkit_export

from mtjkit_host.machine import version
from mtjkit_host.simulate.compile import library_sources

_DIGITS = 12  # of a hash in a message


@dataclass(frozen=True)
class Build:
    """One installation of mtjkit."""

    version: str
    """Of the package."""
    code: str
    """SHA-256 of the Python files."""
    library: str
    """SHA-256 of the C library's sources; compilers and processors give it the same bits."""

    def __str__(self) -> str:
        return (
            f"mtjkit {self.version} (Python files {self.code[:_DIGITS]}, "
            f"C library {self.library[:_DIGITS]})"
        )


@cache
def this_build() -> Build:
    """The installation that runs here.

    Raises:
        ConfigError: it has no C sources.
    """
    others = [Path(str(package.__file__)).parent for package in (mtjkit_core, mtjkit_export)]
    host = Path(__file__).parents[1]
    code = [path for folder in (*others, host) for path in sorted(folder.rglob("*.py"))]
    return Build(version(), sha256_of_files(code), sha256_of_files(library_sources()))


def sha256_of_files(paths: list[Path]) -> str:
    """SHA-256 of some files' names and bytes, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        data = path.read_bytes()
        digest.update(f"{path.name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()
