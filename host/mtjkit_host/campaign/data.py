"""The data of a campaign: the same images and labels for each of its nets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export.nets.fixed import FixedNet

from mtjkit_host.campaign.description import Campaign
from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.datasets.images import class_names, load_images, outcomes


@dataclass(frozen=True)
class Face:
    """What of a net decides how its images are loaded: a `mtjkit_host.datasets.images.Net`."""

    name: str = field(compare=False)
    """What messages call it; nets that differ in nothing else share their images."""
    input_shape: tuple[int, int, int]
    """(height, width, channels)."""
    classes: int
    """Number of classes."""
    class_names: tuple[str, ...]
    """Names of the classes; empty for none."""


def face_of(net: Model | FixedNet) -> Face:
    """A net's face."""
    height, width, channels = net.input_shape
    return Face(net.name, (height, width, channels), outcomes(net), class_names(net))


@lru_cache(maxsize=2)
def load_data(path: Path, face: Face) -> Dataset:
    """All images of a path as a net takes them; errors as those of `load_images`."""
    return load_images(path, face)


def data_hashes(
    campaign: Campaign, path: Path, nets: Mapping[str, Face]
) -> tuple[dict[int, str], tuple[str, ...]]:
    """Hash the images and labels that each kind of point uses.

    Args:
        campaign: says how many images.
        path: the data set.
        nets: label -> the net's face.

    Returns:
        Number of images -> hash; and the remarks on the data.

    Raises:
        ConfigError: the data have no labels, too few images, or do not fit a net; or two nets would
            get different images.
    """
    counts = {campaign.images} | ({campaign.rrmse.images} if campaign.rrmse else set())
    hashes: dict[int, str] = {}
    remarks: dict[str, None] = {}
    first = ""
    for label, face in nets.items():
        data = load_data(path, face)
        if data.labels is None:
            why = " ".join(data.remarks)
            raise ConfigError(f"campaign {campaign.name}: needs labels, {path} has none ({why})")
        if max(counts) > len(data):
            raise ConfigError(
                f"campaign {campaign.name}: {max(counts)} images asked for, {path} has {len(data)}"
            )
        found = {n: data.take(n, campaign.seed).sha256 for n in counts}
        if hashes and found != hashes:
            raise ConfigError(
                f"campaign {campaign.name}: {label} takes other images or labels of {path} than "
                f"{first}: their inputs or classes differ; put them into campaigns of their own"
            )
        hashes, first = found, first or label
        remarks.update(dict.fromkeys(data.remarks))
    return hashes, tuple(remarks)
