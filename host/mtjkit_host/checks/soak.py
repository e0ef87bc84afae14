"""The fault test: many images through a line that loses things, to a device that dies."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors, fail_limit
from mtjkit_export.formats.mtjb_reader import load
from numpy.typing import NDArray

from mtjkit_host.checks.faulty_line import FaultyPort
from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.link.fleet import Fleet, Patience
from mtjkit_host.link.image_result import ImageResult
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.progress import bar
from mtjkit_host.simulate.simulator import open_simulator

RATE = 1e-3
"""Probability that a byte is struck, each way."""
IMAGES_PER_KILL = 500
MAX_IMAGES = 1_000_000
"""All results are kept, to be compared at the end."""

_BATCH = 500  # images that the twin takes at once
_PATIENCE = Patience(silent_s=20.0, hello_s=20.0, away_s=120.0)


@dataclass(frozen=True)
class SoakResult:
    """What a soak found."""

    images: int
    """Images asked for."""
    correct: int
    """Results equal to the twin's, scores and counts."""
    lost: int
    """Images without a result."""
    duplicated: int
    """Results that came twice."""
    kills: int
    """How often the device was killed: resets and pulled cables."""
    faults: int
    """Bytes or pieces struck on the line."""
    faults_by_kind: dict[str, int]
    """The same, by kind."""
    byte_fault_rate: float
    """Probability that a byte was struck, each way."""
    connections: int
    """How often the device was reached."""
    seconds: float
    """Time it took."""
    images_per_s: float
    """Throughput under these faults."""

    @property
    def passed(self) -> bool:
        """True if every image has its one right result."""
        return self.correct == self.images and not self.lost and not self.duplicated


def soak(
    images: int = 10_000,
    rate: float = RATE,
    kills: int | None = None,
    seed: int = 0,
) -> SoakResult:
    """Classify the carried images again and again, under new indices, and compare with the twin.

    Args:
        images: how many, 1 .. MAX_IMAGES.
        rate: probability that a byte is struck, each way, 0 .. 0.01.
        kills: how often the device is killed; None for one in 500 images, at least one.
        seed: of faults and kills, and of the memory.

    Raises:
        ConfigError: an argument is out of range.
        LinkError: the device could not be reached any more.
    """
    if not 1 <= images <= MAX_IMAGES:
        raise ConfigError(f"soak takes 1 to {MAX_IMAGES} images, not {images}")
    if not 0 <= rate <= 0.01:
        raise ConfigError(f"the byte-fault rate lies between 0 and 0.01, not {rate}")
    if kills is None:
        kills = max(1, images // IMAGES_PER_KILL)
    if not 0 <= kills <= images:
        raise ConfigError(f"{kills} kills; 0 to the number of images are possible")
    model = load(CARRIED_MODEL)
    inputs = to_input(model, load_images(CARRIED_IMAGES, model).images)
    errors = WriteErrors(seed, limits=fail_limit(0.024))
    return soak_these(model, inputs, errors, images, rate, kills, seed)


def soak_these(
    model: Model,
    inputs: NDArray[np.int8],
    errors: WriteErrors,
    images: int,
    rate: float,
    kills: int,
    seed: int,
) -> SoakResult:
    """The same for any model and int8 inputs (N, height, width, channels), behind a bar."""
    generator = random.Random(seed)
    kill_at = set(generator.sample(range(images), kills))  # while these are on their way
    port = FaultyPort(rate, seed)
    fleet = Fleet([port], bytes(model.data), errors, patience=_PATIENCE)
    results: dict[int, ImageResult] = {}
    duplicated = 0

    def taken(index: int) -> None:
        if index in kill_at:
            kill_at.discard(index)
            port.kill(keep_line=generator.random() < 0.5)

    again = {index: inputs[index % len(inputs)] for index in range(images)}
    began = time.perf_counter()
    with bar() as progress:
        task = progress.add_task("soak", total=images, unit="images")
        for result in fleet.classify(again, taken):
            duplicated += result.index in results
            results[result.index] = result
            progress.update(task, completed=len(results))
    seconds = time.perf_counter() - began
    both = {k: sum(f.counts[k] for f in port.faults) for k in port.faults[0].counts}
    return SoakResult(
        images=images,
        correct=_correct(model, inputs, errors, results),
        lost=images - len(results),
        duplicated=duplicated,
        kills=port.kills,
        faults=sum(both.values()),
        faults_by_kind=both,
        byte_fault_rate=rate,
        connections=fleet.connections,
        seconds=seconds,
        images_per_s=images / seconds,
    )


def _correct(
    model: Model,
    inputs: NDArray[np.int8],
    errors: WriteErrors,
    results: dict[int, ImageResult],
) -> int:
    """Number of results that the twin finds too."""
    simulator = open_simulator(model)
    indices = np.array(sorted(results), np.uint32)
    correct = 0
    for at in range(0, len(indices), _BATCH):
        some = indices[at : at + _BATCH]
        scores, counts = simulator.run(inputs[some % len(inputs)], some, errors)
        for k, index in enumerate(some.tolist()):
            same = np.array_equal(results[index].scores, scores[k])
            correct += same and np.array_equal(results[index].counts, counts[k])
    return correct


def describe(result: SoakResult) -> str:
    """A result as text."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in result.faults_by_kind.items())
    return (
        f"images {result.images}: {result.correct} equal to the twin's, {result.lost} lost, "
        f"{result.duplicated} doubled\n"
        f"faults {result.faults} at {result.byte_fault_rate:g} a byte: {kinds}\n"
        f"kills {result.kills}, the device reached {result.connections} times\n"
        f"{result.images_per_s:.1f} images/s under these faults ({result.seconds:.1f} s)"
    )
