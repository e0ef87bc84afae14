"""Points: the units of work of a campaign, each with a seed of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby, product

from mtjkit_host.campaign.description import Campaign

POINT_VERSION = 1
"""Of what a point means; a simulator that gives other numbers needs another version."""

ACCURACY = "accuracy"
RRMSE = "rrmse"


@dataclass(frozen=True)
class Point:
    """One measurement. Everything that its result follows from."""

    kind: str
    """`ACCURACY` or `RRMSE`."""
    net: str
    """Label of the net."""
    net_sha256: str
    """Of the net's file."""
    data_sha256: str
    """Of the images and labels used."""
    images: int
    """How many images of the data."""
    memory: str
    """``weights``, ``feature_maps``, or ``none`` for the error-free accuracy."""
    errors: str
    """``flip`` or ``keep``; ``flip`` for the error-free accuracy."""
    rate: float
    """Requested error rate of each written bit; 0 for the error-free accuracy."""
    repeat: int
    """Number of the error pattern, from 0."""
    campaign_seed: int
    """The campaign's seed."""

    @property
    def id(self) -> str:
        """64 hexadecimal digits that name the point and nothing else does."""
        canonical = json.dumps({"version": POINT_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def seed(self) -> int:
        """The point's own seed, 64 bits: the first 16 digits of its `id`."""
        return int(self.id[:16], 16)


def points_of(
    campaign: Campaign, net_sha256: Mapping[str, str], data_sha256: Mapping[int, str]
) -> list[Point]:
    """Return the points of a campaign, those of the first repeat first.

    So a campaign that is stopped early has every curve, with fewer repeats.

    Args:
        campaign: the description.
        net_sha256: label -> hash; nets that are not there have no points.
        data_sha256: number of images -> hash of those images and their labels.
    """
    nets = [net.label for net in campaign.nets if net.label in net_sha256]

    grid: list[tuple[str, int, str, str, float, int]] = []
    rrmse = campaign.rrmse
    for repeat in range(max(campaign.repeats, rrmse.repeats if rrmse else 0)):
        for memory, errors in product(campaign.memories, campaign.errors):
            if repeat < campaign.repeats:
                for rate in campaign.rates:
                    grid.append((ACCURACY, campaign.images, memory, errors, rate, repeat))
            if rrmse and repeat < rrmse.repeats:
                for rate in campaign.rrmse_rates:
                    grid.append((RRMSE, rrmse.images, memory, errors, rate, repeat))
    error_free = [(ACCURACY, campaign.images, "none", "flip", 0.0, 0)]
    return [
        Point(
            kind=kind,
            net=net,
            net_sha256=net_sha256[net],
            data_sha256=data_sha256[images],
            images=images,
            memory=memory,
            errors=errors,
            rate=rate,
            repeat=repeat,
            campaign_seed=campaign.seed,
        )
        for _, rows in groupby(error_free + grid, key=lambda row: row[-1])
        for net, (kind, images, memory, errors, rate, repeat) in product(nets, list(rows))
    ]
