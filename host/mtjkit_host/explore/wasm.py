"""The C library of firmware/native as WebAssembly, for pages; a wheel brings it."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys

from mtjkit_core.errors import ConfigError
from mtjkit_export.needs import install

from mtjkit_host.paths import BUILT, NATIVE
from mtjkit_host.simulate.compile import build
from mtjkit_host.simulate.compiled import kept

WASM_FILE = "mtjkit.wasm"
"""What a wheel calls the library, in `BUILT`."""
_SOURCES = ("memory.c", "binary.c", "chip.c")
_EXPORTS = ("mtj_run", "mtj_pack", "mtj_packed_bytes", "mtj_scratch_bytes", "__heap_base")
_FLAGS = (
    "-std=gnu11",
    "-O3",
    "-msimd128",
    "-mbulk-memory",
    "-nostdlib",
    "-s",
    "-Wl,--no-entry",
    *(f"-Wl,--export={name}" for name in _EXPORTS),
)


def wasm() -> bytes:
    """The library, whose exports are functions of mtjkit.h, its memory, and __heap_base.

    Raises:
        ConfigError: there is no compiler for WebAssembly, or it fails.
    """
    brought = BUILT / WASM_FILE
    if brought.is_file():
        return brought.read_bytes()
    command = compiler()
    if command is None:
        raise ConfigError(
            f"no compiler for WebAssembly: {install('explore')}, which has zig, or install clang "
            "and lld"
        )
    key = hashlib.sha256(repr((command, _FLAGS)).encode())
    for path in sorted(NATIVE.glob("*.[ch]")):
        key.update(path.read_bytes())
    sources = [NATIVE / name for name in _SOURCES]
    built = kept(
        f"mtjkit-{key.hexdigest()[:16]}.wasm",
        lambda target: build([*command, *_FLAGS], sources, target),
    )
    return built.read_bytes()


def compiler() -> list[str] | None:
    """The command of a compiler: zig's from PyPI, or clang with lld; None without one."""
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding"]
    if shutil.which("clang") and shutil.which("wasm-ld"):
        return ["clang", "--target=wasm32"]
    return None
