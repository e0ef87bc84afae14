"""RRMSE, the size of what errors change in a network's activations: Eq. 3 of the paper.

RRMSE = sqrt( sum over layers l of var(delta_l) / var(x_l) ), with x_l the error-free input
activations of layer l and delta_l what the errors change in them. Our reading of "the variation
induced by soft errors in layer l": the difference between a whole faulty pass and the error-free
one, so that the errors of earlier layers are included (Huang et al., IEEE TCAD 42(11), 2023, the
paper's ref. 29). Variances run over all elements of all images. The first layer's input is the
image, which no error changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


class VarianceRatios:
    """var(delta_l) / var(x_l) of every layer, summed up over blocks of images."""

    def __init__(self) -> None:
        self._sums: list[npt.NDArray[np.float64]] = []

    def add(self, clean: Sequence[npt.NDArray[Any]], faulty: Sequence[npt.NDArray[Any]]) -> None:
        """Add a block of images.

        Args:
            clean: error-free inputs of the layers, any shape each; integers or floats.
            faulty: the same layers' inputs in the faulty pass.
        """
        if not self._sums:
            self._sums = [np.zeros(5) for _ in clean]
        for sums, good, bad in zip(self._sums, clean, faulty, strict=True):
            x = good.reshape(-1).astype(np.float64)
            delta = bad.reshape(-1) - x
            sums += np.array([x.size, x.sum(), x @ x, delta.sum(), delta @ delta])

    def ratios(self) -> list[float]:
        """Return the ratio of each layer; infinite where errors change a constant input."""
        result = []
        for n, x, xx, d, dd in self._sums:
            var_x, var_d = max(xx / n - (x / n) ** 2, 0.0), max(dd / n - (d / n) ** 2, 0.0)
            if var_x > 0:
                result.append(var_d / var_x)
            else:
                result.append(float("inf") if var_d > 0 else 0.0)
        return result

    def rrmse(self) -> float:
        """Return Eq. 3 over all layers."""
        return float(np.sqrt(sum(self.ratios())))
