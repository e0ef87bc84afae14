"""How a campaign stands while it runs, for who watches it from another thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mtjkit_host.campaign.description import where
from mtjkit_host.campaign.records import Record


@dataclass
class Worker:
    """What one worker has done in this run of a campaign."""

    points: int = 0
    """Points measured."""
    seconds: float = 0.0
    """Wall time of its measurements."""
    last: str = ""
    """Its last point in a few words."""


@dataclass
class Standing:
    """How a campaign stands; the runner writes it, others read."""

    result: Callable[[], Any]
    """Makes the `CampaignResult` so far."""
    points: int
    """Points in all."""
    before: int
    """Points that were there when this run began."""
    measured: int = 0
    """Points that this run has measured."""
    running: int = 0
    """Points handed out and not yet back."""
    workers: dict[str, Worker] = field(default_factory=dict)
    """By name: a process of this machine, a worker of a cluster, a board."""
    began: float = field(default_factory=time.monotonic)
    """When this run began, of `time.monotonic`."""

    def took(self, worker: str, record: Record, running: int) -> None:
        """A worker's record came; `running` points are still out."""
        point = record.point
        its = self.workers.setdefault(worker, Worker())
        its.points += 1
        its.seconds += record.seconds
        its.last = f"{point.net}, {where(point.memory)}, {100 * point.rate:.3g} %"
        self.running = running
        self.measured += 1

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values; `left_s` is None before the first record."""
        elapsed = time.monotonic() - self.began
        left = self.points - self.before - self.measured
        return {
            "points": self.points,
            "done": self.before + self.measured,
            "running": self.running,
            "elapsed_s": elapsed,
            "left_s": elapsed / self.measured * left if self.measured else None,
            "workers": [
                {"name": name, "points": w.points, "seconds": w.seconds, "last": w.last}
                for name, w in sorted(self.workers.copy().items(), key=_in_order)
            ],
        }


def _in_order(item: tuple[str, Worker]) -> tuple[int, str]:
    """Process 2 before process 10."""
    return len(item[0]), item[0]
