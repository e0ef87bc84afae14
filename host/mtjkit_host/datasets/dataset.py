"""A data set: images, their labels, the classes' names; read from files of any known kind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mtjkit_host.datasets import cifar10

Images = npt.NDArray[np.uint8]
"""(n, height, width, channels)."""

Labels = npt.NDArray[np.uint8]
"""Class of each image, (n,)."""


@dataclass(frozen=True)
class Dataset:
    """Images with labels."""

    images: Images
    """uint8 (n, height, width, channels), RGB."""
    labels: Labels
    """uint8 (n,)."""
    classes: tuple[str, ...]
    """Name of each class."""

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> Dataset:
        """The first `count` images, with their labels."""
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    @property
    def sha256(self) -> str:
        """Hash of the images and the labels, in hexadecimal digits."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()


def load_dataset(path: str | Path) -> Dataset:
    """Load test images: CIFAR-10's binary files so far.

    Args:
        path: a folder with `test_batch.bin` or `cifar-10-batches-bin/`, or one .bin file.

    Raises:
        ConfigError: nothing usable is there.
        FormatError: a file is damaged.
    """
    images, labels = cifar10.load_test(path)
    return Dataset(images, labels, cifar10.CLASSES)
