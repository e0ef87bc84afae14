"""The heap that a device needs for a model, known before there is a device.

    in use = code + layer x layers + buffers + images x slot + the model, unless it is mapped
    needed = in use with one image + loading

Buffers and slots follow from the model (mtjkit_core.footprint). `code`, `layer` and `loading` were
measured by mtjkit_host.checks.heap_shares; tests/device/test_heap.py holds the sums against
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
class Device:
    """A kind of device."""

    name: str
    """What it is called."""
    shares: dict[str, Share]
    """By the name of the kernel, the fastest first."""
    avx2: bool = False
    """The C kernels repack the weights into memory of their own."""
    maps: bool = True
    """There are boards of this kind that read a model in place, in flash."""


DEVICES = {
    "x64": Device(
        "Unix port, x86-64 with AVX2",
        {
            "native": Share(62_800, 530, 28_000),
            "viper": Share(65_300, 530, 32_000),
            "python": Share(64_000, 530, 25_000),
        },
        avx2=True,
        maps=False,
    ),
    "armv7m": Device(
        "Cortex-M3, M4, M7",
        {
            "native": Share(52_800, 250, 10_200),
            "asm_thumb": Share(54_200, 250, 8_500),
            "viper": Share(54_600, 250, 9_500),
            "python": Share(44_800, 250, 9_000),
        },
    ),
    "armv6m": Device(
        "Cortex-M0+",
        {
            "native": Share(55_200, 250, 10_200),
            "asm_thumb": Share(57_300, 250, 8_500),
            "viper": Share(57_600, 250, 9_500),
            "python": Share(47_200, 250, 9_000),
        },
    ),
}
"""By the architecture of the firmware. The Unix port compiles the modules itself, as they are
loaded; boards have them compiled."""


def device_of(architecture: str) -> Device:
    """The device of an architecture, as MicroPython calls it; of one that was not measured, the
    one of 32 bits whose code takes the most."""
    if architecture in DEVICES:
        return DEVICES[architecture]
    return DEVICES["armv7m" if architecture.startswith("armv7") else "armv6m"]


def counted_bytes(model: Model, kernel: str, images: int, mapped: bool, avx2: bool) -> int:
    """Bytes that follow from the model: buffers, images on their way, the model itself."""
    size = ram_bytes(model, kernel, avx2) + images * slot_bytes(model, CHUNK)
    return size if mapped else size + len(model.data)


def heap_in_use(
    model: Model, device: Device, kernel: str, mapped: bool = False, images: int = MAX_IMAGES
) -> int:
    """Bytes of heap in use while a device classifies: no image adds to it.

    Args:
        model: the model.
        device: one of DEVICES.
        kernel: one of its kernels.
        mapped: the model is read in place, in flash.
        images: how many are on their way at the same time; a device takes as many as its heap
            has room for, MAX_IMAGES at most.

    Raises:
        ConfigError: the device has no such kernel.
    """
    if kernel not in device.shares:
        raise ConfigError(f"{device.name}: kernel {kernel}: one of {', '.join(device.shares)}")
    share = device.shares[kernel]
    counted = counted_bytes(model, kernel, images, mapped, device.avx2)
    return share.code + share.layer * len(model.layers) + counted


def heap_needed(model: Model, device: Device, kernel: str, mapped: bool = False) -> int:
    """Bytes of the smallest heap on which a device runs the model; arguments as `heap_in_use`."""
    return heap_in_use(model, device, kernel, mapped, 1) + device.shares[kernel].loading
