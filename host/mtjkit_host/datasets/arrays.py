"""Images and labels in numpy's files: .npz of x and y, or .npy. No pickle is ever loaded."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from numpy.lib import format as npy
from numpy.typing import NDArray

from mtjkit_host.datasets.dataset import MOST_RATIO, Dataset, dataset_of, listed
from mtjkit_host.parse import shown

NAMES = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
"""Split -> names of its arrays; `_ANY` where a file holds one part only."""

_ANY = (("x", "y"), ("images", "labels"))
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, IndexError),
)
"""What zipfile raises for files that are not archives."""


def load_npz(file: Path, split: str = "test") -> Dataset:
    """Load an .npz file: x (images), y (labels, may be absent), classes (names, may be absent).

    Images and labels may also be called images and labels; where a file holds a part for training
    and one for tests, x_train, y_train, x_test, y_test, or train_images and so on.

    Raises:
        ConfigError: the file cannot be read, or its arrays are not images and labels.
        FormatError: the file is damaged, or holds objects.
    """
    size = _size(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = {
                item.filename.removesuffix(".npy"): item
                for item in archive.infolist()
                if item.filename.endswith(".npy")
            }
            pairs = (*NAMES[split], *_ANY)
            x, y = next(((x, y) for x, y in pairs if x in members), ("", ""))
            if not x:
                raise ConfigError(
                    f"{file}: holds {listed(sorted(members)) or 'no arrays'}; expected the "
                    "images as x (or images) and the labels as y (or labels)"
                )
            found = {
                name: _member(archive, members[name], f"{file}: {name}", size)
                for name in (x, y, "classes")
                if name in members
            }
    except _DAMAGED as error:
        raise FormatError(f"{file}: damaged .npz file ({shown(str(error), 100)})") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from None
    classes = found.get("classes", np.empty(0, "U1"))
    if classes.ndim != 1 or classes.dtype.kind != "U":
        raise ConfigError(
            f"{file}: classes are {shown(classes.dtype)} {classes.shape}, expected texts"
        )
    return dataset_of(found[x], found.get(y), classes.tolist(), f"npz file {file}")


def load_npy(file: Path) -> Dataset:
    """Load images of an .npy file x*.npy, and the labels of y*.npy beside it, if it is there.

    Raises:
        ConfigError: the file cannot be read, or holds no images.
        FormatError: the file is damaged, or holds objects.
    """
    labels = file.with_name("y" + file.name[1:])
    beside = file.name[:1] == "x" and labels.is_file()
    y = _npy(labels) if beside else None
    return dataset_of(_npy(file), y, source=f"npy file {file}")


def npy_bytes(array: NDArray[Any]) -> bytes:
    """An array as the bytes of an .npy file."""
    out = io.BytesIO()
    npy.write_array(out, array, allow_pickle=False)
    return out.getvalue()


def _npy(file: Path) -> NDArray[Any]:
    size = _size(file)
    try:
        with file.open("rb") as stream:
            _check_header(stream, str(file), size)
        return npy.open_memmap(file, mode="r")
    except ValueError as error:
        raise FormatError(f"{file}: not a usable .npy file ({shown(str(error), 100)})") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from None


def _member(archive: zipfile.ZipFile, item: zipfile.ZipInfo, what: str, size: int) -> NDArray[Any]:
    """One array of an archive of `size` bytes, read once, into the array that is returned."""
    if item.compress_size > size:
        raise FormatError(f"{what} is longer than the file")
    most = item.compress_size * (MOST_RATIO if item.compress_type else 1)
    with archive.open(item) as stream:
        _check_header(stream, what, most)
    with archive.open(item) as stream:
        try:
            array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
        except (ValueError, UnicodeDecodeError) as error:
            raise FormatError(f"{what}: damaged array ({shown(str(error), 100)})") from None
    return array


def _check_header(stream: Any, what: str, most: int) -> None:
    """Refuse an array that is not plain, or states more bytes than `most`."""
    try:
        version = npy.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = npy.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = npy.read_array_header_2_0(stream)
        else:
            raise FormatError(f"{what}: .npy version {version}, expected 1.0 or 2.0")
    except (
        *(ValueError, SyntaxError, TypeError, tokenize.TokenError),
        *(RecursionError, MemoryError, OverflowError),
    ):
        raise FormatError(f"{what}: not a readable .npy header") from None
    if dtype.hasobject:
        raise FormatError(f"{what} holds Python objects, which are never loaded; save plain arrays")
    if 0 in shape:
        raise FormatError(f"{what} is empty: its shape is {shown(shape)}")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize > most:
        raise FormatError(f"{what} states {shown(shape)} {shown(dtype)}, not what the file holds")
