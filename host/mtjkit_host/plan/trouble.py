"""How much errors trouble a net: a measure without labels and without a step.

It is the mean of ln(1 + exp(-m / w)), where m is the lead of the class that the error-free net
chooses and w a quarter of the error-free net's median lead. Few pictures tell smaller differences
by it than by a loss, which counts pictures that are right.
"""

from __future__ import annotations

import numpy as np
from mtjkit_core.model import Model
from mtjkit_core.write_errors import NO_ERRORS
from mtjkit_export.predictions import class_values, predictions
from numpy.typing import NDArray

from mtjkit_host.plan.loss import Pictures, run_pictures


class Trouble:
    """The trouble of a net on some pictures.

    Args:
        model: the net without errors.
        inputs: int8 pictures, (n, height, width, channels).
    """

    def __init__(self, model: Model, inputs: Pictures) -> None:
        self._model = model
        scores, _ = run_pictures(model, inputs, NO_ERRORS)
        self._chosen = predictions(model, scores)
        self._width = max(1e-6, float(np.median(self._leads(scores))) / 4)

    def of(self, scores: NDArray[np.int32]) -> float:
        """The trouble that scores with errors show, (n, classes) of the first n pictures."""
        return float(np.logaddexp(0, -self._leads(scores) / self._width).mean())

    def _leads(self, scores: NDArray[np.int32]) -> NDArray[np.float64]:
        """How far each picture's chosen class leads the best other one, (n,)."""
        values = class_values(self._model, scores).astype(np.float64)
        chosen = self._chosen[: len(values)]
        if self._model.by_sign:
            return np.where(chosen == 1, values[:, 0], -values[:, 0])
        rows = np.arange(len(values))
        lead = values[rows, chosen]
        values[rows, chosen] = -np.inf
        found: NDArray[np.float64] = lead - values.max(1)
        return found
