"""Images and labels in idx files, as MNIST and its relatives come, also compressed (.gz).

A file is two zero bytes, a byte for the type (8: uint8, 9: int8), a byte for the number of
dimensions, each dimension as u32 big-endian, then the values. Source: Y. LeCun, C. Cortes,
C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from numpy.typing import NDArray

from mtjkit_host.datasets.dataset import MOST_RATIO, Dataset, dataset_of
from mtjkit_host.parse import shown

_TYPES = {8: np.uint8, 9: np.int8}
_MOST_DIMENSIONS = 4
_GZIP = b"\x1f\x8b"


def is_idx(file: Path) -> bool:
    """Whether a file begins as an idx file does, compressed or not."""
    try:
        with file.open("rb") as raw:
            start = raw.read(4)
            if start[:2] == _GZIP:
                raw.seek(0)
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    start = unpacked.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(start) == 4 and start[:2] == b"\0\0" and start[2] >= 8 and start[3] <= 8


def read_idx(file: Path) -> NDArray[Any]:
    """Read an idx file of bytes: uint8 or int8, of the shape that the file states.

    The values are read once, into the array that is returned.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: it is not an idx file of bytes, or shorter or longer than it says.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            if not packed:
                return _read(raw, file, size)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read(unpacked, file, size * MOST_RATIO)  # type: ignore[arg-type]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FormatError(f"{file}: damaged gzip file ({shown(str(error), 100)})") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from None


def _read(stream: BinaryIO, file: Path, most: int) -> NDArray[Any]:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or not 1 <= start[3] <= _MOST_DIMENSIONS:
        raise FormatError(f"{file}: not an idx file")
    if start[2] not in _TYPES:
        raise FormatError(f"{file}: idx values of type 0x{start[2]:02x}, expected bytes (0x08)")
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise FormatError(f"{file}: truncated idx header")
    shape = struct.unpack(f">{start[3]}I", sizes)
    if not 0 < math.prod(shape) <= most:
        raise FormatError(f"{file}: says {' x '.join(map(str, shape))} values, has others")
    values = np.empty(shape, _TYPES[start[2]])
    buffer = values.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(buffer):
        got = stream.readinto(buffer[done:])  # type: ignore[attr-defined]
        if not got:
            raise FormatError(f"{file}: {done} values, expected {len(buffer)}")
        done += got
    if stream.read(1):
        raise FormatError(f"{file}: longer than its {len(buffer)} values")
    return values


def labels_of(images: Path) -> Path | None:
    """The file of the labels that belong to a file of images, by its name; None without one."""
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    file = images.with_name(name)
    for other in (file, file.with_name(name + ".gz"), file.with_name(name.removesuffix(".gz"))):
        if name != images.name and other.is_file():
            return other
    return None


def find_idx(folder: Path, split: str) -> Path | None:
    """The images' file of a folder; None where there is no idx file.

    Args:
        folder: where to look.
        split: ``train`` (the file is called train...) or ``test`` (t10k... or ...test...).

    Raises:
        ConfigError: there are several, and their names do not tell which is meant.
    """
    files = [
        file
        for pattern in ("*images*idx*", "*idx*images*")
        for file in sorted(folder.glob(pattern))
        if file.is_file() and is_idx(file)
    ]
    files = list({file.name.removesuffix(".gz"): file for file in files}.values())
    words = ("train",) if split == "train" else ("t10k", "test")
    named = [file for file in files if any(word in file.name.lower() for word in words)]
    found = named or files
    if len(found) > 1:
        names = ", ".join(file.name for file in found[:4])
        raise ConfigError(f"{folder}: holds {names}; name one of these files")
    return found[0] if found else None


def load_idx(file: Path) -> Dataset:
    """Load a file of images, and the labels that lie beside it.

    Raises:
        ConfigError, FormatError: a file cannot be used.
    """
    if "labels" in file.name and "images" not in file.name:
        raise ConfigError(f"{file}: these are labels; name the file of the images beside it")
    labels = labels_of(file)
    images = read_idx(file)
    return dataset_of(
        images, None if labels is None else read_idx(labels), source=f"idx file {file}"
    )
