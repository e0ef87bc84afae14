"""One macrospin for measurements at several currents and in both directions.

Barrier delta and unit of time t_d are the cell's; each direction has a critical current. S
comes from the Fokker-Planck equation, the likelihood is binomial, and Fisher's scoring climbs it in
the logarithms of the parameters, from the best point of a coarse grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_host.mtj.fit import Point, chi_square_99, saturated
from mtjkit_host.mtj.fokker_planck import FokkerPlanck

Floats = NDArray[np.float64]

_CELLS = 200  # volumes of the chain: S within 0.2 % of itself
_COARSE = 60  # of the grid and of the first rounds
_DELTAS = (30.0, 45.0, 60.0, 80.0)
_OVERDRIVES = (0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0)  # of the middle current
_STEP = 1e-3  # of a logarithm, for derivatives
_ROUNDS = 40
_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Series:
    """Points of one direction and one current."""

    direction: str
    """up or down."""
    current_ua: float
    """Write current, uA."""
    points: tuple[Point, ...]
    """Measured pulse widths."""

    @property
    def times(self) -> Floats:
        """Pulse widths, ns."""
        return np.array([p.pulse_ns for p in self.points])


@dataclass(frozen=True)
class JointFit:
    """A fitted macrospin. Intervals hold 95 %; they come from the curvature of the likelihood."""

    series: tuple[Series, ...]
    """What was fitted."""
    delta: float
    """Barrier in kT."""
    t_d_ns: float
    """Unit of time, ns."""
    ic0_ua: dict[str, float]
    """Critical current of each direction measured, uA."""
    intervals: dict[str, tuple[float, float]]
    """Of delta, t_d_ns and each direction's ic0_ua (by the direction's name)."""
    deviance: float
    """Twice the log-likelihood that is lost against each point's own rate."""
    degrees: int
    """Points less parameters."""

    def model(self, direction: str, current_ua: float) -> FokkerPlanck:
        """The fitted cell under a current."""
        return FokkerPlanck(self.delta, current_ua / self.ic0_ua[direction], self.t_d_ns)

    def words(self) -> list[str]:
        """What to think of the fit."""
        found = []
        if self.deviance > chi_square_99(self.degrees):
            most = chi_square_99(self.degrees)
            found.append(
                f"one macrospin does not fit: deviance {self.deviance:.4g} at {self.degrees} "
                f"degrees of freedom (1 % of good fits are above {most:.4g}); "
                "fit each current by itself with --model tail, or take model table"
            )
        else:
            found.append("one macrospin fits all currents and directions")
        for name, (low, high) in self.intervals.items():
            if high > 2 * low:
                found.append(
                    f"{name} is hardly determined: its interval spans more than a factor of 2"
                )
        return found


def fit_jointly(series: Sequence[Series]) -> JointFit:
    """Fit delta, t_d and each direction's Ic0.

    Args:
        series: one for each direction and current; two currents of a direction at least.

    Raises:
        ConfigError: the measurements do not determine a macrospin.
    """
    directions = sorted({one.direction for one in series})
    names = ["delta", "t_d_ns", *directions]
    count = sum(len(one.points) for one in series)
    if all(sum(one.direction == name for one in series) < 2 for name in directions):
        raise ConfigError("model fokker-planck takes two currents of a direction at least")
    if count <= len(names):
        raise ConfigError(f"{count} points do not determine {len(names)} numbers")
    if not any(0 < p.failed < p.trials for one in series for p in one.points):
        raise ConfigError("no pulse width failed sometimes and switched sometimes")
    theta = _start(series, directions)
    information, value = np.eye(len(names)), 0.0
    for cells, enough in ((_COARSE, 0.1), (_CELLS, 1e-3)):
        theta, information, value = _climb(series, directions, theta, cells, enough)
    try:
        errors = np.sqrt(np.diagonal(np.linalg.inv(information)))
    except np.linalg.LinAlgError:
        errors = np.full(len(names), math.inf)
    if not np.isfinite(errors).all():
        raise ConfigError("the measurements do not determine a macrospin: take --model tail")
    values = np.exp(theta)
    spread = np.exp(np.minimum(_Z * errors, 700.0))
    ends = {
        name: (float(value / factor), float(value * factor))
        for name, value, factor in zip(names, values, spread, strict=True)
    }
    failed, trials = _counts(series)
    return JointFit(
        series=tuple(series),
        delta=float(values[0]),
        t_d_ns=float(values[1]),
        ic0_ua={name: float(v) for name, v in zip(directions, values[2:], strict=True)},
        intervals=ends,
        deviance=2 * (saturated(failed, trials) - float(value)),
        degrees=count - len(names),
    )


def _counts(series: Sequence[Series]) -> tuple[Floats, Floats]:
    points = [p for one in series for p in one.points]
    return np.array([p.failed for p in points], float), np.array([p.trials for p in points], float)


def _logs(series: Sequence[Series], directions: list[str], theta: Floats, cells: int) -> Floats:
    """Ln S of every point; theta: logarithms of delta, t_d and the directions' Ic0."""
    delta, t_d, *critical = (float(value) for value in np.exp(theta))
    found = []
    for one in series:
        i = one.current_ua / critical[directions.index(one.direction)]
        found.append(FokkerPlanck(delta, i, t_d, cells).log_rates(one.times))
    return np.minimum(np.concatenate(found), -1e-12)


def _log_likelihood(logs: Floats, failed: Floats, trials: Floats) -> Any:
    """Of the last axis's points."""
    return (failed * logs + (trials - failed) * np.log(-np.expm1(logs))).sum(axis=-1)


def _start(series: Sequence[Series], directions: list[str]) -> Floats:
    """The best point of a grid: for each delta and t_d every direction takes its best Ic0."""
    spans = [one.times.max() for one in series]
    units = np.geomspace(min(spans) / 300, max(spans), 60)
    best: tuple[float, Floats] = -math.inf, np.zeros(2 + len(directions))
    for delta in _DELTAS:
        total, chosen = np.zeros(len(units)), []
        for name in directions:
            mine = [one for one in series if one.direction == name]
            middle = float(np.median([one.current_ua for one in mine]))
            failed, trials = _counts(mine)
            values = np.empty((len(_OVERDRIVES), len(units)))
            for row, overdrive in enumerate(_OVERDRIVES):
                logs = np.concatenate(
                    [
                        FokkerPlanck(
                            delta, overdrive * one.current_ua / middle, 1.0, _COARSE
                        ).log_rates(one.times / units[:, None])
                        for one in mine
                    ],
                    axis=1,
                )
                values[row] = _log_likelihood(np.minimum(logs, -1e-12), failed, trials)
            total += values.max(axis=0)
            chosen.append([middle / _OVERDRIVES[row] for row in values.argmax(axis=0)])
        at = int(total.argmax())
        if total[at] > best[0]:
            best = float(total[at]), np.log([delta, units[at], *(one[at] for one in chosen)])
    return best[1]


def _climb(
    series: Sequence[Series], directions: list[str], theta: Floats, cells: int, enough: float
) -> tuple[Floats, Floats, float]:
    """Fisher's scoring with Levenberg's damping: parameters, information, log-likelihood.

    It ends where a round gains less than `enough` of log-likelihood.
    """
    failed, trials = _counts(series)
    damping = 1e-3
    logs = _logs(series, directions, theta, cells)
    value = _log_likelihood(logs, failed, trials)
    information = np.eye(len(theta))
    for _ in range(_ROUNDS):
        design = np.empty((len(theta), len(logs)))
        for k in range(len(theta)):
            ends = []
            for sign in (1, -1):
                moved = theta.copy()
                moved[k] += sign * _STEP
                ends.append(_logs(series, directions, moved, cells))
            design[k] = (ends[0] - ends[1]) / (2 * _STEP)
        odds = np.exp(logs) / -np.expm1(logs)
        gradient = design @ (failed - (trials - failed) * odds)
        information = (design * (trials * odds)) @ design.T
        while damping < 1e9:
            damped = information + damping * np.diag(information.diagonal() + 1e-12)
            step = np.clip(np.linalg.solve(damped, gradient), -0.3, 0.3)
            moved = theta + step
            moved[0] = min(max(moved[0], math.log(5)), math.log(300))
            next_logs = _logs(series, directions, moved, cells)
            after = _log_likelihood(next_logs, failed, trials)
            if after >= value:
                break
            damping *= 10
        else:
            break
        gained, theta, logs, value = after - value, moved, next_logs, after
        damping = max(damping / 10, 1e-9)
        if gained < enough:
            break
    return theta, information, value
