"""One point's measurement, in a process of the campaign's pool."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_core.write_errors import COUNTS, WriteErrors, fail_limit

from mtjkit_host.campaign.description import ERRORS
from mtjkit_host.campaign.nets import Maps, Simulator, load_net
from mtjkit_host.campaign.points import RRMSE, Point
from mtjkit_host.campaign.records import Bits, Record
from mtjkit_host.campaign.rrmse import VarianceRatios
from mtjkit_host.datasets import cifar10
from mtjkit_host.datasets.dataset import load_dataset

_BATCH = 250  # images; for RRMSE fewer, since their maps are kept
_TRACED = 50


def start(campaign: Connection) -> None:
    """Make this process a worker: silent on Ctrl-C, gone when the campaign is.

    Args:
        campaign: a pipe whose other end the campaign has, and closes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(campaign,), daemon=True).start()


def _leave_with(campaign: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        campaign.recv()
    os._exit(1)


@lru_cache(maxsize=4)
def _net(path: Path) -> Simulator:
    return load_net(path)


@lru_cache(maxsize=1)
def _data(path: Path) -> tuple[cifar10.Images, cifar10.Labels]:
    data = load_dataset(path)
    return data.images, data.labels


def measure(point: Point, net: Path, data: Path) -> Record:
    """Measure one point.

    Args:
        point: what to measure.
        net: file or run folder of the point's net.
        data: the test images' file or folder.

    Returns:
        The point's record.
    """
    began = time.perf_counter()
    images, labels = _data(data)
    simulator = _net(net)
    task = _rrmse if point.kind == RRMSE else _accuracy
    found = task(point, simulator, images[: point.images], labels[: point.images])
    seconds = round(time.perf_counter() - began, 3)
    return Record(point, fail_limit(point.rate), seconds=seconds, **found)


def errors_of(point: Point) -> WriteErrors:
    """The error process of a point."""
    limit = fail_limit(point.rate)
    of_weights = point.memory == "weights"
    kind = ERRORS[point.errors]
    return WriteErrors(point.seed, kind, 0 if of_weights else limit, limit if of_weights else 0)


def _faulty(point: Point, simulator: Simulator) -> tuple[Simulator, int, int]:
    """The net with the point's weights, their bits written and wrong."""
    if point.memory != "weights":
        return simulator, 0, 0
    return simulator.corrupted(errors_of(point))


def _accuracy(
    point: Point, simulator: Simulator, images: cifar10.Images, labels: cifar10.Labels
) -> dict[str, Any]:
    faulty, written, wrong = _faulty(point, simulator)
    correct = 0
    bits = np.zeros(len(COUNTS), np.int64)
    for at in range(0, len(images), _BATCH):
        scores, counts = faulty.run(images[at : at + _BATCH], at, errors_of(point))
        correct += int((scores.argmax(axis=1) == labels[at : at + _BATCH]).sum())
        bits += counts
    found = {"correct": correct, "accuracy": correct / len(images)}
    return found | {"bits": _bits(point, bits, written, wrong)}


def _rrmse(
    point: Point, simulator: Simulator, images: cifar10.Images, labels: cifar10.Labels
) -> dict[str, Any]:
    faulty, written, wrong = _faulty(point, simulator)
    ratios = VarianceRatios()
    bits = np.zeros(len(COUNTS), np.int64)
    for at in range(0, len(images), _TRACED):
        clean: list[Maps] = []
        changed: list[Maps] = []
        some = images[at : at + _TRACED]
        simulator.run(some, at, maps=clean)
        _, counts = faulty.run(some, at, errors_of(point), maps=changed)
        bits += counts
        for good, bad in zip(clean, changed, strict=True):
            ratios.add(good, bad)
    layers = [0.0, *ratios.ratios()]  # the first layer's input is the image
    total = ratios.rrmse()
    found = {
        "rrmse": total if math.isfinite(total) else None,
        "rrmse_by_layer": tuple(math.sqrt(v) if math.isfinite(v) else None for v in layers),
    }
    return found | {"bits": _bits(point, bits, written, wrong)}


def _bits(
    point: Point, maps: npt.NDArray[np.int64], weights_written: int, weights_wrong: int
) -> Bits:
    """The bits of the memory that has the errors."""
    if point.memory == "weights":
        return Bits(weights_written, wrong=weights_wrong)
    return Bits(**dict(zip(COUNTS, maps.tolist(), strict=True)))
