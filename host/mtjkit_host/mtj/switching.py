"""How a cell switches: one function S(t), the probability that a pulse of t does not switch it.

S(0) = 1. From S follow the write-error rate S(t), the pulse width for a rate, and the mean time
until switching, which a driver that stops then pays for. A new model is one class with
`log_rates`, and one test with numbers that were computed another way.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_host.mtj.macrospin import kramers_prefactor

Floats = NDArray[np.float64]

_PANELS = 4096  # of an integral of S
_NOTHING = 1e-18  # a rate below which S adds nothing to an integral


class Switching(Protocol):
    """What a write needs to know of one direction of a cell. Times are in ns."""

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """Logarithms of S of pulses >= 0, any shape."""

    def error_rate(self, pulse_ns: float) -> float:
        """S: probability that a commanded switching has not happened after the pulse."""

    def pulse_width_ns(self, rate: float) -> float:
        """The shortest pulse with the error rate `rate`; infinite for 0."""

    def mean_switching_ns(self, pulse_ns: float) -> float:
        """Mean time until the cell has switched or the pulse ends: integral of S."""

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """What is doubtful about the model with these parameters, or at this pulse width."""


class SwitchingModel(ABC):
    """A `Switching` of which only `log_rates` is needed; closed forms override the rest."""

    @abstractmethod
    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`."""

    def error_rate(self, pulse_ns: float) -> float:
        """See `Switching.error_rate`."""
        return math.exp(float(self.log_rates(np.array([pulse_ns]))[0]))

    def pulse_width_ns(self, rate: float) -> float:
        """See `Switching.pulse_width_ns`: bisection of ln S.

        Raises:
            ConfigError: no pulse of up to 1e15 ns reaches the rate.
        """
        if rate <= 0:
            return math.inf
        wanted, low, high = math.log(rate), 0.0, 1.0
        if wanted >= 0:
            return 0.0
        while float(self.log_rates(np.array([high]))[0]) > wanted:
            low, high = high, 2 * high
            if high > 1e15:
                raise ConfigError(f"cell: no pulse reaches the error rate {rate:g}")
        while high - low > 1e-14 * high:
            middle = (low + high) / 2
            above = float(self.log_rates(np.array([middle]))[0]) > wanted
            low, high = (middle, high) if above else (low, middle)
        return (low + high) / 2

    def mean_switching_ns(self, pulse_ns: float) -> float:
        """See `Switching.mean_switching_ns`."""
        end = min(pulse_ns, self.pulse_width_ns(_NOTHING))
        return integral(lambda t: np.exp(self.log_rates(t)), 0.0, end)

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        return []


class _Function(Protocol):
    def __call__(self, t: Floats, /) -> Floats: ...


def integral(function: _Function, start: float, end: float) -> float:
    """Integral of a smooth function of an array from `start` to `end` (Simpson)."""
    if not end > start:
        return 0.0
    values = function(np.linspace(start, end, 2 * _PANELS + 1))
    odd, even = values[1:-1:2].sum(), values[2:-1:2].sum()
    step = (end - start) / (2 * _PANELS)
    return float(step / 3 * (values[0] + 4 * odd + 2 * even + values[-1]))


@dataclass(frozen=True)
class Tail(SwitchingModel):
    """S = min(1, A exp(-t / tau)): every model's short rates, and A = 1 is the paper's Eq. 2."""

    tau_ns: float
    """Time constant, ns."""
    amplitude: float = 1.0
    """A; above 1, nothing happens for tau ln A (incubation); below 1, some switch at once."""

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`."""
        logs = math.log(self.amplitude) - pulse_ns / self.tau_ns
        return np.where(pulse_ns > 0, np.minimum(0.0, logs), 0.0)

    def error_rate(self, pulse_ns: float) -> float:
        """See `Switching.error_rate`."""
        if pulse_ns <= 0:
            return 1.0
        return min(1.0, self.amplitude * math.exp(-pulse_ns / self.tau_ns))

    def switching_probability(self, pulse_ns: float) -> float:
        """1 - S, exact where it is small too: Eq. 2, 1 - exp(-t / tau)."""
        if self.amplitude != 1:
            return 1 - self.error_rate(pulse_ns)
        return -math.expm1(-pulse_ns / self.tau_ns)

    def pulse_width_ns(self, rate: float) -> float:
        """See `Switching.pulse_width_ns`: tau ln(A / rate)."""
        if rate <= 0:
            return math.inf
        width = self.tau_ns * (math.log(self.amplitude) - math.log(rate))
        return abs(width) if rate < 1 and width > 0 else 0.0

    def mean_switching_ns(self, pulse_ns: float) -> float:
        """See `Switching.mean_switching_ns`."""
        if self.amplitude < 1:
            return -self.amplitude * self.tau_ns * math.expm1(-pulse_ns / self.tau_ns)
        start = self.tau_ns * math.log(self.amplitude)
        if pulse_ns <= start:
            return pulse_ns
        return start - self.tau_ns * math.expm1((start - pulse_ns) / self.tau_ns)

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        if self.amplitude < 0.9:
            return [
                f"tail: the amplitude {self.amplitude:g} is below 1: some cells switch at once, "
                "as a second population would"
            ]
        return []


@dataclass(frozen=True)
class Thermal(SwitchingModel):
    """Thermally activated switching below Ic0: tau = tau0 exp(delta (1 - i)^xi), A = 1.

    Taniguchi et al., arXiv:1211.5818; Bedau et al., APL 97, 262502 (2010).
    """

    delta: float
    """Barrier without current, in kT."""
    i: float
    """Write current / Ic0, below 1."""
    tau0_ns: float
    """Time of one attempt, ns."""
    exponent: float = 2.0
    """xi: 2 for a perpendicular cell, 1 for one in the plane."""

    @classmethod
    def kramers(cls, delta: float, i: float, t_d_ns: float) -> Thermal:
        """A perpendicular cell with the macrospin's own prefactor (Brown 1963)."""
        return cls(delta, i, t_d_ns * kramers_prefactor(delta, i))

    @property
    def barrier(self) -> float:
        """What is left of the barrier under the current, in kT."""
        return float(self.delta * (1 - self.i) ** self.exponent)

    @property
    def tail(self) -> Tail:
        """The same as a `Tail`."""
        return Tail(self.tau0_ns * math.exp(self.barrier))

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`."""
        return self.tail.log_rates(pulse_ns)

    def error_rate(self, pulse_ns: float) -> float:
        """See `Switching.error_rate`."""
        return self.tail.error_rate(pulse_ns)

    def pulse_width_ns(self, rate: float) -> float:
        """See `Switching.pulse_width_ns`."""
        return self.tail.pulse_width_ns(rate)

    def mean_switching_ns(self, pulse_ns: float) -> float:
        """See `Switching.mean_switching_ns`."""
        return self.tail.mean_switching_ns(pulse_ns)

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        left = self.delta * (1 - self.i) ** 2
        if left < 5:
            return [
                f"thermal model: only {left:.2g} kT of barrier are left, it holds from 5; "
                "take fokker-planck"
            ]
        return []


@dataclass(frozen=True)
class Precessional(SwitchingModel):
    """Fast switching above Ic0, in the published closed form, to compare with others' work.

    S = 1 - exp(-c delta (i - 1) / (i exp(2 (i - 1) t / t_d) - 1)), after Butler et al., IEEE
    Trans. Magn. 48(12), 4684 (2012), which calls the form an approximation.
    """

    delta: float
    """Barrier without current, in kT."""
    i: float
    """Write current / Ic0, above 1."""
    t_d_ns: float
    """Unit of time, ns: `macrospin.time_unit_ns`."""
    own_constant: bool = False
    """Take c of the macrospin's angle (`angle_constant`) in place of the published pi^2 / 4."""

    @property
    def constant(self) -> float:
        """The formula's c."""
        return angle_constant(self.i) if self.own_constant else math.pi**2 / 4

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`."""
        growth = 2 * (self.i - 1) * pulse_ns / self.t_d_ns
        below = math.log(self.i) + growth + np.log1p(-np.exp(-growth) / self.i)
        log_x = math.log(self.constant * self.delta * (self.i - 1)) - below
        x = np.exp(np.clip(log_x, -30.0, 700.0))
        logs = np.where(log_x < -30, log_x, np.log(-np.expm1(-x)))
        return np.where(pulse_ns > 0, logs, 0.0)

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        if self.i < 2.5:
            return [
                f"precessional model: at i = {self.i:g} its error rates are too high, it holds "
                "from 2.5; take fokker-planck"
            ]
        return []


def angle_constant(i: float) -> float:
    """c(i) = 2^(2i/(i+1)) ((i-1)/i)^(2/(i+1)): from a small angle to the equator; i > 1.

    The integral of d theta / d t = sin(theta) (i - cos(theta)), time in t_d.
    """
    return float(2 ** (2 * i / (i + 1)) * ((i - 1) / i) ** (2 / (i + 1)))


@dataclass(frozen=True)
class Points(SwitchingModel):
    """A table of measured points, straight lines of ln(rate) between them and from (0, 1) on.

    Behind the last point the last line goes on where it falls; a rate that rises holds.
    """

    points: tuple[tuple[float, float], ...]
    """(pulse width in ns, error rate), by rising width; rates above 0 and at most 1."""

    def _lines(self) -> tuple[Floats, Floats, float]:
        times = np.array([0.0, *(t for t, _ in self.points)])
        logs = np.array([0.0, *(math.log(rate) for _, rate in self.points)])
        slope = min(0.0, float((logs[-1] - logs[-2]) / (times[-1] - times[-2])))
        return times, logs, slope

    def log_rates(self, pulse_ns: Floats) -> Floats:
        """See `Switching.log_rates`."""
        times, logs, slope = self._lines()
        beyond = np.maximum(0.0, pulse_ns - times[-1])
        return np.asarray(np.interp(pulse_ns, times, logs) + slope * beyond)

    def pulse_width_ns(self, rate: float) -> float:
        """See `Switching.pulse_width_ns`: the first crossing.

        Raises:
            ConfigError: no pulse reaches the rate.
        """
        if rate <= 0:
            return math.inf
        times, logs, slope = self._lines()
        wanted = math.log(rate)
        for k in range(1, len(times)):
            if logs[k] <= wanted:
                step = logs[k] - logs[k - 1]
                share = 0.0 if wanted >= logs[k - 1] else (wanted - logs[k - 1]) / step
                return float(times[k - 1] + share * (times[k] - times[k - 1]))
        if not slope:
            raise ConfigError(f"cell: no pulse of the table reaches the error rate {rate:g}")
        return float(times[-1] + (wanted - logs[-1]) / slope)

    def mean_switching_ns(self, pulse_ns: float) -> float:
        """See `Switching.mean_switching_ns`: exact for straight lines of ln S."""
        times, _, _ = self._lines()
        knots = np.array([*times[times < pulse_ns], pulse_ns])
        logs = self.log_rates(knots)
        fall, ends = logs[:-1] - logs[1:], np.exp(logs)
        flat = np.abs(fall) < 1e-9
        means = np.where(flat, ends[:-1], (ends[:-1] - ends[1:]) / np.where(flat, 1.0, fall))
        return float((np.diff(knots) * means).sum())

    def warnings(self, pulse_ns: float | None = None) -> list[str]:
        """See `Switching.warnings`."""
        found = []
        if any(b > a for (_, a), (_, b) in zip(self.points, self.points[1:], strict=False)):
            found.append(
                "table: the error rate rises with the pulse width somewhere; a pulse for a rate "
                "is the shortest one, and energies of drivers that stop do not hold"
            )
        last, rate = self.points[-1]
        if pulse_ns is not None and pulse_ns > last:
            found.append(
                f"table: {pulse_ns:.4g} ns lie beyond the last point ({last:g} ns, rate {rate:g}): "
                "extrapolated"
            )
        return found
