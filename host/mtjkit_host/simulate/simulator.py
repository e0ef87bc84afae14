"""One interface to what computes nets on the host: binary and fixed-point, compiled C or numpy.

    simulator = open_simulator(load("net.mtjb"))
    stored, counts = simulator.program(errors)        # the weights, written once
    scores, counts = stored.run(images, errors=errors)

The engines of a kind of net give the same bits. Those of binary nets are also the device's.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import NO_ERRORS, WriteErrors
from mtjkit_export.nets.fixed import FixedNet
from numpy.typing import NDArray

from mtjkit_host.machine import tell
from mtjkit_host.simulate import binary_native, binary_numpy, fixed_native, fixed_numpy
from mtjkit_host.simulate.binary_native import BinaryNative
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from mtjkit_host.simulate.compile import library
from mtjkit_host.simulate.fixed_native import FixedNative
from mtjkit_host.simulate.fixed_numpy import FixedNumpy

ENGINES = ("auto", "native", "numpy")
MAX_MACS = {"native": 10**11, "numpy": 10**10}
"""Multiply-accumulates of one image, some seconds: 160 and 16 times those of the paper's Binary. A
file of kilobytes may ask for 10**13, which is hours."""

BATCH = 250
"""Images that are given to a simulator together: enough for its threads, and few maps to keep."""

Net = TypeVar("Net", Model, FixedNet)
Words = NDArray[np.uint32]


class Simulator(Protocol):
    """A net on the host, with its feature maps in MTJ cells."""

    @property
    def net(self) -> Model | FixedNet:
        """What is computed."""
        ...

    @property
    def engine(self) -> str:
        """Native or numpy."""
        ...

    @property
    def bits(self) -> int:
        """Bits of a weight and of an activation."""
        ...

    @property
    def arithmetic(self) -> str:
        """How sums are computed, for a report."""
        ...

    def program(self, errors: WriteErrors) -> tuple[Simulator, NDArray[np.int64]]:
        """Write the weights into erased cells, once: see `program` of this module.

        Returns:
            A simulator of the net that the cells hold, and the counts (5,).
        """
        ...

    def run(
        self,
        images: NDArray[Any],
        indices: NDArray[Any] | None = None,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Classify images, every feature map written with errors.

        Args:
            images: uint8 pixels, or int8 with the pixel rule applied, (n, height, width, channels).
            indices: index of each image in the data, (n,); default 0 to n - 1. The errors of an
                image follow from it, however images are shared out among calls.
            errors: the error process of feature maps; that of weights takes no part.
            trace: None, or a list that receives each hidden layer's cells as words, (n, words)
                uint32: see `elements`.

        Returns:
            Scores (n, classes), int32 sums of a binary net, float64 sums in values of a
            fixed-point one; and counts of each image (n, 5): mtjkit_core.write_errors.COUNTS.

        Raises:
            ConfigError: the images are not what the net takes, or the fail limits are those of
                another number of layers.
        """
        ...

    def elements(self, trace: list[Words]) -> list[NDArray[Any]]:
        """A trace's maps as integers, (n, elements) each: bits 0 or 1, or codes."""
        ...


def open_simulator(
    net: Model | FixedNet, engine: str = "auto", threads: int | None = None
) -> Simulator:
    """A net's simulator.

    Args:
        net: mtjkit_core.model.Model, or a fixed-point net.
        engine: native (needs a C compiler, or a library built earlier), numpy, or auto: the first
            that works here.
        threads: the most threads that native code uses; default all processors.

    Raises:
        ConfigError: the engine is unknown or cannot run here, or the net is too large for it.
    """
    native = _choose(engine) == "native"
    if isinstance(net, FixedNet):
        return FixedNative(net, threads) if native else FixedNumpy(net)
    most = MAX_MACS["native" if native else "numpy"]
    if net.macs > most:
        raise ConfigError(
            f"model {net.name!r} takes {net.macs:.1e} multiply-accumulates an image; the host "
            f"computes up to {most:.0e}"
        )
    return BinaryNative(net, threads) if native else BinaryNumpy(net)


class Batch(NamedTuple):
    """What a simulator found for some images."""

    at: slice
    """Which ones of those that were given."""
    scores: NDArray[Any]
    """(n, classes)."""
    counts: NDArray[np.int64]
    """(n, 5): mtjkit_core.write_errors.COUNTS."""
    trace: list[Words]
    """Each hidden layer's cells, (n, words), if that was asked for: see `Simulator.elements`."""


def run_in_batches(
    simulator: Simulator,
    images: NDArray[Any],
    errors: WriteErrors = NO_ERRORS,
    first: int = 0,
    size: int = BATCH,
    traced: bool = False,
) -> Iterator[Batch]:
    """Classify images batch by batch, in order, each when it is asked for.

    Args:
        simulator: of the net.
        images, errors: see `Simulator.run`.
        first: index of the first image in the data; the errors of an image follow from its index.
        size: images of a batch.
        traced: whether batches have a trace.
    """
    for at in range(0, len(images), size):
        part = images[at : at + size]
        indices = np.arange(first + at, first + at + len(part), dtype=np.uint32)
        trace: list[Words] = []
        scores, counts = simulator.run(part, indices, errors, trace if traced else None)
        yield Batch(slice(at, at + len(part)), scores, counts, trace)


def program(net: Net, errors: WriteErrors, engine: str = "auto") -> tuple[Net, NDArray[np.int64]]:
    """Write a net's weights into erased MTJ cells once, with errors.

    Of a binary net the result is a valid model file, so that a board which maps its weights
    read-only gets the same bits as one that writes them itself.

    Args:
        net: the net as it should be.
        errors: the error process of weights; that of feature maps takes no part.
        engine: see `open_simulator`.

    Returns:
        The net that the cells hold, and the counts (5,): mtjkit_core.write_errors.COUNTS.

    Raises:
        ConfigError: the engine is unknown or cannot run here, or the fail limits are those of
            another number of layers.
    """
    native = _choose(engine) == "native"
    if isinstance(net, FixedNet):
        if native:
            return fixed_native.program(net, errors)
        return fixed_numpy.program(net, errors)
    if native:
        return binary_native.program(net, errors)
    return binary_numpy.program(net, errors)


def _choose(engine: str) -> str:
    if engine not in ENGINES:
        raise ConfigError(f"engine {engine!r} is unknown: {', '.join(ENGINES)}")
    return _auto() if engine == "auto" else engine


@functools.cache
def _auto() -> str:
    try:
        library()
    except ConfigError as error:
        if multiprocessing.parent_process() is None:  # workers of a pool keep quiet
            tell(f"mtjkit simulates in numpy, up to 60 times slower than in C: {error}")
        return "numpy"
    return "native"
