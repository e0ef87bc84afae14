"""The C library on aarch64 with NEON: instructions of whole images, counted by QEMU.

QEMU runs the program of `foreign`, which Debian's cross compiler builds. A plugin of QEMU counts.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors, fail_limit
from numpy.typing import NDArray

from mtjkit_host.checks.bench_device import RATES, UNEVEN
from mtjkit_host.checks.bench_nets import paper_binary, random_images
from mtjkit_host.paths import NATIVE
from mtjkit_host.simulate import compile
from mtjkit_host.simulate.binary_native import c_layers

FOREIGN = Path(__file__).with_name("foreign")
SOURCES = [NATIVE / name for name in ("memory.c", "binary.c", "chip.c")]
FLAGS = ["-std=gnu11", "-O3", "-static", "-I", str(NATIVE), "-I", str(FOREIGN)]
COMPILER, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64"
_VERSIONS = range(1, 10)
"""Of QEMU's plugins; a QEMU speaks some of them."""


@dataclass(frozen=True)
class NeonBench:
    """The paper's Binary with random weights on aarch64, first layer and writes included."""

    instructions_per_image: float
    """Without errors."""
    instructions_per_32_macs: float
    """These, for 32 multiply-accumulates."""
    write_overhead_percent: float | None = None
    """What errors add at the worst of bench_device.RATES; None if not measured."""
    uneven_write_overhead_percent: float | None = None
    """The same at the worst of bench_device.UNEVEN."""


def bench_neon(progress: Callable[[str], None] = print, clean: bool = False) -> dict[str, float]:
    """Count the instructions.

    Args:
        progress: told of each count.
        clean: without write errors alone.

    Returns:
        The fields of NeonBench that were measured.

    Raises:
        ConfigError: a program is missing, or does not do its work.
    """
    model = paper_binary()
    images = random_images(model, 2)
    with tempfile.TemporaryDirectory() as folder:
        program, plugin = build_program(Path(folder)), build_plugin(Path(folder))

        def per_image(*rates: float) -> int:
            errors = WriteErrors(limits=(fail_limit(rates[0]), fail_limit(rates[-1])))
            one, both = (
                instructions(program, plugin, case_bytes(model, images[:n], errors)) for n in (1, 2)
            )
            progress(f"neon: write-error rates {rates}: {both - one} instructions an image")
            return both - one

        base = per_image(0.0)
        found = NeonBench(base, base / (model.macs / 32))
        if not clean:
            worst = [
                max(100 * per_image(*rates) / base - 100 for rates in several)
                for several in ([(rate,) for rate in RATES], UNEVEN)
            ]
            found = NeonBench(base, base / (model.macs / 32), *worst)
    return {name: value for name, value in asdict(found).items() if value is not None}


def case_bytes(model: Model, images: NDArray[np.int8], errors: WriteErrors) -> bytes:
    """A network, its images (n, height, width, channels) and errors, as foreign/cases.h says."""
    n, hidden = len(images), range(len(model.layers) - 1)
    maps = sum(layer.map_words for layer in model.layers)
    size = images.size // n
    head = [len(model.layers), n, size, len(model.data), *model.half_words]
    key = [errors.seed & 0xFFFFFFFF, errors.seed >> 32]
    return b"".join(
        [
            np.array([*head, model.classes, maps], np.int32).tobytes(),
            bytes(c_layers(model)),
            bytes(model.data),
            images.tobytes(),
            np.arange(n, dtype=np.uint32).tobytes(),
            np.array(key, np.uint32).tobytes(),
            np.array([errors.map_words(layer) for layer in hidden], np.uint32).tobytes(),
        ]
    )


def build_program(folder: Path) -> Path:
    """Build the program that runs cases on aarch64, in a folder.

    Raises:
        ConfigError: the compiler is missing or fails.
    """
    program = folder / "foreign"
    parts = [FOREIGN / "stdin.c", FOREIGN / "cases.c", *SOURCES]
    _run([COMPILER, *FLAGS, "-o", program, *parts], "gcc-aarch64-linux-gnu")
    return program


def build_plugin(folder: Path) -> Path:
    """Build the plugin that counts, in a version that QEMU takes, in a folder.

    Raises:
        ConfigError: a program is missing, or QEMU takes no version.
    """
    compiler = compile.compiler()
    if compiler is None:
        raise ConfigError("there is no C compiler: gcc and clang are among those that would do")
    _run([QEMU, "--version"], "qemu-user")
    for version in _VERSIONS:
        plugin = folder / f"instructions{version}.so"
        flags = ["-shared", "-fPIC", "-O2", f"-DPLUGIN_VERSION={version}"]
        _run([*compiler, *flags, "-o", plugin, FOREIGN / "instructions.c"], compiler[0])
        # QEMU loads its plugins, and then does not find the program.
        done = subprocess.run(
            [QEMU, "-plugin", str(plugin), str(folder / "none")], capture_output=True, check=False
        )
        if b"plugin" not in done.stderr.lower():
            return plugin
    raise ConfigError(f"{QEMU} loads no plugin: a QEMU that is linked statically loads none")


def instructions(program: Path, plugin: Path, cases: bytes) -> int:
    """How many instructions a program runs on these cases, its start and end included.

    Raises:
        ConfigError: it fails, or is not counted.
    """
    done = _run([QEMU, "-plugin", plugin, program], "qemu-user", cases)
    found = re.search(rb"(\d+) instructions\s*$", done.stderr)
    if found is None:
        raise ConfigError(f"{QEMU} has not counted: {done.stderr.decode(errors='replace')}")
    return int(found[1])


def _run(
    command: list[str | Path], package: str, text: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    name = str(command[0])
    if not shutil.which(name):
        raise ConfigError(f"{name} is missing (Debian: {package})")
    done = subprocess.run(list(map(str, command)), input=text, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ConfigError(f"{name} failed with {done.returncode}: {lines[-1]}")
    return done
