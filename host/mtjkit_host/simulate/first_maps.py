"""The first layer's maps, kept from one pass over the same images to the next."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtjkit_host.machine import cores, memory_bytes

MOST_BYTES = 320 << 20
"""Of one process: 10,000 images of the paper's Binary, or of Fxp8 at a quarter of its width."""


class FirstMaps:
    """Maps as they are intended, before any error. No error changes them: the image does not fail.

    Args:
        images: how many there are; those with the lowest indices have room.
        bytes_each: of one map.

    Attributes:
        count: images that have room: all of them, or what MOST_BYTES hold, or this process's share
            of a quarter of the machine's memory.
        there: whether an image's map is there, (count,) uint8.
        maps: the maps, (count, bytes_each) uint8.
    """

    def __init__(self, images: int, bytes_each: int) -> None:
        most = min(MOST_BYTES, memory_bytes() // 4 // cores())
        self.count = min(images, most // max(1, bytes_each))
        self.there = np.zeros(self.count, np.uint8)
        self.maps = np.empty((self.count, bytes_each), np.uint8)
        self.hold(self.maps.dtype, self.maps.shape[1:])

    def of(self, indices: NDArray[np.uint32]) -> NDArray[Any] | None:
        """The maps of images as they were kept, (n, ...); None unless all of them are there.

        They are to be read alone: those of consecutive images are not copied.
        """
        if not len(indices) or indices.max() >= self.count or not self.there[indices].all():
            return None
        first, n = int(indices[0]), len(indices)
        in_order = np.array_equal(indices, np.arange(first, first + n))
        maps = self.maps[first : first + n] if in_order else self.maps[indices]
        return maps.view(self._kind).reshape(n, *self._shape)

    def hold(self, kind: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Say of which type and shape each map is; maps may also come in compiled code."""
        self._kind, self._shape = kind, shape

    def keep(self, indices: NDArray[np.uint32], maps: NDArray[Any]) -> None:
        """Keep maps of images that have room.

        Args:
            indices: of the images, (n,).
            maps: of the same images, (n, ...), all of one type.
        """
        self.hold(maps.dtype, maps.shape[1:])
        room = indices < self.count
        self.maps[indices[room]] = maps.reshape(len(maps), -1).view(np.uint8)[room]
        self.there[indices[room]] = 1


class CFirst(ctypes.Structure):
    """mtj_first of mtjkit.h, and what it points to."""

    _fields_ = [
        ("count", ctypes.c_uint32),
        ("there", ctypes.c_void_p),
        ("maps", ctypes.c_void_p),
    ]

    @classmethod
    def of(cls, first: FirstMaps) -> CFirst:
        """Maps that C reads and writes."""
        it = cls(first.count, first.there.ctypes.data, first.maps.ctypes.data)
        it.maps_kept = first
        return it
