"""Formulas of the perpendicular macrospin: its time, critical current, barrier and retention.

A perpendicular MTJ's free layer is one spin on a hill of `delta` = barrier / kT. Times are in units
of t_d (`time_unit_ns`), currents in units of the critical current: i = I / Ic0.
"""

from __future__ import annotations

import math

import numpy as np
from mtjkit_core.errors import ConfigError

GYROMAGNETIC = 1.76085963e11
"""rad / (s T)."""
CHARGE_C = 1.602176634e-19
BOLTZMANN = 1.380649e-23
"""J / K."""
HBAR = 1.054571817e-34
"""J s."""
MU0 = 1.25663706212e-6
"""T m / A."""
ROOM_K = 300.0
"""Temperature at which cells are described."""

_STEPS = 40_000  # of the double integral: relative error below 1e-6 up to delta = 100


def time_unit_ns(alpha: float, anisotropy_t: float) -> float:
    """t_d = (1 + alpha^2) / (alpha gamma mu0 Hk), in ns.

    Args:
        alpha: Gilbert damping.
        anisotropy_t: mu0 Hk, tesla.
    """
    return (1 + alpha**2) / (alpha * GYROMAGNETIC * anisotropy_t) * 1e9


def torque_efficiency(polarization: float) -> tuple[float, float]:
    """Slonczewski's eta for a write (down, up): P / (1 - P^2), P / (1 + P^2)."""
    return polarization / (1 - polarization**2), polarization / (1 + polarization**2)


def critical_current_ua(delta: float, alpha: float, efficiency: float, kelvin: float) -> float:
    """Ic0 = (4 e alpha k T / hbar) delta / eta, in uA (Sun 2000)."""
    ampere = 4 * CHARGE_C * alpha * BOLTZMANN * kelvin / HBAR * delta / efficiency
    return ampere * 1e6


def barrier(
    diameter_nm: float, thickness_nm: float, ms_a_m: float, ki_j_m2: float, nz: float
) -> tuple[float, float]:
    """Barrier at 300 K (in kT) and anisotropy field mu0 Hk (tesla) of a round free layer.

    K = Ki / thickness - nz mu0 Ms^2 / 2; delta = K volume / kT; mu0 Hk = 2 K / Ms.

    Args:
        diameter_nm, thickness_nm: of the free layer.
        ms_a_m: saturation magnetization, A/m.
        ki_j_m2: interface anisotropy, J/m^2.
        nz: demagnetizing factor.
    """
    energy = ki_j_m2 / (thickness_nm * 1e-9) - nz * MU0 * ms_a_m**2 / 2
    volume = math.pi / 4 * diameter_nm**2 * thickness_nm * 1e-27
    return energy * volume / (BOLTZMANN * ROOM_K), 2 * energy / ms_a_m


def kramers_time(delta: float, i: float) -> float:
    """Time constant of thermal switching below Ic0, in t_d; i < 1.

    sqrt(pi / delta) exp(delta (1 - i)^2) / ((1 - i)^2 (1 + i)) (Brown 1963; Kramers' high barrier).
    """
    return kramers_prefactor(delta, i) * math.exp(delta * (1 - i) ** 2)


def kramers_prefactor(delta: float, i: float) -> float:
    """`kramers_time` without its exponential, in t_d; i < 1."""
    return math.sqrt(math.pi / delta) / ((1 - i) ** 2 * (1 + i))


def mean_first_passage(delta: float, i: float = 0.0) -> float:
    """Mean time from one pole to the other, in t_d: twice an integral over the hill.

    2 delta int_0^pi d theta / sin(theta) e^(-psi) int_0^theta e^psi sin(phi) d phi, with
    psi = delta (z^2 - 2 i z), z = cos. A pole itself is a point and is never hit, so the outer
    integral stops 1e-6 rad before it: that changes the time by a few t_d, which counts only where
    the barrier delta (1 - i)^2 is small.
    """
    theta = (np.arange(_STEPS) + 0.5) * (math.pi - 1e-6) / _STEPS
    step = theta[1] - theta[0]
    z = np.cos(theta)
    psi = delta * (z * z - 2 * i * z)
    inner = np.logaddexp.accumulate(psi + np.log(np.sin(theta)))
    # The sum holds the last cell whole; half of it lies beyond the middle.
    half = np.log1p(-0.5 * np.exp(psi + np.log(np.sin(theta)) - inner))
    outer = inner + half - psi - np.log(np.sin(theta))
    return float(2 * delta * step * step * np.exp(outer).sum())


def tail_rate(delta: float, i: float) -> float:
    """Rate of the exponential tail above Ic0, per t_d: 2 (i - 1) + (3 - i) / ((i - 1) delta)."""
    return 2 * (i - 1) + (3 - i) / ((i - 1) * delta)


def retention_error(delta: float, t_d_ns: float, hold_ns: float) -> float:
    """Probability that a bit is wrong after a hold time: (1 - exp(-2 t / tau)) / 2.

    The bit may come back, so the limit is 1/2; tau is `mean_first_passage`.
    """
    return -math.expm1(-2 * hold_ns / (t_d_ns * mean_first_passage(delta))) / 2


def retention_delta(rate: float, t_d_ns: float, hold_ns: float) -> float:
    """The barrier that keeps a bit for `hold_ns` with the error probability `rate`, 0 < rate < 1/2.

    Raises:
        ConfigError: a barrier between 5 and 200 does not do it.
    """
    low, high = 5.0, 200.0
    if not retention_error(high, t_d_ns, hold_ns) <= rate <= retention_error(low, t_d_ns, hold_ns):
        raise ConfigError(f"no barrier from {low:g} to {high:g} kT gives the rate {rate:g}")
    for _ in range(60):
        middle = (low + high) / 2
        wrong = retention_error(middle, t_d_ns, hold_ns) > rate
        low, high = (middle, high) if wrong else (low, middle)
    return (low + high) / 2


def read_disturb_bound(delta: float, i: float, reduced_time: float) -> float:
    """Upper bound of the read disturb rate: t / `kramers_time`; i < 1, `reduced_time` in t_d."""
    return reduced_time / kramers_time(delta, i)


def sigma_ln_tau(delta: float, i: float, sigma_delta: float, sigma_current: float) -> float:
    """Spread of ln tau between cells below Ic0, exponent 2, from those of delta and Ic0.

    sqrt((delta (1-i)^2 s_delta)^2 + (2 delta (1-i) i s_current)^2); spreads are relative.
    """
    return math.hypot(delta * (1 - i) ** 2 * sigma_delta, 2 * delta * (1 - i) * i * sigma_current)


def temperature_factors(kelvin: float, n: float, t_star_k: float) -> tuple[float, float, float]:
    """Factors of (delta, Ic0, t_d) from 300 K to `kelvin`.

    r = m(T) / m(300), m = 1 - (T / T*)^1.5; delta ~ r^n 300 / T, Ic0 ~ r^n, t_d ~ r^(1-n).
    n = 0 keeps the barrier, Ic0 and t_d.
    """
    if not n:
        return ROOM_K / kelvin, 1.0, 1.0
    r = (1 - (kelvin / t_star_k) ** 1.5) / (1 - (ROOM_K / t_star_k) ** 1.5)
    return ROOM_K / kelvin * r**n, r**n, r ** (1 - n)
