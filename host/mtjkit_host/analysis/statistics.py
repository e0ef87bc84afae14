"""Means with intervals, degradation rates, and the error rate that is still acceptable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# 97.5 % quantiles of Student's t for 1, 2, ... 30 degrees of freedom. A table, so that a campaign
# needs no scipy; the tests compare it with scipy's.
_T = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip
_Z = 1.959964


@dataclass(frozen=True)
class Mean:
    """A mean over repeats."""

    value: float
    """The mean."""
    half_width: float | None
    """Half the width of its 95 % interval; None for a single repeat."""
    n: int
    """Number of repeats."""


def t_quantile(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution, to 1e-4."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    # Abramowitz and Stegun 26.7.5, two terms.
    z, z3, z5 = _Z, _Z**3, _Z**5
    return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom**2)


def mean_95(values: Sequence[float]) -> Mean:
    """Return the mean and its 95 % interval: mean +- t * s / sqrt(n), Student's t, n - 1 degrees.

    The interval is of the mean over error patterns. All repeats see the same images, so the
    noise of having 10,000 images and not all the world's is not in it.
    """
    data = np.asarray(values, np.float64)
    n = len(data)
    if n < 2:
        return Mean(float(data.mean()), None, n)
    half = t_quantile(n - 1) * float(data.std(ddof=1)) / math.sqrt(n)
    return Mean(float(data.mean()), half, n)


def degradation(accuracy: float, error_free: float) -> float:
    """Return the degradation rate of accuracy: the share of the error-free accuracy that is lost.

    (A0 - A) / A0, the paper's Fig. 8; negative where chance gained accuracy.
    """
    return (error_free - accuracy) / error_free


def monotone(values: Sequence[float] | Floats) -> Floats:
    """Return the non-decreasing sequence closest to `values` in squares (pool adjacent violators).

    The degradation rises with the error rate; where noise has it fall, neighbours are averaged.
    """
    levels: list[tuple[float, int]] = []
    for value in values:
        level, size = float(value), 1
        while levels and levels[-1][0] > level:
            before, count = levels.pop()
            level = (before * count + level * size) / (count + size)
            size += count
        levels.append((level, size))
    return np.repeat([level for level, _ in levels], [size for _, size in levels])


@dataclass(frozen=True)
class AcceptableRate:
    """The error rate at which the degradation reaches a limit, with its uncertainty."""

    limit: float
    """The degradation that is accepted."""
    rate: float | None
    """The error rate; None where the limit lies outside the measured rates (see `bound`)."""
    low: float | None
    """Lower end of the 95 % bootstrap interval; None where it lies outside, or where a rate was
    measured only once."""
    high: float | None
    """Upper end."""
    bound: str = ""
    """``< 0.01`` or ``> 0.5`` where `rate` is None."""

    @property
    def edge(self) -> float:
        """The rate, or what bounds it."""
        return float(self.bound[1:]) if self.rate is None else self.rate


def crossing(rates: Sequence[float], degradations: Sequence[float] | Floats, limit: float) -> float:
    """Return the rate at which the degradation first reaches `limit`.

    The degradations are made monotone, then interpolated linearly over log(rate).

    Args:
        rates: ascending, above 0.
        degradations: one for each rate.
        limit: above 0.

    Returns:
        The rate; -inf where even the lowest rate is beyond the limit, +inf where none is.
    """
    curve = monotone(degradations)
    above = np.flatnonzero(curve >= limit)
    if not len(above):
        return math.inf
    i = int(above[0])
    if i == 0:
        return rates[0] if curve[0] == limit else -math.inf
    share = (limit - curve[i - 1]) / (curve[i] - curve[i - 1])
    log_rate = math.log(rates[i - 1]) + share * (math.log(rates[i]) - math.log(rates[i - 1]))
    return math.exp(log_rate)


def acceptable_rate(
    rates: Sequence[float],
    degradations: Sequence[Sequence[float]],
    limit: float,
    seed: int = 0,
    draws: int = 2000,
) -> AcceptableRate:
    """Return `acceptable_rates` of one limit."""
    return acceptable_rates(rates, degradations, [limit], seed, draws)[0]


def acceptable_rates(
    rates: Sequence[float],
    degradations: Sequence[Sequence[float]],
    limits: Sequence[float],
    seed: int = 0,
    draws: int = 2000,
) -> list[AcceptableRate]:
    """Return the error rates at which the mean degradation reaches each limit.

    By `crossing` of the means over the repeats. Its interval is a bootstrap: the repeats of each
    rate are drawn again with replacement, independently for every rate since every point has its
    own seed; the interval holds the middle 95 % of the crossings. All limits see the same draws.

    Args:
        rates: ascending, above 0.
        degradations: of each rate, one for each repeat (at least one).
        limits: above 0.
        seed: of the bootstrap.
        draws: of the bootstrap.
    """
    means = [float(np.mean(values)) for values in degradations]
    rng = np.random.default_rng(seed)
    resampled = np.stack(
        [
            np.asarray(values)[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
            for values in degradations
        ],
        axis=1,
    )
    drawn = np.stack([monotone(row) for row in resampled])
    single = any(len(values) < 2 for values in degradations)  # a rate that cannot vary
    found = []
    for limit in limits:
        rate = crossing(rates, means, limit)
        crossings = np.sort(_log_crossings(rates, drawn, limit))
        # Order statistics, not interpolated ones: an end may be infinite.
        ends = crossings[int(0.025 * draws)], crossings[min(int(0.975 * draws), draws - 1)]
        low, high = (None if single or math.isinf(end) else math.exp(end) for end in ends)
        bound = ""
        if not math.isfinite(rate):
            bound = f"< {rates[0]:g}" if rate < 0 else f"> {rates[-1]:g}"
        found.append(AcceptableRate(limit, rate if math.isfinite(rate) else None, low, high, bound))
    return found


def _log_crossings(rates: Sequence[float], curves: Floats, limit: float) -> Floats:
    """Logarithms of `crossing` of many monotone curves (n, rates), which are infinite alike."""
    logs = np.array([math.log(rate) for rate in rates])
    above = curves >= limit
    first = above.argmax(axis=1)
    before = np.maximum(first - 1, 0)
    row = np.arange(len(curves))
    start, end = curves[row, before], curves[row, first]
    share = (limit - start) / np.where(end > start, end - start, 1.0)
    found = logs[before] + share * (logs[first] - logs[before])
    found = np.where((first == 0) & (end > limit), -math.inf, found)
    return np.asarray(np.where(above.any(axis=1), found, math.inf))
