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
from mtjkit_core.chip_errors import ERASED, ChipErrors
from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import COUNTS, WriteErrors, fail_limit
from mtjkit_export.predictions import predictions
from numpy.typing import NDArray

from mtjkit_host.campaign.data import face_of, load_data
from mtjkit_host.campaign.description import place_of
from mtjkit_host.campaign.nets import load_net
from mtjkit_host.campaign.points import RRMSE, Point
from mtjkit_host.campaign.records import Bits, Record
from mtjkit_host.campaign.rrmse import VarianceRatios
from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.mtj.pulse_plan import PulsePlan
from mtjkit_host.runs.options import CELLS_BEFORE, KINDS
from mtjkit_host.simulate.repeated import Native, Repeated, is_native
from mtjkit_host.simulate.simulator import Simulator, open_simulator, run_in_batches

_TRACED = 50  # images of a batch for RRMSE, whose maps are kept

Counts = NDArray[np.int64]


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
def _simulator(path: Path, threads: int) -> Simulator:
    return open_simulator(load_net(path), threads=threads)


@lru_cache(maxsize=1)
def _repeated(simulator: Native, _data_sha256: str, images: int) -> Repeated:
    """What all points of a net and its images have in common: of the last net, to save memory."""
    return Repeated(simulator, images)


def measure(
    point: Point, net: Path, data: Path, plan: PulsePlan | None = None, threads: int = 1
) -> Record:
    """Measure one point.

    Args:
        point: what to measure.
        net: file or run folder of the point's net.
        data: the test images: see `mtjkit_host.datasets.load.load_dataset`.
        plan: the net's pulse plan, if it has one.
        threads: the most that compute it.

    Returns:
        The point's record.
    """
    simulator = _simulator(net, threads)
    images = load_data(data, face_of(simulator.net)).take(point.images, point.campaign_seed)
    return measure_with(simulator, point, images, plan)


def measure_with(
    simulator: Simulator, point: Point, images: Dataset, plan: PulsePlan | None = None
) -> Record:
    """Measure one point.

    Args:
        simulator: of the point's net.
        point: what to measure.
        images: the point's images, with labels.
        plan: the net's pulse plan, if it has one.

    Returns:
        The point's record.
    """
    began = time.perf_counter()
    task = _rrmse if point.kind == RRMSE else _accuracy
    errors = errors_of(point, len(simulator.net.layers), plan)
    found = task(point, simulator, images, errors)
    seconds = round(time.perf_counter() - began, 3)
    return Record(point, fail_limit(point.rate), seconds=seconds, **found)


def errors_of(point: Point, layers: int, plan: PulsePlan | None = None) -> WriteErrors:
    """The error process of a point.

    Args:
        point: what is measured.
        layers: how many layers its net has.
        plan: the net's pulse plan; its limits are taken where the point has it.
    """
    if plan is not None and point.plan_sha256:
        if point.chip is not None:
            pairs, hidden = point.class_limits, layers - 1
            by_class = [pairs[at : at + hidden] for at in range(0, len(pairs), hidden)]
            return _process(point, plan.errors, classes=by_class)
        return _process(point, plan.errors, plan.limits, plan.weight_limits or 0)
    memory, layer = place_of(point.memory)
    count = layers if memory == "weights" else layers - 1

    def spread(pair: tuple[int, int]) -> list[tuple[int, int]]:
        return [pair if layer in (None, number) else (0, 0) for number in range(count)]

    if point.chip is not None:
        classes = [spread(pair) for pair in point.class_limits]
        by_memory = {"weight_classes" if memory == "weights" else "classes": classes}
        return _process(point, point.errors, **by_memory)
    limit = fail_limit(point.rate)
    limits: int | list[tuple[int, int]] = limit if layer is None else spread((limit, limit))
    if memory == "weights":
        return _process(point, point.errors, 0, limits)
    return _process(point, point.errors, limits)


def _process(
    point: Point, kind: str, limits: Any = 0, weight_limits: Any = 0, **classes: Any
) -> WriteErrors:
    """The error process of a point with these limits, on its chip and over what its cells hold."""
    before = CELLS_BEFORE[point.cells_before]
    if point.chip is None and before == ERASED:
        return WriteErrors(point.seed, KINDS[kind], limits, weight_limits)
    return ChipErrors(
        point.seed, KINDS[kind], limits, weight_limits, chip=point.chip, before=before, **classes
    )


def _in_weights(point: Point) -> bool:
    return place_of(point.memory)[0] == "weights"


def _stored(point: Point, simulator: Simulator, errors: WriteErrors) -> tuple[Simulator, Counts]:
    """The net with the weights that the point's cells hold, and what writing them counted."""
    nothing = np.zeros(len(COUNTS), np.int64)
    if not errors.weights_fail:
        return simulator, nothing
    stored, counts = simulator.program(errors)
    if not counts[COUNTS.index("wrong")]:
        stored = simulator  # the cells hold the net as it is
    return stored, counts if _in_weights(point) else nothing


def _accuracy(
    point: Point, simulator: Simulator, data: Dataset, errors: WriteErrors
) -> dict[str, Any]:
    stored, total = _stored(point, simulator, errors)
    if stored is simulator and is_native(simulator):
        stored = _repeated(simulator, data.sha256, len(data))
    correct = 0
    labels = data.labels
    if labels is None:
        raise ConfigError(f"{data.source}: a campaign needs labels")
    for batch in run_in_batches(stored, data.images, errors):
        correct += int((predictions(stored.net, batch.scores) == labels[batch.at]).sum())
        if not _in_weights(point):
            total += batch.counts.sum(axis=0)
    return {"correct": correct, "accuracy": correct / len(data), "bits": _bits(total)}


def _rrmse(
    point: Point, simulator: Simulator, data: Dataset, errors: WriteErrors
) -> dict[str, Any]:
    stored, total = _stored(point, simulator, errors)
    ratios = VarianceRatios()
    clean = run_in_batches(simulator, data.images, size=_TRACED, traced=True)
    changed = run_in_batches(stored, data.images, errors, size=_TRACED, traced=True)
    for before, after in zip(clean, changed, strict=True):
        ratios.add(simulator.elements(before.trace), stored.elements(after.trace))
        if not _in_weights(point):
            total += after.counts.sum(axis=0)
    layers = [0.0, *ratios.ratios()]  # the first layer's input is the image
    rrmse = ratios.rrmse()
    found = {
        "rrmse": rrmse if math.isfinite(rrmse) else None,
        "rrmse_by_layer": tuple(math.sqrt(v) if math.isfinite(v) else None for v in layers),
    }
    return found | {"bits": _bits(total)}


def _bits(counts: Counts) -> Bits:
    return Bits(**dict(zip(COUNTS, counts.tolist(), strict=True)))
