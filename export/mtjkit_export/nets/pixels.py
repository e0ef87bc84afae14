"""How bytes become the input of the first layer: a rule for all channels, or a table for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_export.nets.checks import array_of


@dataclass(frozen=True)
class PixelRule:
    """How a pixel p (0..255) becomes the int8 input: clip((mul * p + add) // div - 128)."""

    mul: int = 1
    """Factor, 0..65535."""
    add: int = 0
    """Summand, 0..65535."""
    div: int = 1
    """Divisor, 1..65535."""

    def __post_init__(self) -> None:
        whole = all(isinstance(n, (int, np.integer)) for n in (self.mul, self.add, self.div))
        if not whole or not (
            0 <= self.mul < 65536 and 0 <= self.add < 65536 and 1 <= self.div < 65536
        ):
            raise ConfigError(
                f"{self}: mul and add are whole numbers 0..65535, div is one of 1..65535"
            )

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Convert uint8 pixels of any shape to the int8 input of the first layer."""
        if self == PixelRule():  # p - 128: the highest bit changes
            return np.bitwise_xor(pixels, np.uint8(128)).view(np.int8)
        p = np.arange(256, dtype=np.int64)
        table = np.clip((self.mul * p + self.add) // self.div - 128, -128, 127).astype(np.int8)
        return table[pixels]


@dataclass(frozen=True)
class PixelTables:
    """How a pixel p (0..255) becomes the input of the first layer: one table for each channel."""

    values: NDArray[np.int8]
    """(channels, 256) int8: a channel's input for the pixels 0 to 255."""

    def __post_init__(self) -> None:
        values = array_of(self.values, "pixel tables")
        if values.ndim != 2 or values.shape[1] != 256 or not len(values):
            raise ConfigError(f"pixel tables are (channels, 256), not {values.shape}")
        if not ((values == np.round(values)) & (values >= -128) & (values <= 127)).all():
            raise ConfigError("pixel tables hold whole numbers from -128 to 127")
        object.__setattr__(self, "values", values.astype(np.int8))

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Convert uint8 pixels (..., channels) to the int8 input of the first layer."""
        return self.values[np.arange(len(self.values)), pixels]
