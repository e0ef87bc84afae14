"""One run from options to result, the same for every backend that classifies images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from mtjkit_core.model import Model
from mtjkit_core.write_errors import COUNTS
from mtjkit_export.formats.mtjb_reader import load
from numpy.typing import NDArray

from mtjkit_host.datasets.dataset import Dataset
from mtjkit_host.datasets.images import images_for, load_images, to_input
from mtjkit_host.link.image_result import ImageResult
from mtjkit_host.progress import Steps, bar
from mtjkit_host.runs.options import RunOptions
from mtjkit_host.runs.result import Result
from mtjkit_host.simulate.simulator import open_simulator, program, run_in_batches


@dataclass(frozen=True)
class Job:
    """A run, with its files read and checked."""

    options: RunOptions
    """What was asked for."""
    model: Model
    """The model as its file has it."""
    images: Dataset
    """The images and their labels, as the model takes them."""
    inputs: NDArray[np.int8]
    """(n, height, width, channels), as the device takes them."""


@dataclass(frozen=True)
class Begun:
    """What a backend says once it has the model."""

    kernel: str
    """The kernel that it runs."""
    weight_bits: tuple[int, int]
    """Weight bits written and wrong."""
    resumed: int = 0
    """Images whose results an earlier part of the run has left."""


class Backend(Protocol):
    """Something that classifies a job's images: the twin, or a session with a device."""

    name: str
    """twin, serial, or the name of a board."""

    def program(self, job: Job, progress: Callable[[int, int], None]) -> Begun:
        """Take the model, its weight errors included; reports (bytes sent, bytes in all)."""
        ...

    def results(self, job: Job) -> Iterator[ImageResult]:
        """Classify every image once, in any order."""
        ...

    def error_free(self, job: Job) -> bool:
        """Whether the scores are by construction those of the simulator without errors."""
        ...


def prepare(options: RunOptions, images: Any = None) -> Job:
    """Read the model and the images; what a user must know of the images goes to stderr.

    Args:
        options: what was asked for.
        images: a program's own, instead of `options.data`: see
            `mtjkit_host.datasets.images.images_for`.

    Raises:
        ConfigError, FormatError: one of them cannot be used.
        LinkError: a data set cannot be fetched.
    """
    o = options
    model = load(o.model)
    if images is None:
        data = load_images(o.data, model, o.images, o.seed)
    else:
        data = images_for(images, model, o.images, o.seed)
    data.told()
    return Job(o, model, data, to_input(model, data.images))


class TwinBackend:
    """The host's own arithmetic."""

    name = "twin"

    def program(self, job: Job, progress: Callable[[int, int], None]) -> Begun:
        """Write the weights, with their errors."""
        o = job.options
        model, counts = program(job.model, o.write_errors)
        self._simulator = open_simulator(model)
        written, _, wrong, *_ = counts.tolist()
        return Begun(self._simulator.engine, (written, wrong))

    def error_free(self, job: Job) -> bool:
        """Where no write can fail: the scores are the simulator's own."""
        return not job.options.write_errors.can_fail

    def results(self, job: Job) -> Iterator[ImageResult]:
        """Classify the images in order."""
        began = time.perf_counter()
        for batch in run_in_batches(self._simulator, job.inputs, job.options.write_errors):
            us = (time.perf_counter() - began) * 1e6 / len(batch.scores)
            rows = zip(batch.scores, batch.counts, strict=True)
            for index, (scores, counts) in enumerate(rows, batch.at.start):
                yield ImageResult(index, scores, counts, us)
            began = time.perf_counter()


def run_twin(options: RunOptions, images: Any = None) -> Result:
    """Classify the images on the host alone.

    Args:
        options: what to run.
        images: a program's own images instead of `options.data`: a
            `mtjkit_host.datasets.dataset.Dataset`, an array uint8 or int8 (n, height, width,
            channels), (n, height, width) or (n, features), or a pair of an array and labels
            (n,). int8 is taken as it is, uint8 through the model's pixel rule.

    Raises:
        ConfigError, FormatError: the options, the model or the images cannot be used.
    """
    return collect(prepare(options, images), TwinBackend())


def collect(job: Job, backend: Backend) -> Result:
    """Have a backend classify a job's images, behind a progress bar; returns the result."""
    n = len(job.images)
    scores = np.zeros((n, job.model.classes), np.int32)
    bits = np.zeros((n, len(COUNTS)), np.int64)
    us = np.zeros(n)
    with bar() as shown:
        step = Steps(backend.name, shown)

        def sent(done: int, size: int) -> None:
            if done < size:
                step("model", done, size)
            else:
                step("model arrives, first image")

        step("starting")
        begun = backend.program(job, sent)
        began = time.perf_counter()
        for done, result in enumerate(backend.results(job), 1):
            scores[result.index] = result.scores
            bits[result.index] = result.counts
            us[result.index] = result.device_us
            step("", done, n, "images")
        seconds = time.perf_counter() - began
    return Result(
        backend=backend.name,
        kernel=begun.kernel,
        options=job.options,
        model=job.model,
        images=job.images,
        scores=scores,
        error_free_scores=_error_free_scores(job, backend, scores),
        bits=tuple(bits.sum(axis=0).tolist()),
        weight_bits=begun.weight_bits,
        seconds=seconds,
        resumed=begun.resumed,
        device_us_per_image=float(us.mean()),
        device_us_median=float(np.median(us)),
    )


def _error_free_scores(job: Job, backend: Backend, scores: NDArray[np.int32]) -> NDArray[np.int32]:
    """Scores of the twin without errors; `scores` are the run's."""
    if backend.error_free(job):
        return scores
    return open_simulator(job.model).run(job.inputs)[0]
