"""One run from options to result, the same for every backend that classifies images."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from mtjkit_core.model import Model
from mtjkit_export.reader import load
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mtjkit_host.images import ImageSet, load_images, to_input
from mtjkit_host.options import RunOptions
from mtjkit_host.result import Result
from mtjkit_host.twin import Twin, corrupt_weights

_BATCH = 250  # images that the twin takes between two steps of the progress bar


@dataclass(frozen=True)
class Job:
    """A run, with its files read and checked."""

    options: RunOptions
    """What was asked for."""
    model: Model
    """The model as its file has it."""
    images: ImageSet
    """The images and their labels."""
    inputs: NDArray[np.int8]
    """(n, height, width, channels), as the device takes them."""


@dataclass(frozen=True)
class Outcome:
    """What a backend found for one image."""

    index: int
    """Index of the image in the data."""
    scores: NDArray[np.int32]
    """(classes,)."""
    bits: tuple[int, int, int]
    """Feature-map bits written, toggled, wrong."""
    device_us: float
    """Time in the engine, microseconds."""


class Backend(Protocol):
    """Something that classifies a job's images: the twin, or a session with a device."""

    name: str
    """unix, twin, serial, mps2-an385, mps2-an500 or pico."""
    kernel: str
    """The kernel that runs."""
    weight_bits: tuple[int, int]
    """Weight bits written and wrong."""

    def outcomes(self) -> Iterator[Outcome]:
        """Classify every image once, in any order."""
        ...


def prepare(options: RunOptions) -> Job:
    """Read the model and the images.

    Raises:
        ConfigError, FormatError: one of them cannot be used.
    """
    model = load(options.model)
    images = load_images(options.data, model, options.images)
    return Job(options, model, images, to_input(model, images.pixels))


class TwinBackend:
    """The host's own arithmetic, weight errors included."""

    name = "twin"

    def __init__(self, job: Job) -> None:
        o = job.options
        self._job = job
        data, *bits = corrupt_weights(job.model, o.seed, o.weight_threshold, o.error_kind)
        self.weight_bits = (bits[0], bits[1])
        self._twin = Twin(Model(data, check_crc=False))
        self.kernel = self._twin.kernel

    def outcomes(self) -> Iterator[Outcome]:
        """Classify the images in order."""
        o, inputs = self._job.options, self._job.inputs
        for at in range(0, len(inputs), _BATCH):
            some = inputs[at : at + _BATCH]
            began = time.perf_counter()
            scores, bits = self._twin.run(
                some,
                np.arange(at, at + len(some), dtype=np.uint32),
                o.seed,
                o.threshold,
                o.error_kind,
            )
            us = (time.perf_counter() - began) * 1e6 / len(some)
            for k in range(len(some)):
                written, toggled, wrong = bits[k].tolist()
                yield Outcome(at + k, scores[k], (written, toggled, wrong), us)


def run_twin(options: RunOptions) -> Result:
    """Classify the images on the host alone.

    Raises:
        ConfigError, FormatError: the options, the model or the images cannot be used.
    """
    job = prepare(options)
    return collect(job, TwinBackend(job))


def collect(job: Job, backend: Backend) -> Result:
    """Take a backend's outcomes, behind a progress bar, and make the result of them."""
    n = len(job.images)
    scores = np.zeros((n, job.model.classes), np.int32)
    bits = np.zeros((n, 3), np.int64)
    us = np.zeros(n)
    began = time.perf_counter()
    with _progress() as progress:
        task = progress.add_task(backend.name, total=n)
        for outcome in backend.outcomes():
            scores[outcome.index] = outcome.scores
            bits[outcome.index] = outcome.bits
            us[outcome.index] = outcome.device_us
            progress.advance(task)
    seconds = time.perf_counter() - began
    written, toggled, wrong = bits.sum(axis=0).tolist()
    return Result(
        backend=backend.name,
        kernel=backend.kernel,
        options=job.options,
        model=job.model,
        images=job.images,
        scores=scores,
        error_free_scores=_error_free_scores(job, backend, scores),
        bits=(written, toggled, wrong),
        weight_bits=backend.weight_bits,
        seconds=seconds,
        device_us_per_image=float(us.mean()),
    )


def _error_free_scores(job: Job, backend: Backend, scores: NDArray[np.int32]) -> NDArray[np.int32]:
    """Scores of the twin without errors; `scores` are the run's."""
    o = job.options
    if isinstance(backend, TwinBackend) and o.threshold == o.weight_threshold == 0:
        return scores
    return Twin(job.model).run(job.inputs, np.arange(len(job.inputs), dtype=np.uint32))[0]


class _Speed(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} images/s" if task.speed else "")


def _progress() -> Progress:
    """A bar on stderr, on a terminal only: results go to stdout, and logs stay readable."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
