"""The networks of the paper and their smaller sisters, as plain data.

Source: Asano, Natsui, Hanyu, "Error-Tolerance-Aware Write-Energy Reduction of MTJ-Based
Quantized Neural Network Hardware", IEICE Trans. Inf. & Syst., 2024, Fig. 3 and Table 1. All are
VGG-shaped after Hubara et al. 2016: 3x3 convolutions with padding 1 and without bias, 2x2 max
pooling after every second one, then three dense layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from mtjkit_core.errors import ConfigError

from mtjkit_host import paper

NETS: dict[str, tuple[int, int]] = {
    "binary": (1, 1),
    "binary_x3": (1, 3),
    "fxp8": (8, 1),
    "fxp16": (16, 1),
    "fxp32": (32, 1),
}
"""Net -> (bits of weights and activations, factor on the convolutions' filters)."""

MAX_SIZE = 1 << 16
"""Most filters or units of a layer, rows of an image."""

WIDTHS: dict[str, int] = {"paper": 1, "half": 2, "small": 4, "tiny": 16}
"""Width -> what the filters and the dense units of the paper's size are divided by."""


@dataclass(frozen=True)
class NetSpec:
    """One network: everything its layers' shapes and number format follow from."""

    name: str
    """What messages and checkpoints call it, for presets ``<net>-<width>``."""
    bits: int
    """Of weights and activations: 1 is {-1, +1}; 8, 16 and 32 are fixed point in [-1, 1)."""
    conv: tuple[int, ...]
    """Filters of the 3x3 convolutions; 2x2 max pooling follows every second one."""
    dense: tuple[int, ...]
    """Units of the hidden dense layers."""
    classes: int = paper.CLASSES
    """Scores of the last dense layer."""
    side: int = 32
    """Rows and columns of the input image, a multiple of 2 ** (pooled convolutions)."""
    channels: int = 3
    """Channels of the input image."""

    def __post_init__(self) -> None:
        """Check the shape; raises ConfigError."""
        if self.bits not in (1, 8, 16, 32):
            raise ConfigError(f"{self.name}: bits must be 1, 8, 16 or 32, not {self.bits}")
        sizes = (*self.conv, *self.dense, self.classes, self.side, self.channels)
        if not self.conv or not all(type(n) is int and 1 <= n <= MAX_SIZE for n in sizes):
            raise ConfigError(
                f"{self.name}: needs a convolution, and filters, units, side and channels from 1 "
                f"to {MAX_SIZE}"
            )
        if self.side % (1 << len(self.conv) // 2):
            raise ConfigError(
                f"{self.name}: a side of {self.side} cannot be halved {len(self.conv) // 2} times"
            )

    @property
    def binary(self) -> bool:
        """Whether weights and activations are {-1, +1}."""
        return self.bits == 1

    @property
    def weights(self) -> int:
        """Weights of all layers."""
        total, maps, side = 0, self.channels, self.side
        for index, filters in enumerate(self.conv):
            total += 9 * maps * filters
            maps, side = filters, side // (1 + index % 2)
        units = maps * side * side
        for out in (*self.dense, self.classes):
            total, units = total + units * out, out
        return total

    @classmethod
    def named(cls, name: str) -> NetSpec:
        """Return the preset called ``<net>-<width>``, such as ``binary-small``.

        Raises ConfigError, listing the choices, for any other name.
        """
        net, _, width = name.partition("-")
        if net not in NETS or width not in WIDTHS:
            raise ConfigError(
                f"unknown net {name!r}: write <net>-<width> with a net of {', '.join(NETS)} "
                f"and a width of {', '.join(WIDTHS)}"
            )
        bits, factor = NETS[net]
        divisor = WIDTHS[width]
        return cls(
            name,
            bits,
            tuple(filters * factor // divisor for filters in paper.CONV),
            tuple(units // divisor for units in paper.DENSE),
        )
