"""The fast twin: firmware/native's kernels, compiled by this machine's compiler.

The same C source as the boards' native module, called through ctypes, images spread over threads.
It gives the bits of `mtjkit_core.reference.run_image` and is a drop-in for `binary_numpy.Twin`.
"""

from __future__ import annotations

import binascii
import ctypes
import functools
import hashlib
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import CRC_BYTES, Model
from mtjkit_core.mtj_memory import FLIP
from mtjkit_core.streams import WEIGHTS, place_word
from numpy.typing import NDArray

from mtjkit_host.paths import NATIVE as SOURCE
from mtjkit_host.paths import cache_dir

FLAGS = ("-std=c99", "-O3", "-shared", "-fPIC")
_WORK_BYTES = 2 << 30  # of all threads: a model of 128 MB in maps gets fewer of them

Int8 = NDArray[np.int8]
Words = NDArray[np.uint32]


# mtj_layer of mtjkit.h: attributes of mtjkit_core.model.Layer, then where packed weights lie.
_GEOMETRY = (
    "in_height in_width in_channels in_words kernel_height kernel_width padding pool "
    "map_height map_width out_channels out_words fan_in row_words run_words run_bits "
    "weights_at thresholds_at inverted_at map_words weight_words index"
)


class _Layer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in (*_GEOMETRY.split(), "packed_at")]


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
    """The compiled kernels, built into the cache on first use.

    Args:
        flags: further compiler flags; -DMTJ_PORTABLE leaves AVX2 out.

    Raises:
        ConfigError: there is no C compiler or no source, or it does not compile here.
    """
    files = sorted(p for p in SOURCE.glob("*.[ch]") if p.name != "module.c")
    return _declare(build("kernels", SOURCE / "kernels.c", files, *FLAGS, *flags))


def build(name: str, main: Path, files: Sequence[Path], *flags: str) -> ctypes.CDLL:
    """Compile C into the cache, unless it is there, and load it.

    Args:
        name: what the library's name begins with.
        main: the file to compile.
        files: all that it is made of.
        flags: the compiler's.

    Raises:
        ConfigError: there is no C compiler or no source, or it does not compile here.
    """
    command = compiler()
    if command is None:
        raise ConfigError("no C compiler: install gcc or clang, or pip install ziglang")
    if main not in files or not main.exists():
        raise ConfigError(f"no C source in {main.parent}: it needs a clone of the project")
    key = hashlib.sha256(repr((command, flags, sys.platform)).encode())
    for path in files:
        key.update(path.read_bytes())
    built = cache_dir() / "native" / f"{name}-{key.hexdigest()[:16]}.so"
    try:
        if not built.exists():
            _compile([*command, *flags], main, built)
        return ctypes.CDLL(str(built))
    except OSError as error:
        raise ConfigError(f"the native {name} do not load here: {error}") from None


def available() -> bool:
    """Whether the fast twin can run here."""
    try:
        library()
    except ConfigError:
        return False
    return True


def _compile(command: list[str], main: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")  # renamed, so that a half is never loaded
    try:
        done = subprocess.run(
            [*command, "-o", str(part), str(main)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise ConfigError(f"{command[0]} cannot compile {main.name}: {lines[0]}")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    lib.mtj_packed_bytes.restype = lib.mtj_scratch_bytes.restype = ctypes.c_size_t
    lib.mtj_packed_bytes.argtypes = lib.mtj_scratch_bytes.argtypes = [pointer]
    lib.mtj_pack.argtypes = [pointer] * 3
    lib.mtj_seed.argtypes = [pointer, pointer, number, number]
    lib.mtj_program.argtypes = [pointer] * 5
    lib.mtj_run.argtypes = [pointer, number, pointer, pointer, number, *[pointer] * 9]
    for function in (lib.mtj_pack, lib.mtj_seed, lib.mtj_program, lib.mtj_run):
        function.restype = None
    return lib


def _geometry(model: Model) -> Any:
    """The model's layers as an array of _Layer, nothing repacked."""
    layers = (_Layer * len(model.layers))()
    for to, layer in zip(layers, model.layers, strict=True):
        to.packed_at = -1
        for name in _GEOMETRY.split():
            setattr(to, name, getattr(layer, name))
    return layers


def rate_words(threshold: int, errors: int) -> Words:
    """An error rate as mtj_rate of mtjkit.h."""
    return np.array([threshold & 0xFFFFFFFF, threshold >> 32, errors], np.uint32)


def key_words(seed: int) -> Words:
    """A seed as mtj_seed takes it: low and high word."""
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)


class NativeTwin:
    """A model on the host, in compiled code.

    Args:
        model: mtjkit_core.model.Model; its weights are read once, here.
        threads: images are spread over at most so many threads; default all processors.

    Raises:
        ConfigError: the compiled kernels are not to be had here (see `library`).
    """

    kernel = "native"

    def __init__(self, model: Model, threads: int | None = None) -> None:
        self.model = model
        self._lib = library()
        self._data = np.frombuffer(model.data, np.uint8)
        self._layers = _geometry(model)
        size = 0
        for layer in self._layers:
            wanted = self._lib.mtj_packed_bytes(ctypes.byref(layer))
            if wanted:
                layer.packed_at = size
                size += -(-wanted // 64) * 64
        self._packed = np.empty(size, np.uint8)
        weights, packed = self._data.ctypes.data, self._packed.ctypes.data
        for layer in self._layers:
            self._lib.mtj_pack(ctypes.byref(layer), weights, packed)
        self._half_words = np.array(model.half_words, np.uint32)
        scratch = max(self._lib.mtj_scratch_bytes(ctypes.byref(one)) for one in self._layers)
        self._work_words = sum(model.half_words) + max(model.half_words) + -(-scratch // 4)
        self.threads = max(1, min(threads or _processors(), _WORK_BYTES // (4 * self._work_words)))
        self._map_words = sum(layer.map_words for layer in model.layers)

    def run(
        self,
        images: Int8,
        indices: Words,
        seed: int = 0,
        threshold: int = 0,
        errors: int = FLIP,
        trace: list[Words] | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Classify images through the memory.

        Args:
            images: int8 (n, height, width, channels), the pixel rule already applied.
            indices: index of each image in the data, (n,).
            seed: 0 <= seed < 2**64.
            threshold: feature-map error rate, mtjkit_core.mtj_memory.threshold_from_rate.
            errors: mtjkit_core.mtj_memory.FLIP or KEEP.
            trace: None, or a list that receives each hidden layer's stored map,
                (n, map_words) uint32.

        Returns:
            Scores (n, classes), and bits [written, toggled, wrong] of each image (n, 3).

        Raises:
            ConfigError: the images have another shape than the model's input.
        """
        if images.shape[1:] != self.model.input_shape or images.dtype != np.int8:
            raise ConfigError(
                f"images are {images.dtype} {images.shape[1:]}, "
                f"the model takes int8 {self.model.input_shape}"
            )
        n = len(images)
        images = np.ascontiguousarray(images)
        indices = np.ascontiguousarray(indices, np.uint32)
        scores = np.empty((n, self.model.classes), np.int32)
        counts = np.empty((n, 3), np.uint32)
        maps = np.empty((n if trace is not None else 0, self._map_words), np.uint32)
        key, rate = key_words(seed), rate_words(threshold, errors)

        def part(at: int, end: int) -> None:
            work = np.empty(self._work_words, np.uint32)
            arrays = (key, rate, self._half_words, work, scores[at:end], counts[at:end])
            self._lib.mtj_run(
                self._layers,
                len(self._layers),
                self._data.ctypes.data,
                self._packed.ctypes.data,
                end - at,
                images[at:end].ctypes.data,
                indices[at:end].ctypes.data,
                *(array.ctypes.data for array in arrays),
                maps[at:end].ctypes.data if trace is not None else None,
            )

        # Several parts a thread, so that one that is held up does not keep the others waiting.
        parts = min(n, self.threads * 4)
        edges = [n * k // max(1, parts) for k in range(parts + 1)]
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(part, edges[:-1], edges[1:]))
        if trace is not None:
            ends = np.cumsum([layer.map_words for layer in self.model.layers[:-1]])
            trace.extend(np.split(maps, ends[:-1], axis=1))
        return scores, counts.astype(np.int64)


def _processors() -> int:
    """Processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def corrupt_weights(model: Model, seed: int, threshold: int, errors: int) -> tuple[bytes, int, int]:
    """`binary_numpy.corrupt_weights` in compiled code: file, bits written, bits wrong."""
    lib = library()
    data = np.frombuffer(model.data, np.uint8).copy()
    state, counts = np.empty(32, np.uint32), np.zeros(3, np.uint32)
    key, rate = key_words(seed), rate_words(threshold, errors)
    written = wrong = 0
    for layer in _geometry(model):
        counts[:] = 0
        place = place_word(WEIGHTS, layer.index, 0)
        lib.mtj_seed(state.ctypes.data, key.ctypes.data, 0, place)
        arrays = (data, state, rate, counts)
        lib.mtj_program(ctypes.byref(layer), *(array.ctypes.data for array in arrays))
        written += int(counts[0])
        wrong += int(counts[2])
    file = bytearray(data.tobytes())
    file[-CRC_BYTES:] = struct.pack("<I", binascii.crc32(file[:-CRC_BYTES]))
    return bytes(file), written, wrong
