"""A data set: images or vectors, labels, the classes' names, and where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_host.machine import tell
from mtjkit_host.parse import shown

MOST_CLASSES = 1 << 16

MOST_RATIO = 1100
"""Bytes that one packed byte may stand for: deflate packs at most 1032 into one."""

HELD_OUT = 5
"""One image in five is kept for tests if the data have no test images."""

Images = NDArray[Any]
"""uint8 or int8, (n, height, width, channels)."""

Labels = NDArray[np.int64]
"""Class of each image, (n,)."""


@dataclass(frozen=True)
class Dataset:
    """Images of one size, with labels where they have them. `dataset_of` makes it from arrays."""

    images: Images
    """(n, height, width, channels): uint8 pixels, RGB or grey; or int8, which a network takes as
    they are, without its pixel rule. n vectors of k features are (n, 1, 1, k)."""
    labels: Labels | None
    """Class of each image, (n,): its place in `classes`, where there are names; None where the
    classes are not known."""
    classes: tuple[str, ...] = ()
    """Name of each class; empty where the labels are plain numbers."""
    names: tuple[str, ...] = ()
    """Pictures' paths below the folder given; empty for images without a file of their own."""
    source: str = "arrays"
    """Where they come from: kind of files and path."""
    mixed: bool = False
    """Whether the classes lie in random order, so that the first images are a fair sample."""
    folders: bool = False
    """Whether the classes are only names of folders, which may mean nothing."""
    remarks: tuple[str, ...] = ()
    """What a user must know of how the files were read: a sentence each."""

    def __len__(self) -> int:
        return len(self.images)

    def told(self) -> Dataset:
        """The same data, with the remarks said on stderr."""
        for remark in self.remarks:
            tell(remark)
        return self

    @property
    def sha256(self) -> str:
        """Hash of the images and the labels, in hexadecimal digits."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).reshape(-1).view(np.uint8).data)
        if self.labels is not None:
            small = self.labels.size == 0 or self.labels.max() < 256
            digest.update(self.labels.astype(np.uint8 if small else "<i8").tobytes())
        return digest.hexdigest()

    def take(self, count: int | None, seed: int = 0) -> Dataset:
        """Some of the images, in their order: `chosen` says which.

        Raises:
            ConfigError: there are fewer.
        """
        if count is None:
            return self
        if count > len(self):
            raise ConfigError(f"--images {count}: only {len(self)} are in {self.source}")
        return self if count == len(self) else self.at(self._chosen(count, seed))

    def _chosen(self, count: int, seed: int) -> slice | NDArray[np.int64]:
        if self.mixed or self.labels is None:
            return slice(0, count)
        return chosen(self.labels, count, seed)

    def at(self, which: slice | NDArray[np.int64]) -> Dataset:
        """The images at some places: a slice, or indices (k,)."""
        names = np.array(self.names, object)[which] if self.names else ()
        labels = None if self.labels is None else self.labels[which]
        return replace(self, images=self.images[which], labels=labels, names=tuple(names))


def chosen(labels: Labels, count: int, seed: int) -> NDArray[np.int64]:
    """Draw images evenly over the classes; returns their indices (count,), ascending.

    Each class gives as many, as far as it has them; which classes give one more, and which images
    of a class are drawn, follows from the seed.

    Args:
        labels: class of each image, (n,).
        count: how many, at most n.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    # The rank of an image among those of its class, in the drawn order: the lowest ranks win.
    classes = labels[order]
    by_class = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.diff(classes[by_class], prepend=-1))
    sizes = np.diff(starts, append=len(labels))
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(starts, sizes)
    return np.sort(order[np.argsort(rank, kind="stable")[:count]])


def parted(data: Dataset, labels: Labels) -> tuple[Dataset, Dataset]:
    """The images that a net is trained on, and those that are held out: always the same ones.

    Args:
        data: images without a part for tests.
        labels: their classes, (n,); the held-out images are drawn evenly over them.
    """
    held = chosen(labels, len(data) // HELD_OUT, 0)
    return data.at(np.delete(np.arange(len(data)), held)), data.at(held)


def shared(one: Images, other: Images) -> int:
    """How many images of `other` are in `one` too, byte for byte; both (n, ...), of one type."""

    def hashes(images: Images) -> list[bytes]:
        rows = np.ascontiguousarray(images).reshape(len(images), -1).view(np.uint8)
        return [hashlib.blake2b(row.data, digest_size=16).digest() for row in rows]

    there = set(hashes(one))
    return sum(found in there for found in hashes(other))


def dataset_of(
    images: Any, labels: Any = None, classes: Any = (), source: str = "arrays"
) -> Dataset:
    """Make a data set of arrays, checked.

    Args:
        images: uint8 pixels, or int8 as a network takes them: (n, height, width, channels),
            (n, height, width) or (n, features).
        labels: whole numbers (n,) from 0; None where they are not known.
        classes: name of each class; empty for none.
        source: what messages call it.

    Raises:
        ConfigError: shapes, types or values are not as described.
    """
    x = np.asarray(images)
    if x.dtype not in (np.uint8, np.int8):
        raise ConfigError(
            f"{source}: images are {shown(str(x.dtype))}; give uint8 pixels, or int8 as the net "
            "takes them"
        )
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise ConfigError(
            f"{source}: images have the shape {x.shape}, expected (n, height, width, channels), "
            "(n, height, width) or (n, features)"
        )
    if x.ndim == 2:
        x = x.reshape(len(x), 1, 1, -1)
    elif x.ndim == 3:
        x = x[..., None]
    names = tuple(str(name) for name in classes)
    if len(set(names)) < len(names):
        raise ConfigError(f"{source}: a class name comes twice")
    y = None if labels is None else _labels(labels, len(x), len(names), source)
    return Dataset(x, y, names, source=source)


def _labels(labels: Any, count: int, classes: int, source: str) -> Labels:
    y = np.asarray(labels)
    if y.shape == (count, 1):
        y = y[:, 0]
    if y.shape != (count,) or y.dtype.kind not in "iu":
        raise ConfigError(
            f"{source}: labels are {shown(str(y.dtype))} {y.shape}, expected whole numbers "
            f"({count},), one for each image"
        )
    most = classes or MOST_CLASSES
    bad = (y < 0) | (y >= most)
    if bad.any():
        at = int(bad.argmax())
        raise ConfigError(f"{source}: label {at} is {y[at]}, expected 0 to {most - 1}")
    return y.astype(np.int64)


def listed(names: Any, most: int = 4) -> str:
    """Some names as a message shows them."""
    names = [shown(str(name)) for name in names]
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as a message shows it: 32 x 32 x 3."""
    return " x ".join(map(str, shape))
