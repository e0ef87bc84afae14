"""TFLite files in an interpreter: scores, accuracy, latency. Needs the extra ``tflite``.

`python -m mtjkit_export.formats.tflite.run MODEL IMAGES.npy SCORES.npy [KERNELS]` does the same
in an environment of another interpreter: this module takes ai-edge-litert or else tflite-runtime,
and works with numpy 1.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from numpy.typing import NDArray

from mtjkit_export.needs import missing
from mtjkit_export.nets.fixed import PIXEL_ZERO

KERNELS = {
    "default": "AUTO",
    "optimized": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
"""Name -> the interpreter's resolver: its own choice (XNNPACK where it takes the operators),
TFLite's optimized kernels, TFLite's reference kernels. How they round: TFLITE.md."""


@dataclass(frozen=True)
class Measurement:
    """Accuracy, and how long one image takes, alone, in milliseconds of wall time."""

    images: int
    """Images that ran."""
    correct: int
    """Images whose highest score (lowest class on a tie) is right."""
    median_ms: float
    """Median over the images."""
    low_ms: float
    """10th percentile."""
    high_ms: float
    """90th percentile."""
    threads: int
    """Threads of the interpreter."""
    kernels: str
    """A name of `KERNELS`."""
    interpreter: str
    """Package and version."""

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.correct / self.images


def run_tflite(
    path: str | os.PathLike[str], images: NDArray[np.uint8], kernels: str = "default"
) -> NDArray[np.float32]:
    """Classify images with a file that `mtjkit_export.formats.tflite.convert` wrote.

    Args:
        path: the file.
        images: uint8 (n, side, side, channels) RGB.
        kernels: a name of `KERNELS`.

    Returns:
        Scores (n, classes): sums of values, those of a simulator of the net.

    Raises:
        ConfigError: no interpreter is installed, the file cannot be read, or the images do not
            fit it.
        FormatError: the file is not a TFLite model.
    """
    model = _Model(path, kernels, 1)
    scores = np.empty((len(images), model.classes), np.float32)
    for index, image in enumerate(model.inputs(images)):
        scores[index] = model(image)
    return scores


def measure_tflite(
    path: str | os.PathLike[str],
    images: NDArray[np.uint8],
    labels: NDArray[np.integer[Any]],
    threads: int = 1,
    kernels: str = "default",
    warm_up: int = 10,
) -> Measurement:
    """Classify images one by one and time each: copying in, running, copying the scores out.

    Args:
        path, images, kernels: as in `run_tflite`; at least one image.
        labels: (n,).
        threads: of the interpreter.
        warm_up: images that run once before, untimed.

    Raises:
        ConfigError, FormatError: as `run_tflite`.
    """
    model = _Model(path, kernels, threads)
    inputs = model.inputs(images)
    if not len(inputs) or labels.shape != (len(inputs),):
        raise ConfigError(f"{len(inputs)} images with {labels.size} labels cannot be measured")
    for image in inputs[:warm_up]:
        model(image)
    times, correct = np.empty(len(inputs)), 0
    for index, image in enumerate(inputs):
        start = time.perf_counter()
        scores = model(image)
        times[index] = time.perf_counter() - start
        correct += int(scores.argmax() == labels[index])
    low, median, high = (float(value) for value in np.percentile(1e3 * times, (10, 50, 90)))
    return Measurement(
        len(inputs), correct, median, low, high, threads, kernels, interpreter_version()
    )


def interpreter_version() -> str:
    """Return the interpreter's package and version; raises ConfigError when there is none."""
    from importlib.metadata import version

    package = _interpreter().__name__.split(".")[0].replace("_", "-")
    return f"{package} {version(package)}"


def _interpreter() -> Any:
    """Return the module that has Interpreter and OpResolverType."""
    try:
        from ai_edge_litert import interpreter
    except ImportError:
        with contextlib.suppress(ImportError):
            from tflite_runtime import interpreter

            return interpreter
        raise ConfigError(missing("ai_edge_litert", "tflite")) from None
    return interpreter


class _Model:
    """A loaded file: call it with one int8 image (1, side, side, channels)."""

    def __init__(self, path: str | os.PathLike[str], kernels: str, threads: int) -> None:
        if kernels not in KERNELS:
            raise ConfigError(f"kernels are {', '.join(KERNELS)}, not {kernels!r}")
        if threads < 1:
            raise ConfigError(f"threads must be 1 or more, not {threads}")
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise ConfigError(f"{os.fspath(path)}: {error.strerror or error}") from None
        module = _interpreter()
        try:
            self._run = module.Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_op_resolver_type=module.OpResolverType[KERNELS[kernels]],
            )
            self._run.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            line = str(error).splitlines()[0]
            raise FormatError(f"{os.fspath(path)}: not a TFLite model ({line})") from None
        (given,), (taken,) = self._run.get_input_details(), self._run.get_output_details()
        self._input, self._output = given["index"], taken["index"]
        self._shape = tuple(int(size) for size in given["shape"][1:])
        self.classes = int(taken["shape"][-1])

    def inputs(self, images: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Return what each call takes, (n, 1, side, side, channels); raises ConfigError."""
        if images.dtype != np.uint8 or images.shape[1:] != self._shape:
            raise ConfigError(
                f"images are {images.dtype} {images.shape[1:]}, the file takes uint8 {self._shape}"
            )
        return (images[:, None].astype(np.int16) - PIXEL_ZERO).astype(np.int8)

    def __call__(self, image: NDArray[np.int8]) -> NDArray[np.float32]:
        self._run.set_tensor(self._input, image)
        self._run.invoke()
        scores: NDArray[np.float32] = self._run.get_tensor(self._output)[0]
        return scores


if __name__ == "__main__":
    np.save(sys.argv[3], run_tflite(sys.argv[1], np.load(sys.argv[2]), *sys.argv[4:]))
    print(interpreter_version())
