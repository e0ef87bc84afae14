"""The C library of firmware/native on the host: brought by a wheel, or compiled on first use.

One library for binary and fixed-point networks; the same C as in the boards' native module.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_host.paths import BUILT
from mtjkit_host.paths import NATIVE as SOURCE
from mtjkit_host.simulate.compiled import kept

SOURCES = ("memory.c", "binary.c", "chip.c", "spared.c", "sums.c", "fixed.c")
FLAGS = ("-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
LEVELS: dict[str, tuple[str, ...]] = {
    "best": (),
    "avx512": ("-DMTJ_NO_AMX",),
    "avx2": ("-DMTJ_NO_AVX512",),
    "portable": ("-DMTJ_PORTABLE",),
}
"""Values of $MTJKIT_SIMD, and their compiler flags: the best vector code that this processor has,
at most AVX-512, at most AVX2, or none. The bits are the same."""

_POINTER, _INT, _WORD, _SIZE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_uint32, ctypes.c_size_t
_SSIZE = ctypes.c_ssize_t
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "mtj_seed": (None, [_POINTER, _POINTER, _WORD, _WORD]),
    "mtj_packed_bytes": (_SIZE, [_POINTER]),
    "mtj_scratch_bytes": (_SIZE, [_POINTER]),
    "mtj_run_bytes": (_SIZE, [_POINTER, _WORD]),
    "mtj_pack": (None, [_POINTER] * 3),
    "mtj_program": (None, [_POINTER] * 5),
    "mtj_run": (
        None,
        [_POINTER, _WORD, _POINTER, _POINTER, _WORD, *[_POINTER] * 6, _WORD, *[_POINTER] * 5],
    ),
    "mtj_spared": (None, [_POINTER, _WORD, _WORD, *[_POINTER] * 4]),
    "mtj_sums_bytes": (_SIZE, [_POINTER]),
    "mtj_sums": (None, [_POINTER, _POINTER, _WORD, *[_POINTER] * 3]),
    "mtj_histograms": (
        None,
        [_WORD, _WORD, _POINTER, _WORD, _POINTER, _WORD, _INT, _WORD, _POINTER],
    ),
    "mtj_write_run": (None, [_POINTER, _POINTER, _INT, _WORD, _WORD, _WORD, *[_POINTER] * 3]),
    "mtj_program_chip": (None, [_POINTER] * 6),
    "mtj_simd": (ctypes.c_char_p, []),
    "mtj_fixed_level": (_INT, []),
    "mtj_fixed_run": (
        None,
        [_POINTER, _INT, *[_POINTER] * 5, ctypes.c_double, _POINTER, _POINTER, _INT],
    ),
    "mtj_winograd_run": (
        _INT,
        [_POINTER, _INT, *[_POINTER] * 4, ctypes.c_double, _POINTER, _POINTER, _INT],
    ),
    "mtj_wide_run": (
        _INT,
        [_POINTER, _INT, *[_POINTER] * 3, ctypes.c_double, _POINTER, _POINTER],
    ),
    "mtj_wide_winograd_run": (
        _INT,
        [_POINTER, _INT, *[_POINTER] * 5, ctypes.c_double, _POINTER, _POINTER],
    ),
    "mtj_matrix_bytes": (_SIZE, [_POINTER, _INT]),
    "mtj_matrix_run": (None, [_POINTER, _INT, _POINTER, _SSIZE, _POINTER, _SSIZE, _POINTER]),
    "mtj_matrix_images_bytes": (_SIZE, [_POINTER, _INT]),
    "mtj_matrix_images": (None, [_POINTER, _INT, _INT, *[_POINTER] * 10]),
    "mtj_fixed_write": (
        None,
        [_INT, _INT, _POINTER, _INT, *[_POINTER] * 3, _WORD, _POINTER, _POINTER],
    ),
}
"""The functions of mtjkit.h that the host calls: what each returns and takes."""


def compiler() -> list[str] | None:
    """The command of a C compiler: $CC, cc, gcc, clang, or zig's from PyPI; None without one."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name.split()[0]):
            return name.split()
    if importlib.util.find_spec("ziglang"):
        # By default zig compiles for this very processor; the cache may serve another.
        return [sys.executable, "-m", "ziglang", "cc", "-mcpu=baseline"]
    return None


@functools.cache
def library(*flags: str) -> ctypes.CDLL:
    """The compiled library: what a wheel has brought for this system, or what the cache keeps.

    It holds the code of all levels that its kind of processor may have, and takes the best one that
    this processor has. $MTJKIT_SIMD lowers that: see LEVELS.

    Args:
        flags: further compiler flags, such as those of LEVELS.

    Raises:
        ConfigError: $MTJKIT_SIMD is unknown, there is no C compiler or no source, or it does not
            compile or load here.
    """
    level = os.environ.get("MTJKIT_SIMD") or "best"
    if level not in LEVELS:
        raise ConfigError(f"MTJKIT_SIMD={level} is unknown: {', '.join(LEVELS)}")
    flags = (*LEVELS[level], *flags)
    brought = BUILT / library_name()
    if not flags and not os.environ.get("CC") and brought.is_file():
        try:
            return _declare(ctypes.CDLL(str(brought)))
        except OSError:  # a C library of another kind: compiled here, it will load
            pass
    built = compiled_library(*flags)
    try:
        return _declare(ctypes.CDLL(str(built)))
    except OSError as error:
        raise ConfigError(f"the native library {built} does not load here: {error}") from None


def compiled_library(*flags: str) -> Path:
    """The library's file in the cache, compiled unless it is there.

    Args:
        flags: further compiler flags.

    Raises:
        ConfigError: there is no C compiler or no source, or it does not compile.
    """
    command = compiler()
    if command is None:
        raise ConfigError("no C compiler: install gcc or clang, or pip install ziglang")
    command = [*command, *FLAGS, *flags]
    sources = [SOURCE / name for name in SOURCES]
    return kept(
        library_name(repr(command)),
        lambda target: build(command, sources, target, ("-lm",)),
    )


def library_name(command: str = "") -> str:
    """Name of the library's file, which says what it is for and what it was made of.

    Args:
        command: what compiles it; "" in a wheel.

    Raises:
        ConfigError: the sources are not there.
    """
    system = f"{sys.platform}-{platform.machine()}"
    key = hashlib.sha256(repr((command, system)).encode())
    for path in library_sources():
        key.update(path.read_bytes())
    return f"mtjkit-{system}-{key.hexdigest()[:16]}.so"


def library_sources() -> list[Path]:
    """The C files and headers that the library is made of.

    Raises:
        ConfigError: they are not there.
    """
    if not all((SOURCE / name).exists() for name in SOURCES):
        raise ConfigError(f"no C source in {SOURCE}: it needs a clone of the project")
    return [path for path in sorted(SOURCE.glob("*.[ch]")) if path.name != "module.c"]


def available() -> bool:
    """Whether the compiled library can run here."""
    try:
        library()
    except ConfigError:
        return False
    return True


def key_words(seed: int) -> NDArray[np.uint32]:
    """A seed as mtj_seed takes it: low and high word."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


def build(
    command: list[str], sources: list[Path], target: Path, libraries: tuple[str, ...] = ()
) -> None:
    """Compile and link C files; nobody ever finds half a target.

    Args:
        command: the compiler and its flags.
        sources: the C files.
        target: what is made; its folder is there.
        libraries: flags behind the sources.

    Raises:
        ConfigError: the compiler fails; its first line is in the message.
    """
    part = target.with_suffix(f".{os.getpid()}.part")  # renamed, so that a half is never loaded
    try:
        done = subprocess.run(
            [*command, "-o", str(part), *map(str, sources), *libraries],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            names = ", ".join(path.name for path in sources)
            raise ConfigError(f"{command[0]} cannot compile {names}: {lines[0]}")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
