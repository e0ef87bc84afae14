"""A cell from measurements: failures of writes, by pulse width, become a tail with intervals.

Binomial likelihood of p = A exp(-t / tau), which is a log-link regression: ln p is a line in t.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_export.files import refuse_pipe

from mtjkit_host import parse
from mtjkit_host.parse import shown
from mtjkit_host.settings import decode_text

COLUMNS = ("pulse_ns", "current_ua", "direction", "switched", "trials")
"""Header of the CSV file; direction is up or down."""

_MAX_BYTES = 1 << 20
_CHI_95 = NormalDist().inv_cdf(0.975) ** 2  # of one degree of freedom


@dataclass(frozen=True)
class Point:
    """One measured pulse width."""

    pulse_ns: float
    """Pulse width, ns."""
    failed: int
    """Writes that did not switch."""
    trials: int
    """Writes that should have switched."""


@dataclass(frozen=True)
class TailFit:
    """A fitted tail. Intervals hold 95 %."""

    points: tuple[Point, ...]
    """What was fitted."""
    tau_ns: float
    """Time constant, ns."""
    tau_error_ns: float | None
    """Standard error, ns; None from one point, which leaves A at 1."""
    tau_interval_ns: tuple[float, float]
    """Of tau, ns."""
    amplitude: float
    """A."""
    log_amplitude_error: float | None
    """Standard error of ln A; None where A is held at 1."""
    deviance: float
    """Twice the log-likelihood that is lost against each point's own rate."""
    degrees: int
    """Degrees of freedom of the deviance: points less parameters."""

    def words(self) -> list[str]:
        """What to think of the fit."""
        found = []
        if self.degrees > 0 and self.deviance > chi_square_99(self.degrees):
            found.append(
                f"the tail does not fit: deviance {self.deviance:.3g} at {self.degrees} degrees of "
                "freedom (1 % of good fits are above "
                f"{chi_square_99(self.degrees):.3g}); take model table, or fokker-planck"
            )
        error = self.log_amplitude_error
        if error is None:
            found.append("one point: the amplitude is taken as 1")
        elif math.log(self.amplitude) < -3 * error:
            found.append("A is well below 1: some cells switch at once, a second population")
        elif math.log(self.amplitude) > 2 * error:
            found.append("A is above 1: the cell incubates")
        else:
            found.append("no incubation seen: A is 1 within its error")
        return found


def read_measurements(path: str | Path) -> dict[tuple[str, float | None], list[Point]]:
    """Points of a CSV file by (direction, current in uA); the current may be left empty.

    Raises:
        ConfigError: the file cannot be read, or a line is damaged; the message has its number.
    """
    file = Path(path)
    refuse_pipe(file)
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"{file}: longer than {_MAX_BYTES} bytes")
        rows = list(csv.reader(decode_text(data, str(file)).splitlines(), strict=True))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from None
    except csv.Error as error:
        raise ConfigError(f"{file}: not a CSV file ({shown(str(error))})") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise ConfigError(
            f"{file}: the first line must be {','.join(COLUMNS)} (in any order), "
            f"not {shown(','.join(header), 60)}"
        )
    found: dict[tuple[str, float | None], list[Point]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        try:
            if len(row) != len(header):
                raise ConfigError(f"{len(row)} values, not {len(header)}")
            direction, current, point = _point(dict(zip(header, map(str.strip, row), strict=True)))
        except ConfigError as error:
            raise ConfigError(f"{file}, line {number}: {error}") from None
        found.setdefault((direction, current), []).append(point)
    if not found:
        raise ConfigError(f"{file}: holds no measurement")
    return found


def _point(row: dict[str, str]) -> tuple[str, float | None, Point]:
    pulse = parse.number("pulse_ns", row["pulse_ns"])
    current = parse.number("current_ua", row["current_ua"]) if row["current_ua"] else None
    if not 1e-6 <= pulse <= 1e12 or (current is not None and not 1e-6 <= current <= 1e9):
        raise ConfigError("pulse_ns or current_ua is out of range")
    direction = parse.choice("direction", row["direction"], ("up", "down"))
    trials = parse.whole("trials", row["trials"], 1, 10**15)
    switched = parse.whole("switched", row["switched"], 0, trials)
    return direction, current, Point(pulse, trials - switched, trials)


def fit_tail(points: Sequence[Point], amplitude: float | None = None) -> TailFit:
    """Fit a tail to points of one direction and one current.

    Args:
        points: at least one that failed sometimes and switched sometimes.
        amplitude: A where it is known; None fits it too, if there are two pulse widths.

    Raises:
        ConfigError: the points do not determine a tail.
    """
    some = [p for p in points if 0 < p.failed < p.trials]
    widths = {p.pulse_ns for p in some}
    if not some:
        raise ConfigError("no pulse width failed sometimes and switched sometimes")
    if amplitude is None and len(widths) < 2:
        if len(points) == 1:
            return _one_point(points[0])
        amplitude = 1.0
    t, failed, trials = (
        np.array([getattr(p, name) for p in points], dtype=float)
        for name in ("pulse_ns", "failed", "trials")
    )

    def log_likelihood(line: np.ndarray) -> float:
        eta = line[0] - line[1] * t
        if (eta[failed < trials] >= 0).any():
            return -math.inf
        eta = np.minimum(eta, -1e-300)
        right = np.where(failed < trials, (trials - failed) * np.log(-np.expm1(eta)), 0.0)
        return float((failed * eta + right).sum())

    share = (failed + 0.5) / (trials + 1)
    if amplitude is None:
        slope, start = np.polyfit(t, np.log(share), 1, w=np.sqrt(trials * share))
        line = np.array([start, -slope])
        if not log_likelihood(line) > -math.inf or -slope <= 0:
            line = np.array([0.0, 1 / float(np.median(t))])
    else:
        line = np.array([math.log(amplitude), 1 / float(np.median(t))])
        while not log_likelihood(line) > -math.inf:
            line[1] *= 2
    free = np.array([amplitude is None, True])
    best = log_likelihood(line)
    information = np.eye(2)
    for _ in range(200):
        eta = line[0] - line[1] * t
        p = np.exp(np.minimum(eta, -1e-12))
        inside = (eta < 0).astype(float)
        gradient_eta = inside * (failed - (trials - failed) * p / (1 - p))
        weight = inside * (trials - failed) * p / (1 - p) ** 2
        design = np.stack([np.ones_like(t), -t])
        gradient = design @ gradient_eta
        information = (design * weight) @ design.T
        try:
            step = np.zeros(2)
            step[free] = np.linalg.solve(information[np.ix_(free, free)], gradient[free])
        except np.linalg.LinAlgError:
            raise ConfigError("the points do not determine a tail") from None
        scale = 1.0
        while scale > 1e-12 and not log_likelihood(line + scale * step) >= best:
            scale /= 2
        line = line + scale * step
        now = log_likelihood(line)
        if not now >= best or now - best < 1e-13 * abs(best):
            break
        best = now
    if not line[1] > 0:
        raise ConfigError("the error rate does not fall with the pulse width: take model table")
    covariance = np.linalg.inv(information[np.ix_(free, free)])
    tau = 1 / line[1]
    tau_error = tau * tau * math.sqrt(covariance[-1, -1])
    if amplitude is None:
        z = math.sqrt(_CHI_95)
        interval = (tau - z * tau_error, tau + z * tau_error)
        log_error: float | None = math.sqrt(covariance[0, 0])
    else:
        interval = _profile(lambda tau_ns: log_likelihood(np.array([line[0], 1 / tau_ns])), tau)
        log_error = None
    return TailFit(
        points=tuple(points),
        tau_ns=float(tau),
        tau_error_ns=float(tau_error),
        tau_interval_ns=interval,
        amplitude=float(math.exp(line[0])),
        log_amplitude_error=log_error,
        deviance=2 * (saturated(failed, trials) - log_likelihood(line)),
        degrees=len(points) - int(free.sum()),
    )


def _profile(log_likelihood: Callable[[float], float], best: float) -> tuple[float, float]:
    """Where the likelihood has fallen by half of chi-square's 95 %, below and above `best`."""
    least = log_likelihood(best) - _CHI_95 / 2
    ends = []
    for factor in (0.5, 2.0):
        inside, outside = best, best * factor
        for _ in range(60):
            if not log_likelihood(outside) > least:
                break
            inside, outside = outside, outside * factor
        for _ in range(80):
            middle = (inside + outside) / 2
            inside, outside = (
                (middle, outside) if log_likelihood(middle) > least else (inside, middle)
            )
        ends.append(inside)
    return ends[0], ends[1]


def _one_point(point: Point) -> TailFit:
    """Tau from one point, A = 1, with Clopper and Pearson's interval of its rate."""
    low, high = clopper_pearson(point.failed, point.trials)
    tau = [-point.pulse_ns / math.log(rate) for rate in (point.failed / point.trials, low, high)]
    return TailFit((point,), tau[0], None, (tau[1], tau[2]), 1.0, None, 0.0, 0)


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a share of `hits` in `n` (Clopper and Pearson 1934)."""

    def above(p: float, least: int) -> float:
        """P(X >= least)."""
        k = np.arange(0, least)
        choose = math.lgamma(n + 1) - np.array(
            [math.lgamma(j + 1) + math.lgamma(n - j + 1) for j in k]
        )
        return 1 - float(np.exp(choose + k * math.log(p) + (n - k) * math.log1p(-p)).sum())

    def solve(least: int, wanted: float) -> float:
        low, high = 1e-300, 1 - 1e-16
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if above(middle, least) < wanted else (low, middle)
        return (low + high) / 2

    return (solve(hits, 0.025) if hits else 0.0), (solve(hits + 1, 0.975) if hits < n else 1.0)


def chi_square_99(degrees: int) -> float:
    """The 99 % point of chi-square (Wilson and Hilferty 1931, within 1 % of it from 2 degrees)."""
    a = 2 / (9 * degrees)
    return float(degrees * (1 - a + NormalDist().inv_cdf(0.99) * math.sqrt(a)) ** 3)


def saturated(failed: np.ndarray, trials: np.ndarray) -> float:
    """Log-likelihood of every point's own rate."""
    total = 0.0
    for f, n in zip(failed, trials, strict=True):
        if 0 < f < n:
            total += f * math.log(f / n) + (n - f) * math.log1p(-f / n)
    return total
