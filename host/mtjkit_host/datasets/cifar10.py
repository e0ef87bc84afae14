"""CIFAR-10 from the official binary files (Krizhevsky 2009), with numpy alone.

A file is a row of records of 3073 bytes: one label byte (0-9), then 1024 red, 1024 green and
1024 blue bytes, each plane row by row. The project keeps images channel-last instead, uint8
``(N, 32, 32, 3)`` in RGB order.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from mtjkit_core.errors import ConfigError, FormatError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
"""Class names in label order."""

SIDE = 32
CHANNELS = 3
RECORD_BYTES = 1 + SIDE * SIDE * CHANNELS

_MOST_BYTES = 1 << 30
FOLDER = "cifar-10-batches-bin"
"""The folder of the official archive."""
_TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST_FILES = ("test_batch.bin",)


def decode(data: bytes, name: str = "data") -> tuple[Images, Labels]:
    """Split the bytes of one binary file into images and labels.

    Args:
        data: the file's bytes.
        name: what messages call the file.

    Returns:
        Images uint8 (N, 32, 32, 3) RGB, and labels uint8 (N,).

    Raises:
        FormatError: the file is empty or torn, or a label is over 9.
    """
    records = split_records(data, RECORD_BYTES, "CIFAR-10", name)
    labels = records[:, 0].copy()
    if labels.max() >= len(CLASSES):
        bad = int(np.argmax(labels >= len(CLASSES)))
        raise FormatError(
            f"{name}: record {bad} has label {labels[bad]}, but CIFAR-10 has labels 0 to 9; "
            "this is not a CIFAR-10 binary file"
        )
    return images_of(records[:, 1:]), labels


def split_records(data: bytes, record_bytes: int, kind: str, name: str) -> Images:
    """The records of a CIFAR file, uint8 (N, record_bytes).

    Args:
        data: the file's bytes.
        record_bytes: of one record: its labels, then its picture.
        kind: of the data set, for messages.
        name: what messages call the file.

    Raises:
        FormatError: the file is empty or torn.
    """
    if not data or len(data) % record_bytes:
        raise FormatError(
            f"{name}: {len(data)} bytes is not a whole number of {record_bytes}-byte {kind} "
            "records; fetch the binary version of the data again"
        )
    return np.frombuffer(data, np.uint8).reshape(-1, record_bytes)


def images_of(pictures: Images) -> Images:
    """Images uint8 (N, 32, 32, 3) of records' pictures (N, 3072), plane after plane."""
    planes = pictures.reshape(-1, CHANNELS, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def encode(images: Images, labels: Labels) -> bytes:
    """Write images and labels as one binary file; undoes `decode`.

    Args:
        images: uint8 (N, 32, 32, 3).
        labels: uint8 (N,).

    Raises:
        ConfigError: a shape or a type is another one, or a label is over 9.
    """
    shape = (len(labels), SIDE, SIDE, CHANNELS)
    if images.dtype != np.uint8 or labels.dtype != np.uint8 or images.shape != shape:
        raise ConfigError(
            f"CIFAR-10 images must be uint8 (N, 32, 32, 3) with uint8 labels (N,), got "
            f"{images.dtype} {images.shape} with {labels.dtype} {labels.shape}"
        )
    if labels.size and labels.max() >= len(CLASSES):
        raise ConfigError(f"CIFAR-10 labels must be 0 to 9, got {labels.max()}")
    planes = images.transpose(0, 3, 1, 2).reshape(len(labels), -1)
    return np.concatenate([labels[:, None], planes], axis=1).tobytes()


def load_test(path: str | Path) -> tuple[Images, Labels]:
    """Load the test images, in file order.

    Args:
        path: a folder that holds ``test_batch.bin``, or one that holds ``cifar-10-batches-bin/``,
            or one .bin file, which is read whatever its name.

    Returns:
        Images uint8 (N, 32, 32, 3) RGB, and labels uint8 (N,).

    Raises:
        ConfigError: there is no such file.
        FormatError: it is damaged.
    """
    return _load(Path(path), _TEST_FILES)


def load_train(path: str | Path) -> tuple[Images, Labels]:
    """Load the training images of ``data_batch_1.bin`` to ``data_batch_5.bin``, in that order.

    ``path``, result and errors are those of `load_test`.
    """
    return _load(Path(path), _TRAIN_FILES)


def _load(path: Path, names: tuple[str, ...]) -> tuple[Images, Labels]:
    parts = [_read(file) for file in _resolve(path, names)]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _resolve(path: Path, names: tuple[str, ...]) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(
            f"{path}: no such file or folder; name a folder that holds {FOLDER}/ or a .bin file"
        )
    for folder in (path, path / FOLDER):
        if any((folder / name).is_file() for name in names):
            return [folder / name for name in names]
    raise ConfigError(
        f"{path}: no {names[0]} here or in {FOLDER}/; "
        "unpack the binary version of CIFAR-10 (cifar-10-binary.tar.gz) there"
    )


def _read(file: Path) -> tuple[Images, Labels]:
    return decode(read_bytes(file), str(file))


def read_bytes(file: Path) -> bytes:
    """The bytes of one of CIFAR's files; ConfigError or FormatError where there are none."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise FormatError(f"{file}: far larger than CIFAR-10's files (30,730,000 bytes)")
        return file.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{file}: missing; unpack the binary version again") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check the path") from error
