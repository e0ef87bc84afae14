"""What one image gave, on a board or in the simulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageResult:
    """One image's result."""

    index: int
    """The image's index in the data."""
    scores: NDArray[np.int32]
    """(classes,)"""
    counts: NDArray[np.int64]
    """(5,): feature-map bits, mtjkit_core.write_errors.COUNTS."""
    device_us: float
    """Time that computing it took, microseconds; whole where a board says it."""
