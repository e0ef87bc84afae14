"""What a net is trained and tested on: the two parts of a data set of any kind."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError

from mtjkit_host.datasets import fetch
from mtjkit_host.datasets.dataset import HELD_OUT, Dataset, parted, shared
from mtjkit_host.datasets.images import fit
from mtjkit_host.datasets.load import has_train_part, load_dataset
from mtjkit_host.train.architectures import NetSpec


@dataclass(frozen=True)
class Parts:
    """A data set in two parts, with labels."""

    train: Dataset
    """What the weights are fitted to."""
    test: Dataset
    """What the accuracy is measured on."""
    held_out: bool = False
    """Whether `test` was drawn here, from data that have no part for tests."""

    def of_net(self) -> dict[str, Any]:
        """What the data say of a net: fields of `NetSpec`."""
        labels = (self.train.labels, self.test.labels)
        most = max(int(found.max()) for found in labels if found is not None)
        return {
            "input_shape": self.train.images.shape[1:],
            "classes": len(self.train.classes) or most + 1,
            "class_names": self.train.classes,
            "takes_int8": self.train.images.dtype == np.int8,
        }

    @property
    def is_cifar(self) -> bool:
        """Whether they are CIFAR's photographs: of all files that are read, only they are mixed."""
        return self.train.mixed

    def fitted(self, spec: NetSpec) -> Parts:
        """The parts as a net takes them, labelled with the numbers of its classes.

        Raises:
            ConfigError: the net takes images of another shape, or has other classes.
        """
        return replace(self, train=fit(self.train, spec), test=fit(self.test, spec))

    def held_out_npz(self) -> bytes:
        """The test images as an .npz file of x, y and classes."""
        out = io.BytesIO()
        arrays: dict[str, Any] = {"x": self.test.images, "y": self.test.labels}
        if self.test.classes:
            arrays["classes"] = np.array(self.test.classes)
        np.savez_compressed(out, **arrays)
        return out.getvalue()


def load_parts(path: str | Path, shape: tuple[int, int, int] | None = None) -> Parts:
    """Load a data set for training: what `mtjkit_host.datasets.load.load_dataset` takes.

    Data without a part for tests give every fifth image for them: drawn evenly over the classes,
    always the same ones.

    Args:
        path: a file, a folder, or the name of a data set that is fetched.
        shape: (height, width, 1 or 3) that pictures are scaled to; None for their own size.

    Raises:
        ConfigError: nothing usable is there, labels are missing, or the images are too few.
        FormatError: a file is damaged.
        LinkError: a data set cannot be fetched.
    """
    path = fetch.fetched(str(path)) if fetch.is_named(path) else Path(path)
    whole = _labelled(load_dataset(path, shape=shape, split="train"))
    if has_train_part(path):
        test = _labelled(load_dataset(path, shape=shape, split="test"))
        if test.images.dtype != whole.images.dtype:
            raise ConfigError(
                f"{path}: images to train with are {whole.images.dtype}, those for tests "
                f"{test.images.dtype}"
            )
        return _compared(Parts(whole, test))
    labels = whole.labels
    if labels is None or len(whole) < 2 * HELD_OUT:
        raise ConfigError(f"{whole.source}: {len(whole)} images are too few to train with")
    return _compared(Parts(*parted(whole, labels), held_out=True))


def _compared(parts: Parts) -> Parts:
    """The same parts, with a remark where images for tests are among those to train with."""
    if parts.train.images.shape[1:] != parts.test.images.shape[1:]:
        return parts
    twice = shared(parts.train.images, parts.test.images)
    if not twice:
        return parts
    said = (
        f"{parts.test.source}: {twice} of {len(parts.test)} images for tests are among those to "
        "train with too, so the test accuracy says little of new images"
    )
    return replace(parts, test=replace(parts.test, remarks=(*parts.test.remarks, said)))


def _labelled(data: Dataset) -> Dataset:
    if data.labels is None:
        raise ConfigError(f"{data.source}: no labels, and a net is trained by them")
    return data
