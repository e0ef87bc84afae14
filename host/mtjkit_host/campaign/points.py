"""Points: the units of work of a campaign, each with a seed of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby, product
from typing import Any

from mtjkit_host.campaign.description import Campaign

POINT_VERSION = 1
"""Of what a point means; a simulator that gives other numbers needs another version."""

ACCURACY = "accuracy"
RRMSE = "rrmse"

_Row = tuple[str, int, str, str, float, int]


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
    """``weights``, ``feature_maps``, one layer's part of them (``weights.0``), or ``none`` for the
    error-free accuracy."""
    errors: str
    """``flip`` or ``keep``; ``flip`` for the error-free accuracy."""
    rate: float
    """Requested error rate of each written bit; 0 for the error-free accuracy."""
    repeat: int
    """Number of the error pattern, from 0."""
    campaign_seed: int
    """The campaign's seed."""
    plan_sha256: str = ""
    """Of the pulse plan that the feature maps are written with; empty for one rate everywhere."""
    chip: int | None = None
    """Seed of the chip whose cells differ; None where all cells are alike."""
    class_limits: tuple[tuple[int, int], ...] = ()
    """Fail limits (down, up) of each class of the chip's cells; their mean is the rate. With a plan
    those of all hidden layers for the first class, then for the next one."""
    cells_before: str = "erased"
    """What cells of feature maps hold before an image, where errors are in them."""

    @property
    def id(self) -> str:
        """64 hexadecimal digits that name the point and nothing else does."""
        canonical = json.dumps({"version": POINT_VERSION, **self.to_json()}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def seed(self) -> int:
        """The point's own seed, 64 bits: the first 16 digits of its `id`."""
        return int(self.id[:16], 16)

    def to_json(self) -> dict[str, Any]:
        """The fields; without a plan, a chip or random bits as before there were any."""
        fields = asdict(self)
        if not self.plan_sha256:
            del fields["plan_sha256"]
        if self.chip is None:
            del fields["chip"], fields["class_limits"]
        if self.cells_before == "erased":
            del fields["cells_before"]
        return fields


@dataclass(frozen=True)
class Planned:
    """What of a net's pulse plan its points follow from."""

    sha256: str
    """Of the plan's file."""
    errors: str
    """``flip`` or ``keep``."""
    rate: float
    """Mean error rate of the written bits."""
    class_limits: tuple[tuple[int, int], ...] = ()
    """On chips: see Point."""
    cells_before: str = "erased"
    """See Point."""


def points_of(
    campaign: Campaign,
    net_sha256: Mapping[str, str],
    data_sha256: Mapping[int, str],
    plans: Mapping[str, Planned] | None = None,
    classes: Mapping[float, tuple[tuple[int, int], ...]] | None = None,
) -> list[Point]:
    """Return the points of a campaign, those of the first repeat first.

    So a campaign that is stopped early has every curve, with fewer repeats.

    Args:
        campaign: the description.
        net_sha256: label -> hash; nets that are not there have no points.
        data_sha256: number of images -> hash of those images and their labels.
        plans: label -> plan, of the nets that have one.
        classes: rate -> fail limits by class of cells, where each repeat is a chip of its own.
    """
    plans = plans or {}
    classes = classes or {}
    grid: list[_Row] = []
    rrmse = campaign.rrmse
    for repeat in range(max(campaign.repeats, rrmse.repeats if rrmse else 0)):
        for memory, errors in product(campaign.memories, campaign.errors):
            if repeat < campaign.repeats:
                for rate in campaign.rates:
                    grid.append((ACCURACY, campaign.images, memory, errors, rate, repeat))
            if rrmse and repeat < rrmse.repeats and memory in campaign.whole_memories:
                for rate in campaign.rrmse_rates:
                    grid.append((RRMSE, rrmse.images, memory, errors, rate, repeat))
    error_free: _Row = (ACCURACY, campaign.images, "none", "flip", 0.0, 0)
    points = []
    nets = [net.label for net in campaign.nets if net.label in net_sha256]
    for repeat, rows in groupby([error_free, *grid], key=lambda row: row[-1]):
        swept = list(rows)
        for net in nets:
            plan = plans.get(net)
            its = swept
            if plan is not None:
                planned = (ACCURACY, campaign.images, "feature_maps", plan.errors, plan.rate)
                its = [error_free] * (repeat == 0)
                its += [(*planned, repeat)] * (repeat < campaign.repeats)
            for kind, images, memory, errors, rate, number in its:
                limits, before = classes.get(rate, ()), campaign.cells_before
                if plan is not None:
                    if before == "erased":  # nobody asked: the plan knows what it is for
                        before = plan.cells_before
                    limits = plan.class_limits if memory != "none" else ()
                points.append(
                    Point(
                        kind=kind,
                        net=net,
                        net_sha256=net_sha256[net],
                        data_sha256=data_sha256[images],
                        images=images,
                        memory=memory,
                        errors=errors,
                        rate=rate,
                        repeat=number,
                        campaign_seed=campaign.seed,
                        plan_sha256=plan.sha256 if plan and memory != "none" else "",
                        chip=(campaign.seed + number) % (1 << 64) if limits else None,
                        class_limits=limits,
                        cells_before=before if memory.startswith("feature_maps") else "erased",
                    )
                )
    return points
