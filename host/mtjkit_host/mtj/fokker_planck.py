"""The macrospin's Fokker-Planck equation: switching and read disturb at any current.

d rho / d tau = d/dz [(1 - z^2) ((i - z) rho + rho_z / (2 delta))], z = cos(theta) from +1 on, time
in t_d. The start is thermal, exp(-delta (1 - z^2)) on z > 0; what is still there is S.
Finite volumes make a Markov chain whose every term is positive, so nothing cancels and a rate of
1e-14 is as exact as one of 0.5. Two chains, of `cells` and of half as many, extrapolate to none.
Physics: Brown 1963; Tzoufras, AIP Advances 8 (2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mtjkit_host.mtj.switching import Floats, SwitchingModel

_STEPS = 400  # of the first, fine part of the time grid
_FURTHER = 8  # of each part after it, whose steps are twice as long
_CONVERGED = 1e-9  # relative change of the tail's rate over a part
_PARTS = 60
_TINY = 1e-280  # a probability
_NOTHING = -600.0  # ln S below which no part follows


class _Curve(NamedTuple):
    """S over time: ln S and its slope on a grid, then one exponential that ends at `floor`."""

    times: Floats
    logs: Floats
    slopes: Floats
    switched: Floats
    """1 - S with its own digits."""
    rate: float
    """Of the tail, per t_d."""
    floor: float
    """S after an infinite time: the bits that a weak current lets come back."""


@dataclass(frozen=True)
class FokkerPlanck(SwitchingModel):
    """A macrospin under spin torque, thermal and precessional switching in one."""

    delta: float
    """Barrier without current, in kT."""
    i: float
    """Write current / Ic0, at least 0."""
    t_d_ns: float
    """Unit of time, ns: `macrospin.time_unit_ns`."""
    cells: int = 400
    """Volumes of the finer chain, a multiple of 4; 400 give S within 5e-4 of itself."""

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`."""
        curve = _curve(self.delta, self.i, self.cells)
        tau = np.asarray(pulse_ns) / self.t_d_ns
        inside = _hermite(np.minimum(tau, curve.times[-1]), curve.times, curve.logs, curve.slopes)
        beyond = np.maximum(0.0, tau - curve.times[-1]) * curve.rate
        end = math.exp(curve.logs[-1])
        if curve.floor < 1e-12 * end or not curve.floor:
            return np.asarray(np.minimum(0.0, inside - beyond))
        tail = np.log(curve.floor + (end - curve.floor) * np.exp(-beyond))
        return np.asarray(np.minimum(0.0, np.where(beyond > 0, tail, inside)))

    def switched(self, pulse_ns: float) -> float:
        """1 - S, exact also where it is tiny: a read's disturb rate. `pulse_ns` >= 0."""
        curve = _curve(self.delta, self.i, self.cells)
        tau = pulse_ns / self.t_d_ns
        known = curve.switched
        if tau >= curve.times[-1] or np.interp(tau, curve.times, known) > 0.1:
            return -math.expm1(float(self.log_rates(np.array([pulse_ns]))[0]))
        late = known > 0
        times, logs = curve.times[late], np.log(known[late])
        if not len(times) or tau < times[0]:
            return 0.0
        flow = -curve.slopes[late] * np.exp(curve.logs[late])
        return math.exp(float(_hermite(np.array([tau]), times, logs, flow / known[late])[0]))

    def tail(self) -> tuple[float, float]:
        """(1 / lambda, A) of the exponential A exp(-lambda tau) that S becomes; in t_d."""
        curve = _curve(self.delta, self.i, self.cells)
        return 1 / curve.rate, math.exp(curve.logs[-1] + curve.rate * curve.times[-1])

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        if self.delta > 120:
            return [f"fokker-planck: delta = {self.delta:.4g} is not a memory cell of today"]
        return []


@lru_cache(maxsize=64)
def _curve(delta: float, i: float, cells: int) -> _Curve:
    fine = _evolve(delta, i, cells, None)
    coarse = _evolve(delta, i, cells // 2, len(fine.times))
    ratio = np.ones_like(fine.switched)
    np.divide(coarse.switched, fine.switched, out=ratio, where=fine.switched > 0)
    ratio = np.where((ratio > 0.1) & (ratio < 10), ratio, 1.0)  # the first steps' dust
    switched = fine.switched * ratio ** (-1 / 3)
    return _Curve(
        times=fine.times,
        logs=(4 * fine.logs - coarse.logs) / 3,
        slopes=(4 * fine.slopes - coarse.slopes) / 3,
        switched=switched,
        rate=(4 * fine.rate - coarse.rate) / 3,
        floor=fine.floor,
    )


def _evolve(delta: float, i: float, cells: int, points: int | None) -> _Curve:
    """One chain over time, until its tail is one exponential or for `points` points.

    The grid starts with steps of 0.1 / (1 + i) t_d; its later parts' steps double.
    """
    rates, start, floor = _chain(delta, i, cells)
    half = cells // 2
    out, back = rates[half - 1, half], rates[half, half - 1]
    h = 0.1 / (1 + i)
    advance = _exponential(rates, h)
    mass, time, rate = start, 0.0, math.inf
    found = [_state(time, mass, half, out, back)]
    for part in range(_PARTS):
        for _ in range(_STEPS if not part else _FURTHER):
            mass = mass @ advance
            time += h
            found.append(_state(time, mass, half, out, back))
        _, log, slope, _ = found[-1]
        left = math.exp(log) - floor
        before, rate = rate, -slope * math.exp(log) / left if left > 0 else rate
        done = abs(rate / before - 1) < _CONVERGED or log < _NOTHING
        if len(found) == points or (points is None and done):
            break
        advance, h = _square(advance), 2 * h
    times, logs, slopes, switched = (np.array(column) for column in zip(*found, strict=True))
    return _Curve(times, logs, slopes, switched, rate, floor)


def _state(
    time: float, mass: Floats, half: int, out: float, back: float
) -> tuple[float, float, float, float]:
    """(time, ln S, d ln S / d tau, 1 - S) of the masses."""
    stay, gone = float(mass[:half].sum()), float(mass[half:].sum())
    flow = float(mass[half - 1] * out - mass[half] * back)
    log = math.log1p(-gone) if gone < 0.5 else math.log(stay)
    return time, log, -flow / stay, gone


def _chain(delta: float, i: float, cells: int) -> tuple[Floats, Floats, float]:
    """Rates (cells, cells) whose rows sum to 0, the start, S at equilibrium."""
    faces = np.cos(math.pi * np.arange(cells + 1) / cells)
    faces[cells // 2] = 0.0
    z = (faces[:-1] + faces[1:]) / 2
    volumes = faces[:-1] - faces[1:]
    psi = delta * z * z - 2 * delta * i * z
    diffusion = (1 - faces[1:-1] ** 2) / (2 * delta) / (z[:-1] - z[1:])
    v = np.diff(psi)
    rates = np.zeros((cells, cells))
    k = np.arange(cells - 1)
    rates[k, k + 1] = diffusion * _bernoulli(-v) / volumes[:-1]
    rates[k + 1, k] = diffusion * _bernoulli(v) / volumes[1:]
    rates[np.arange(cells), np.arange(cells)] = -rates.sum(axis=1)
    start = np.where(z > 0, volumes * np.exp(-delta * (1 - z * z)), 0.0)
    end = volumes * np.exp(psi - psi.max())
    return rates, start / start.sum(), float(end[: cells // 2].sum() / end.sum())


def _bernoulli(x: Floats) -> Floats:
    """Bernoulli's function x / (e^x - 1), 1 at 0."""
    small = np.abs(x) < 1e-12
    return np.where(small, 1.0, x / np.where(small, 1.0, np.expm1(x)))


def _exponential(rates: Floats, h: float) -> Floats:
    """exp(rates h) by uniformization and squaring: every term is positive."""
    c = float(-rates.diagonal().min())
    squarings = max(0, math.ceil(math.log2(c * h / 0.25)))
    part = h / 2**squarings
    step = (rates + c * np.eye(len(rates))) * part
    middle, up, down = step.diagonal(), step.diagonal(1), step.diagonal(-1)
    term = np.eye(len(rates))
    power = term.copy()
    for n in range(1, 14):
        after = term * middle  # term @ step: the step has three diagonals
        after[:, 1:] += term[:, :-1] * up
        after[:, :-1] += term[:, 1:] * down
        term = after / n
        power += term
    power *= math.exp(-c * part)
    for _ in range(squarings):
        power = _square(power)
    return power


def _square(power: Floats) -> Floats:
    """The matrix's square; what is next to nothing becomes 0, since such numbers are slow."""
    square = power @ power
    square[square < _TINY] = 0.0
    return square


def _hermite(at: Floats, times: Floats, values: Floats, slopes: Floats) -> Floats:
    """Cubic Hermite interpolation; `at` lies within `times`."""
    k = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 2)
    width = times[k + 1] - times[k]
    x = (at - times[k]) / width
    rise = values[k + 1] - values[k]
    a = width * slopes[k] - rise
    b = rise - width * slopes[k + 1]
    smooth = values[k] + x * rise + x * (1 - x) * (a * (1 - x) + b * x)
    return np.asarray(smooth)
