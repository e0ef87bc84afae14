"""Cells differ: the error rate of a population whose ln tau is normal, and classes of cells.

Log-normal write-error rates: Imamura et al., arXiv:2209.13828; an array's failures stay binomial
at the mean rate: Arai et al., AIP Advances 14, 035115 (2024).
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class CellClass(SwitchingModel):
    """The mean over one of equally likely classes of cells, class 0 the fastest.

    A class is a quantile of the population, so the mean over the classes is the population's.
    """

    cell: Switching
    """The cell in the middle of the population (x = 0)."""
    sigma: float
    """Standard deviation of ln tau between cells."""
    number: int
    """Number of the class."""
    classes: int = 4
    """How many classes there are."""

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`: ln E[S(t e^(-sigma x))] over the quantile (Gauss-Legendre)."""
        x, weights = _quantile(self.number, self.classes)
        times = np.asarray(pulse_ns)[..., None] * np.exp(-self.sigma * x)
        logs = self.cell.log_rates(times) + np.log(weights)
        return np.asarray(np.minimum(0.0, np.logaddexp.reduce(logs, axis=-1)))

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        return self.cell.warnings(pulse_ns)


def class_rates(cell: Switching, sigma: float, pulse_ns: float, classes: int = 4) -> list[float]:
    """Mean error rates of the classes of cells, from the fastest to the slowest: `CellClass`."""
    return [CellClass(cell, sigma, k, classes).error_rate(pulse_ns) for k in range(classes)]


@cache
def _quantile(number: int, classes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of an expectation over the part of a normal x that is one class."""
    normal = NormalDist()
    low = normal.inv_cdf(number / classes) if number else -_FAR
    high = normal.inv_cdf((number + 1) / classes) if number < classes - 1 else _FAR
    x, weights = _legendre()
    at = low + (x + 1) / 2 * (high - low)
    density = np.exp(-at * at / 2) * weights
    some = density > 0
    return at[some], density[some] / density.sum()


@cache
def _legendre() -> tuple[Floats, Floats]:
    """Nodes and weights of an integral from -1 to 1."""
    x, weights = np.polynomial.legendre.leggauss(200)
    return x, weights


@cache
def _nodes() -> tuple[Floats, Floats]:
    """Nodes and weights of an expectation over a normal x."""
    x, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return x, weights / weights.sum()
