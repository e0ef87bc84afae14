"""CIFAR-100 from the official binary files (Krizhevsky 2009).

A file is a row of records of 3074 bytes: coarse label (0-19), fine label (0-99), then three planes
as in CIFAR-10. The fine labels are taken. Their names lie beside the files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError

from mtjkit_host.datasets import cifar10
from mtjkit_host.datasets.cifar10 import Images, Labels
from mtjkit_host.settings import decode_text

RECORD_BYTES = 1 + cifar10.RECORD_BYTES
CLASSES = 100
NAMES_FILE = "fine_label_names.txt"
FOLDER = "cifar-100-binary"
"""The folder of the official archive."""


def decode(data: bytes, name: str = "data") -> tuple[Images, Labels]:
    """Split the bytes of one binary file into images and fine labels.

    Args:
        data: the file's bytes.
        name: what messages call the file.

    Returns:
        Images uint8 (N, 32, 32, 3) RGB, and labels uint8 (N,).

    Raises:
        FormatError: the file is empty or torn, or a label is over 99.
    """
    records = cifar10.split_records(data, RECORD_BYTES, "CIFAR-100", name)
    labels = records[:, 1].copy()
    if labels.max() >= CLASSES:
        bad = int(np.argmax(labels >= CLASSES))
        raise FormatError(f"{name}: record {bad} has label {labels[bad]}, expected 0 to 99")
    return cifar10.images_of(records[:, 2:]), labels


def load(file: Path) -> tuple[Images, Labels, tuple[str, ...]]:
    """Load ``train.bin`` or ``test.bin``; returns images, labels and names of the classes.

    The names are empty where ``fine_label_names.txt`` does not lie beside the file.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: a file is damaged.
    """
    images, labels = decode(cifar10.read_bytes(file), str(file))
    return images, labels, _names(file.parent / NAMES_FILE)


def _names(file: Path) -> tuple[str, ...]:
    try:
        if file.stat().st_size > 1 << 16:
            raise FormatError(f"{file}: too long for the names of {CLASSES} classes")
        lines = decode_text(file.read_bytes(), str(file)).split()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from None
    if len(set(lines)) != CLASSES:
        raise FormatError(f"{file}: {len(set(lines))} different names, expected {CLASSES}")
    return tuple(lines)
