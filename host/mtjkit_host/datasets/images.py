"""The images that a network is to classify: of its input's shape, labelled with its classes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export.nets.pixels import PixelRule
from mtjkit_export.predictions import to_inputs
from numpy.typing import NDArray

from mtjkit_host.datasets import cifar10
from mtjkit_host.datasets.dataset import Dataset, Labels, dataset_of, listed, shape_text
from mtjkit_host.datasets.load import load_dataset
from mtjkit_host.paths import CARRIED_IMAGES

Shape = tuple[int, int, int]


class HasPixelRule(Protocol):
    """A binary model or a fixed-point net."""

    @property
    def pixel_rule(self) -> tuple[int, int, int]:
        """The numbers of mtjkit_export.nets.pixels.PixelRule."""
        ...


class Net(Protocol):
    """What images are for: a binary model or a fixed-point net."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def input_shape(self) -> Shape:
        """(height, width, channels)."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...


def class_names(net: Net) -> tuple[str, ...]:
    """Names of a net's classes, empty for none.

    Files of fixed-point nets from before names were stored are of CIFAR-10.
    """
    names = getattr(net, "class_names", ())
    if names is None:
        names = cifar10.CLASSES if outcomes(net) == len(cifar10.CLASSES) else ()
    return tuple(names)


def outcomes(net: Net) -> int:
    """How many classes a net tells apart: two where the sign of its one score decides."""
    count: int = getattr(net, "outcomes", net.classes)
    return count


def load_images(path: str | Path, net: Net, count: int | None = None, seed: int = 0) -> Dataset:
    """Load the images that a net is to classify: `load_dataset`, then `fit`.

    Args:
        path: what `mtjkit_host.datasets.load.load_dataset` takes. The carried images of CIFAR-10
            serve only nets whose classes are CIFAR-10's.
        net: gives the input's shape and the class names.
        count: how many; None for all. They are drawn evenly over the classes; of CIFAR's files the
            first ones, as their order is random.
        seed: of the draw.

    Raises:
        ConfigError: nothing usable is there, fewer than `count`, of the wrong shape, or of classes
            that the net does not know.
        FormatError: a file is damaged.
        LinkError: a data set cannot be fetched.
    """
    names = class_names(net)
    if Path(path) == CARRIED_IMAGES and set(names) != set(cifar10.CLASSES):
        raise ConfigError(
            f"model {net.name!r} {'knows ' + listed(names) if names else 'names no classes'}, and "
            "the carried images are of CIFAR-10's classes: name this model's own data with --data"
        )
    shape: Shape | None = tuple(net.input_shape)  # type: ignore[assignment]
    if shape is not None and shape[:2] == (1, 1):
        shape = None  # a vector, of pictures as they are
    if shape is not None and shape[2] not in (1, 3):
        shape = (shape[0], shape[1], 3)  # pictures are loaded to say what they lack
    return fit(load_dataset(path, shape=shape, count=count, seed=seed), net)


def images_for(images: Any, net: Net, count: int | None = None, seed: int = 0) -> Dataset:
    """The images that a Python program hands over, for a net.

    Args:
        images: a Dataset; an array (see `dataset_of`); or a pair of images and labels.
        net, count, seed: see `load_images`.

    Raises:
        ConfigError: they do not fit the net, or are not images.
    """
    if not isinstance(images, Dataset):
        pair = images if isinstance(images, (tuple, list)) and len(images) == 2 else (images, None)
        images = dataset_of(*pair)
    return fit(images.take(count, seed), net)


def fit(data: Dataset, net: Net) -> Dataset:
    """A data set as a net takes it: of its input's shape, labelled with the numbers of its classes.

    What a user must know of this is added to the remarks.

    Raises:
        ConfigError: the shape is another one, or the classes are.
    """
    images, shape_remarks = _shaped(data, net)
    labels, label_remarks = _labelled(data, net)
    return replace(
        data,
        images=images,
        labels=labels,
        classes=class_names(net),
        remarks=(*data.remarks, *shape_remarks, *label_remarks),
    )


def to_input(net: HasPixelRule, images: NDArray[Any]) -> NDArray[np.int8]:
    """The int8 input of a net: int8 as it is, pixels by the net's rule or tables.

    Args:
        net: a binary model or a fixed-point net.
        images: uint8 or int8, (..., channels).

    Raises:
        ConfigError: the net takes int8 as it is, and a pixel is above 127.
    """
    if images.dtype == np.int8:
        return images
    if isinstance(net, Model):
        return to_inputs(net, images)
    return PixelRule(*net.pixel_rule).apply(images)


def _shaped(data: Dataset, net: Net) -> tuple[NDArray[Any], tuple[str, ...]]:
    has, takes = data.images.shape[1:], tuple(net.input_shape)
    if has == takes:
        return data.images, ()
    vector = has[:2] == (1, 1) or takes[:2] == (1, 1)
    if vector and math.prod(has) == math.prod(takes):
        images = data.images.reshape(len(data), *takes)
        return images, (f"images of {shape_text(has)} are taken as {shape_text(takes)}",)
    hint = ""
    if has == (takes[2], takes[0], takes[1]):
        hint = ": transpose them, channels come last"
    elif data.names and takes[2] not in (1, 3):
        hint = ": a picture has 1 or 3 channels, bring this data as an .npz file of x and y"
    raise ConfigError(
        f"{data.source}: images are {shape_text(has)}, model {net.name!r} takes "
        f"{shape_text(takes)}{hint}"
    )


def _labelled(data: Dataset, net: Net) -> tuple[Labels | None, tuple[str, ...]]:
    if data.labels is None:
        return None, (f"{data.source}: no labels, so the run tells no accuracy",)
    names = class_names(net)
    if not data.classes:
        return _numbered(data, data.labels, net, names)
    places = [_place(name, names) for name in data.classes]
    unknown = [n for n, place in zip(data.classes, places, strict=True) if place is None]
    if not unknown:
        moved = not data.names and places != list(range(len(places)))
        remark = (f"{data.source}: classes are matched by name, their order differs",)
        return np.array(places, np.int64)[data.labels], remark if moved else ()
    if all(name.isascii() and name.isdigit() for name in data.classes):
        numbers = np.array([int(name) for name in data.classes], np.int64)[data.labels]
        return _numbered(data, numbers, net, names)
    if not names and len(data.classes) == outcomes(net):
        first, last = data.classes[0], data.classes[-1]
        return data.labels, (
            f"model {net.name!r} has no class names: its class 0 is taken as {first}, "
            f"{outcomes(net) - 1} as {last}, in the order of the data",
        )
    said = (
        f"model {net.name!r} knows {listed(names) if names else f'{outcomes(net)} unnamed classes'}"
    )
    if data.folders and len(unknown) == len(places):
        return None, (
            f"{data.source}: no folder is named after a class, so there are no labels; {said}",
        )
    hint = ""
    if data.folders:
        hint = ". Rename the folders, or say their classes in classes.csv (columns folder, class)"
    lacks = f"of its {len(places)} classes the model lacks {listed(unknown)}"
    raise ConfigError(f"{data.source}: {lacks}; {said}{hint}")


def _numbered(
    data: Dataset, labels: Labels, net: Net, names: Sequence[str]
) -> tuple[Labels, tuple[str, ...]]:
    """Labels that are numbers of the net's classes."""
    most = int(labels.max(initial=0))
    if most >= outcomes(net):
        raise ConfigError(
            f"{data.source}: labels go up to {most}, model {net.name!r} has {outcomes(net)} classes"
        )
    if all(name == str(number) for number, name in enumerate(names)):
        return labels, ()
    return labels, (
        f"{data.source}: labels are numbers, taken as numbers of the model's classes "
        f"(0 is {names[0]})",
    )


def _place(name: str, names: Sequence[str]) -> int | None:
    """Number of the class with a name; None without one.

    A folder cannot hold every letter: where no name is the same, letters and digits decide.
    """
    if name in names:
        return names.index(name)
    plain = [_plain(other) for other in names]
    return plain.index(_plain(name)) if plain.count(_plain(name)) == 1 else None


def _plain(name: str) -> str:
    return " ".join(re.findall(r"\w+", name.casefold().replace("_", " ")))
