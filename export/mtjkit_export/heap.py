"""The heap that a device needs for a model, known before there is a device.

    in use = code + layer x layers + buffers + images x slot + the model, unless it is mapped
    needed = in use with one image + loading

Buffers and slots follow from the model (mtjkit_core.footprint). `code`, `layer` and `loading` stand
in the [heap] table of a board's board.toml; the host's catalog of boards reads them and hands them
in. `invoke measure-heap` measured them; tests/device/test_heap.py compares sums with
devices.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtjkit_core.errors import ConfigError
from mtjkit_core.footprint import MAX_IMAGES, ram_bytes, slot_bytes
from mtjkit_core.messages import CHUNK
from mtjkit_core.model import Model


@dataclass(frozen=True)
class Share:
    """What a kernel's code takes of the heap, with all that is loaded beside it; in bytes."""

    code: int
    """MicroPython, the server, the engine and the kernel, without a model."""
    layer: int
    """What describes a layer."""
    loading: int
    """What must be free beyond that for a moment: code that is being loaded, gaps in the heap."""


@dataclass(frozen=True)
class Processor:
    """A kind of processor, and what mtjkit takes of the heap on it."""

    name: str
    """What it is called."""
    shares: dict[str, Share]
    """By the name of the kernel, the fastest first."""
    avx2: bool = False
    """The C kernels repack the weights into memory of their own."""
    maps: bool = True
    """There are boards of this kind that read a model in place, in flash."""


def counted_bytes(model: Model, kernel: str, images: int, mapped: bool, avx2: bool) -> int:
    """Bytes that follow from the model: buffers, images on their way, the model itself."""
    size = ram_bytes(model, kernel, avx2) + images * slot_bytes(model, CHUNK)
    return size if mapped else size + len(model.data)


def heap_in_use(
    model: Model, processor: Processor, kernel: str, mapped: bool = False, images: int = MAX_IMAGES
) -> int:
    """Bytes of heap in use while a device classifies: no image adds to it.

    Args:
        model: the model.
        processor: its shares, as a board's board.toml has them.
        kernel: one of its kernels.
        mapped: the model is read in place, in flash.
        images: how many are on their way at the same time; a device takes as many as its heap
            has room for, MAX_IMAGES at most.

    Raises:
        ConfigError: the processor's shares lack the kernel.
    """
    if kernel not in processor.shares:
        raise ConfigError(
            f"{processor.name}: kernel {kernel}: one of {', '.join(processor.shares)}"
        )
    share = processor.shares[kernel]
    counted = counted_bytes(model, kernel, images, mapped, processor.avx2)
    return share.code + share.layer * len(model.layers) + counted


def heap_needed(model: Model, processor: Processor, kernel: str, mapped: bool = False) -> int:
    """Bytes of the smallest heap on which a device runs the model; arguments as `heap_in_use`."""
    return heap_in_use(model, processor, kernel, mapped, 1) + processor.shares[kernel].loading
