"""Cells differ: the error rate of a population whose ln tau is normal, and classes of cells.

Log-normal write-error rates: Imamura et al., arXiv:2209.13828; an array's failures stay binomial
at the mean rate: Arai et al., AIP Advances 14, 035115 (2024).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from mtjkit_host.mtj.switching import Floats, Switching, SwitchingModel

_NODES = 64
_FAR = 12.0  # standard deviations: beyond them there is no cell


@dataclass(frozen=True)
class Population(SwitchingModel):
    """The mean over cells whose times are those of one cell times e^(sigma x), x normal."""

    cell: Switching
    """The cell in the middle (x = 0)."""
    sigma: float
    """Standard deviation of ln tau between cells."""

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`: ln E[S(t e^(-sigma x))] (Gauss-Hermite, 64 nodes)."""
        x, weights = _nodes()
        times = np.asarray(pulse_ns)[..., None] * np.exp(-self.sigma * x)
        logs = self.cell.log_rates(times) + np.log(weights)
        return np.asarray(np.minimum(0.0, np.logaddexp.reduce(logs, axis=-1)))

    def mean_switching_ns(self, pulse_ns: float) -> float:
        """See `Switching.mean_switching_ns`: E[e^(sigma x) m(t e^(-sigma x))]."""
        x, weights = _nodes()
        scales = np.exp(self.sigma * x)
        means = [self.cell.mean_switching_ns(pulse_ns / float(s)) for s in scales]
        return float((weights * scales * np.array(means)).sum())

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        return self.cell.warnings(pulse_ns)


def class_rates(cell: Switching, sigma: float, pulse_ns: float, classes: int = 4) -> list[float]:
    """Mean error rates of equally likely classes of cells, from the fastest to the slowest.

    A class is a quantile of the population, so the mean over the classes is the population's.

    Args:
        cell: the cell in the middle.
        sigma: standard deviation of ln tau.
        pulse_ns: pulse width, ns.
        classes: how many.
    """
    normal = NormalDist()
    inner = [normal.inv_cdf(k / classes) for k in range(1, classes)]
    edges = [-_FAR, *inner, _FAR]
    x, weights = np.polynomial.legendre.leggauss(200)
    rates = []
    for low, high in itertools.pairwise(edges):
        at = low + (x + 1) / 2 * (high - low)
        density = np.exp(-at * at / 2) / math.sqrt(2 * math.pi) * weights * (high - low) / 2
        values = np.exp(cell.log_rates(pulse_ns * np.exp(-sigma * at)))
        rates.append(float((density * values).sum() / density.sum()))
    return rates


@cache
def _nodes() -> tuple[Floats, Floats]:
    """Nodes and weights of an expectation over a normal x."""
    x, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return x, weights / weights.sum()
