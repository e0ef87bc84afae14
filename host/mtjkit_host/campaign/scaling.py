"""What a campaign's workers add to a point: processes of this machine, and dask's workers.

Times of a busy machine say little, so processor time is measured too: of the process that hands out
the points, which also holds the scheduler of a cluster of our own, and of the workers. Each number
is the difference between a long campaign and a short one, divided by the points that the long one
has more: starting the workers takes no part.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mtjkit_core.errors import ConfigError

from mtjkit_host.campaign.description import Campaign, NetEntry
from mtjkit_host.campaign.runner import run_campaign
from mtjkit_host.paths import CARRIED_IMAGES

SHORT = 40
"""Points of the short campaign."""


@dataclass(frozen=True)
class Scaling:
    """What a point costs."""

    pool: str
    """``processes`` or ``dask``."""
    workers: int
    """How many."""
    images: int
    """Inferences of a point."""
    wall_ms: float
    """Time from one point to the next."""
    hand_out_ms: float
    """Processor time of the process that hands out points, dask's scheduler included."""
    worker_ms: float
    """Processor time of the workers."""

    @property
    def most_points_per_s(self) -> float:
        """Points that one process can hand out in a second, with as many workers as it takes."""
        return 1000 / self.hand_out_ms


def measure_scaling(pool: str, workers: int, points: int, images: int, model: str) -> Scaling:
    """Run a short campaign and a longer one, and compare their times.

    Args:
        pool: ``processes`` or ``dask``.
        workers: how many.
        points: how many points more.
        images: inferences of a point.
        model: a net's file or name.

    Raises:
        ConfigError: the net cannot be used, or dask is missing.
    """
    short = _cost(pool, workers, SHORT, images, model)
    long = _cost(pool, workers, SHORT + points, images, model)
    wall, ours, theirs = (1000 * (b - a) / points for a, b in zip(short, long, strict=True))
    if min(wall, ours, theirs) <= 0:
        raise ConfigError(f"{points} points are too few to measure; take more")
    return Scaling(pool, workers, images, wall, ours, theirs)


def _cost(pool: str, workers: int, points: int, images: int, model: str) -> tuple[float, ...]:
    """Seconds of a campaign: wall, this process's processor time, that of the workers."""
    # The error-free point is one of them.
    one = Campaign(
        "scaling", (NetEntry("net", (model,)),), (0.024,), ("feature_maps",),
        repeats=points - 1, images=images,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        before = _clock()
        run_campaign(
            one,
            data=CARRIED_IMAGES,
            folder=Path(folder),
            workers=workers,
            cluster=f"local:{workers}" if pool == "dask" else "",
        )
        after = _clock()
    return tuple(b - a for a, b in zip(before, after, strict=True))


def _clock() -> tuple[float, float, float]:
    used = os.times()
    workers = used.children_user + used.children_system
    return time.perf_counter(), time.process_time(), workers
