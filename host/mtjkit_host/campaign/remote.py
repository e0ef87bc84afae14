"""What a worker of a cluster does: it measures points with nets and images that it was sent.

Workers share no disk with the campaign. A net and the images come once to each worker, under their
SHA-256, and are kept.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field, replace
from functools import lru_cache

from mtjkit_core.errors import ConfigError, FormatError, LinkError, MtjkitError
from mtjkit_core.model import Model
from mtjkit_export.nets.fixed import FixedNet

from mtjkit_host.campaign.build import Build, this_build
from mtjkit_host.campaign.measure import measure_with
from mtjkit_host.campaign.nets import sha256_of
from mtjkit_host.campaign.on_board import BoardSimulator, port_of
from mtjkit_host.campaign.points import Point
from mtjkit_host.campaign.records import Record
from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.mtj.pulse_plan import PulsePlan
from mtjkit_host.simulate.simulator import Simulator, open_simulator

PORT = "MTJKIT_PORT"
"""The environment variable of a worker that names the port of its board: see `port_of`."""

BOARD = "board"
"""The resource of a worker that has a board."""


@dataclass(frozen=True)
class Content:
    """A net or images, known by their hash: two of the same hash are equal."""

    sha256: str
    """Of the net's file, or of the images and labels."""
    value: bytes | FixedNet | Dataset = field(compare=False, repr=False)
    """The bytes of a model file, a fixed-point net, or the images."""


@dataclass(frozen=True)
class Task:
    """What a worker is asked for."""

    build: Build
    """What measures the other points."""
    point: Point
    """The point."""
    plan: PulsePlan | None
    """The net's pulse plan, if it has one."""
    on_board: bool
    """Whether the worker's board measures it."""


@dataclass(frozen=True)
class Refusal:
    """A board does not measure a point."""

    worker: str
    """Address of the board's worker."""
    board: str
    """What messages call the board."""
    reason: str
    """One line."""
    gone: bool
    """Whether the board does not answer; else it cannot run this net."""


def measure_there(task: Task, net: Content, images: Content, worker: str) -> Record | Refusal:
    """Measure a point on this worker.

    Args:
        task: what to measure.
        net, images: what to measure with.
        worker: this worker's address.

    Raises:
        ConfigError: this worker runs another mtjkit than the campaign.
        LinkError: the net or the images have arrived damaged.
    """
    check_build(task.build, this_build(), _named(worker))
    simulator, dataset = _simulator(net), _images(images)
    if task.on_board:
        return _on_board(task, simulator, dataset, worker)
    record = measure_with(simulator, task.point, dataset, task.plan)
    return replace(record, where=_named(worker))


def check_build(expected: Build, found: Build, worker: str) -> None:
    """Raise ConfigError unless a worker runs what the campaign runs; the worker is named."""
    if found != expected:
        raise ConfigError(
            f"{worker} runs {found}, this campaign {expected}: install the same mtjkit on both"
        )


def _named(worker: str) -> str:
    return f"worker {worker} on {socket.gethostname()}"


def _on_board(task: Task, simulator: Simulator, images: Dataset, worker: str) -> Record | Refusal:
    name = os.environ.get(PORT, "")
    board = f"board {name or '?'} of {_named(worker)}"
    try:
        if not name:
            raise LinkError(
                f"the environment variable {PORT} names the board's port; it is not set"
            )
        if not isinstance(simulator.net, Model):
            raise ConfigError("boards compute binary nets")
        there = BoardSimulator(port_of(name), simulator.net)
        record = measure_with(there, task.point, images, task.plan)
    except MtjkitError as error:
        cannot = isinstance(error, (ConfigError, FormatError))
        return Refusal(worker, board, str(error), not cannot)
    return replace(record, where=board)


@lru_cache(maxsize=8)
def _simulator(net: Content) -> Simulator:
    value = net.value
    if isinstance(value, Dataset):
        raise LinkError("images came in the place of a net")
    loaded = value if isinstance(value, FixedNet) else Model(value)
    if sha256_of(loaded) != net.sha256:
        raise LinkError(f"a net has arrived damaged: its SHA-256 is not {net.sha256[:16]}...")
    return open_simulator(loaded, threads=1)


@lru_cache(maxsize=4)
def _images(images: Content) -> Dataset:
    value = images.value
    if not isinstance(value, Dataset) or value.sha256 != images.sha256:
        raise LinkError(f"images have arrived damaged: SHA-256 is not {images.sha256[:16]}...")
    return value
