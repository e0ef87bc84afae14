"""The same images over and over, with other errors each time, as campaigns take them.

What errors cannot change is computed once: the first layer's map before its errors, and the scores
of images in whose maps no bit fails. The bits are those of the simulator alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol, TypeGuard

import numpy as np
from mtjkit_core.model import Model
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from mtjkit_export.nets.fixed import FixedNet
from numpy.typing import NDArray

from mtjkit_host.simulate.binary_native import BinaryNative
from mtjkit_host.simulate.compile import key_words, library
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.first_maps import FirstMaps
from mtjkit_host.simulate.fixed_native import FixedNative
from mtjkit_host.simulate.simulator import Simulator


class Native(Simulator, Hashable, Protocol):
    """A simulator in compiled code: BinaryNative, FixedNative."""

    @property
    def first_bytes(self) -> int:
        """Bytes of the first layer's map; 0 if the first layer is the last one."""
        ...

    def places(self) -> Words:
        """Where each hidden layer's map is written: rows of mtj_place, (layers - 1, 4) uint32."""
        ...

    def run(
        self,
        images: NDArray[Any],
        indices: NDArray[Any] | None = None,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
        first: FirstMaps | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """See Simulator.run.

        Args:
            images, indices, errors, trace: see Simulator.run. With `first` each image has an index
                of its own, and the same index means the same image in every call.
            first: maps that are taken if they are there, and else are put there.
        """
        ...


def is_native(simulator: Simulator) -> TypeGuard[Native]:
    """Whether a simulator is one in compiled code."""
    return isinstance(simulator, BinaryNative | FixedNative)


class Repeated:
    """A simulator of images that come again; see Simulator.

    Args:
        simulator: computes what is new.
        images: how many there are. Their indices are 0 to images - 1, each index that of the same
            image in every call.
    """

    def __init__(self, simulator: Native, images: int) -> None:
        self._simulator = simulator
        self._places = simulator.places()
        self._first = FirstMaps(images, simulator.first_bytes)
        self._known = np.zeros(images, np.bool_)  # whether scores and counts are there
        self._scores: NDArray[Any] | None = None
        self._counts = np.empty((images, len(COUNTS)), np.int64)

    @property
    def net(self) -> Model | FixedNet:
        """See Simulator."""
        return self._simulator.net

    @property
    def engine(self) -> str:
        """See Simulator."""
        return self._simulator.engine

    @property
    def bits(self) -> int:
        """See Simulator."""
        return self._simulator.bits

    @property
    def arithmetic(self) -> str:
        """See Simulator."""
        return self._simulator.arithmetic

    def program(self, errors: WriteErrors) -> tuple[Simulator, NDArray[np.int64]]:
        """See Simulator.program: a net whose weights may be others, so nothing is known."""
        return self._simulator.program(errors)

    def run(
        self,
        images: NDArray[Any],
        indices: NDArray[Any] | None = None,
        errors: WriteErrors = NO_ERRORS,
        trace: list[Words] | None = None,
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """See Simulator.run; traced images are computed anew."""
        if indices is None:
            indices = np.arange(len(images), dtype=np.uint32)
        if trace is not None:
            return self._simulator.run(images, indices, errors, trace, self._first)
        spared = self.spared(indices, errors)
        if spared is None:
            return self._simulator.run(images, indices, errors, first=self._first)
        new = spared & ~self._known[indices]
        if new.any():
            self._learn(images[new], indices[new])
        left = ~spared
        if self._scores is None or left.all():
            return self._simulator.run(images, indices, errors, first=self._first)
        scores, counts = self._scores[indices], self._counts[indices]
        if left.any():
            scores[left], counts[left] = self._simulator.run(
                images[left], indices[left], errors, first=self._first
            )
        return scores, counts

    def _learn(self, images: NDArray[Any], indices: NDArray[np.uint32]) -> None:
        """Compute images without errors, and keep what they give."""
        scores, counts = self._simulator.run(images, indices, first=self._first)
        if self._scores is None:
            self._scores = np.empty((len(self._known), *scores.shape[1:]), scores.dtype)
        self._scores[indices], self._counts[indices] = scores, counts
        self._known[indices] = True

    def spared(self, indices: NDArray[np.uint32], errors: WriteErrors) -> NDArray[np.bool_] | None:
        """The images in whose maps no bit fails, whatever is written, (n,).

        None where directions have different limits, or cells differ: then draws depend on what is
        written.
        """
        hidden = range(len(self._places))
        limits = [errors.of_map(layer) for layer in hidden]
        if not errors.plain or any(down != up for down, up in limits):
            return None
        words = np.array([errors.map_words(layer) for layer in hidden], np.uint32)
        key = key_words(errors.seed)
        images = np.ascontiguousarray(indices, np.uint32)
        found = np.empty(len(images), np.uint8)
        library().mtj_spared(
            self._places.ctypes.data,
            len(self._places),
            len(images),
            images.ctypes.data,
            key.ctypes.data,
            words.ctypes.data,
            found.ctypes.data,
        )
        return found.astype(np.bool_)

    def elements(self, trace: list[Words]) -> list[NDArray[Any]]:
        """See Simulator.elements."""
        return self._simulator.elements(trace)
