"""Where the loss is the accepted one: a line through losses that were tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

SLOPE, _SLOPE_ERROR = 0.25, 0.1
"""Of ln(loss) by percent of energy saved, before anything is tried."""
_BENT = 0.25  # of ln(loss / what is accepted): how far it may lie from a straight line
_SIGMAS = NormalDist().inv_cdf(0.975)  # in half of an interval


class Try(NamedTuple):
    """A saving that was tried."""

    saving: float
    """Percent."""
    log: float
    """ln(loss / what is accepted)."""
    scatter: float
    """Standard error of `log`."""

    @classmethod
    def of(cls, saving: float, loss: float, half: float, aim: float) -> Try:
        """A try from its loss, half of the loss's 95 % interval, and the loss that is aimed at."""
        counted = max(loss, aim / 4)
        return cls(saving, math.log(counted / aim), half / _SIGMAS / max(counted, aim / 2))


def crossing(tries: Sequence[Try]) -> float:
    """The saving at which ln(loss / what is accepted) is 0 on a line through what was tried.

    The line's slope is about SLOPE; tries near the limit and on many pictures weigh more.
    """
    savings, logs, scatter = (np.array(values) for values in zip(*tries, strict=True))
    weights = 1 / (scatter**2 + (_BENT * logs) ** 2 + 1e-6)
    saving, log = (np.average(values, weights=weights) for values in (savings, logs))
    known = 1 / _SLOPE_ERROR**2
    slope = float(weights @ ((savings - saving) * (logs - log))) + known * SLOPE
    slope /= float(weights @ (savings - saving) ** 2) + known
    return float(saving - log / max(slope, SLOPE / 4))
