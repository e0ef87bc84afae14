"""The Fokker-Planck chain against a Legendre expansion's numbers and against trajectories."""

import math
from functools import cache

import numpy as np
import pytest
from mtjkit_host.mtj.fokker_planck import FokkerPlanck
from mtjkit_host.mtj.macrospin import mean_first_passage
from mtjkit_host.mtj.switching import Precessional

EXACT = [  # delta, i, tau, S: chains of up to 1600 cells = a Legendre expansion
    (60, 0.8, 10, 0.94652892), (60, 0.8, 50, 0.38242424),
    (60, 1.0, 5, 0.92724925), (60, 1.0, 20, 0.065726687),
    (60, 1.2, 6.5, 0.31624550), (60, 1.2, 18.25, 9.7502774e-4),
    (60, 1.5, 4, 0.30267647), (60, 1.5, 6.5, 0.024835255),
    (60, 1.5, 14, 9.9298132e-6), (60, 1.5, 20.5, 1.1209079e-8),
    (60, 2.0, 2.5, 0.27543935), (60, 2.0, 3.75, 0.025169189),
    (60, 2.0, 7.75, 8.0063047e-6), (60, 2.0, 11, 1.1431403e-8),
    (60, 3.0, 1.5, 0.20445834), (60, 3.0, 2.75, 1.5367679e-3),
    (40, 0.9, 30, 0.048330860), (40, 1.5, 6, 0.026409068), (40, 2, 4, 0.010015210),
    (80, 1, 30, 0.020408054), (80, 1.5, 7, 0.02043174), (80, 2, 4, 0.02050222),
]  # fmt: skip


@pytest.mark.parametrize(("delta", "i", "tau", "rate"), EXACT)
def test_error_rates(delta, i, tau, rate):
    assert FokkerPlanck(delta, i, 1.0).error_rate(tau) == pytest.approx(rate, rel=5e-4)
    assert FokkerPlanck(delta, i, 2.5).error_rate(2.5 * tau) == pytest.approx(rate, rel=5e-4)


TAILS = [  # i, 1 / lambda, A at delta 60
    (0.6, 14756.1, 1.00059), (0.7, 408.688, 1.02245), (0.8, 43.3175, 1.21294),
    (0.9, 11.6495, 1.83911), (1.0, 5.16561, 3.15725), (1.1, 2.98726, 5.36693),
    (1.2, 2.01100, 8.51685), (1.5, 0.957773, 22.1373), (2, 0.496060, 48.8038),
    (3, 0.250006, 92.0531),
]  # fmt: skip


@pytest.mark.parametrize(("i", "tau", "amplitude"), TAILS)
def test_every_current_ends_in_a_tail(i, tau, amplitude):
    found, start = FokkerPlanck(60, i, 1.0).tail()
    assert found == pytest.approx(tau, rel=1e-5)
    assert start == pytest.approx(amplitude, rel=5e-4)


def test_a_deep_thermal_cell():
    found, start = FokkerPlanck(60, 0.5, 1.0).tail()
    assert found == pytest.approx(2129378, rel=1e-5)
    assert start == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("delta", "i", "tau", "rate"),
    [
        (60, 0.3, 5, 7.6583e-14),
        (60, 0.5, 5, 2.2509e-8),
        (60, 0.5, 50, 1.97613e-5),
        (40, 0.3, 5, 2.7563e-9),
        (40, 0.5, 5, 1.06043e-5),
        (30, 0.3, 5, 5.1815e-7),
    ],
)
def test_read_disturb(delta, i, tau, rate):
    assert FokkerPlanck(delta, i, 1.0).switched(tau) == pytest.approx(rate, rel=5e-4)


@pytest.mark.parametrize(
    ("i", "saving"),
    [(1.0, 75.1), (1.2, 71.5), (1.5, 68.3), (2, 65.9), (3, 64.1), (4, 63.3)],
)
def test_what_a_macrospin_saves(i, saving):
    cell = FokkerPlanck(60, i, 1.0)
    found = 100 * (1 - cell.pulse_width_ns(0.024) / cell.pulse_width_ns(1e-8))
    assert f"{found:.1f}" == str(saving)


@pytest.mark.parametrize(
    ("delta", "i", "amplitude", "saving"),
    [(60, 0.94367, 2.310, 76.28), (40, 0.90446, 2.009, 76.84)],
)
def test_the_paper_s_slope_as_a_macrospin(delta, i, amplitude, saving):
    t_d = 1.893204
    cell = FokkerPlanck(delta, i, t_d)
    slope, start = cell.tail()
    assert slope * t_d == pytest.approx(14.8, rel=3e-4)
    assert start == pytest.approx(amplitude, rel=3e-3)
    found = 100 * (1 - cell.pulse_width_ns(0.024) / cell.pulse_width_ns(1e-8))
    assert found == pytest.approx(saving, abs=0.015)


@cache
def _energy(delta, i, rate):
    return i * i * FokkerPlanck(delta, i, 1.0).pulse_width_ns(rate)


@pytest.mark.parametrize(
    ("delta", "i", "rate", "energy"),
    [
        (60, 1.846, 1e-8, 44.006),
        (60, 1.733, 1e-3, 21.026),
        (60, 1.636, 0.024, 14.568),
        (60, 1.557, 0.1, 11.553),
    ],
)
def test_the_best_current(delta, i, rate, energy):
    """At a fixed resistance the energy goes with i^2 t, and is lowest at this i."""
    assert _energy(delta, i, rate) == pytest.approx(energy, rel=1e-4)
    assert _energy(delta, i * 0.93, rate) > energy < _energy(delta, i * 1.07, rate)


@pytest.mark.parametrize(
    ("delta", "conventional", "short"), [(40, 42.978, 13.649), (80, 44.690, 15.203)]
)
def test_the_lowest_energy_of_other_barriers(delta, conventional, short):
    for rate, energy, near in ((1e-8, conventional, 1.85), (0.024, short, 1.65)):
        currents = (near - 0.1, near, near + 0.1)
        around = [_energy(delta, i, rate) for i in currents]
        curvature, slope, _ = np.polyfit(currents, around, 2)
        found = _energy(delta, -slope / (2 * curvature), rate)
        assert found == pytest.approx(energy, rel=2e-4)
        assert found <= min(around)


@pytest.mark.parametrize(
    ("i", "ratios"),
    [(1.2, (8.3, 162)), (1.5, (2.9, 5.5)), (2, (1.60, 1.81)), (3, (1.07, 1.07)), (4, (0.91, 0.90))],
)
def test_how_wrong_the_published_precessional_form_is(i, ratios):
    exact, published = FokkerPlanck(60, i, 1.0), Precessional(60, i, 1.0)
    for rate, ratio in zip((0.024, 1e-8), ratios, strict=True):
        found = published.error_rate(exact.pulse_width_ns(rate)) / rate
        assert found == pytest.approx(ratio, rel=0.02)


@pytest.mark.parametrize(
    ("i", "ratios"),
    [(1.5, (1.14, 2.14)), (2, (1.03, 1.16)), (3, (1.003, 1.003)), (4, (0.999, 0.985))],
)
def test_the_precessional_form_with_its_own_constant(i, ratios):
    exact, own = FokkerPlanck(60, i, 1.0), Precessional(60, i, 1.0, own_constant=True)
    for rate, ratio in zip((0.024, 1e-8), ratios, strict=True):
        found = own.error_rate(exact.pulse_width_ns(rate)) / rate
        assert found == pytest.approx(ratio, rel=0.01)


def test_rate_and_pulse_are_inverse_also_beyond_the_grid():
    for i in (0.3, 0.8, 1.5, 6.0):
        cell = FokkerPlanck(40, i, 3.0)
        for rate in (0.9, 0.024, 1e-8, 1e-40):
            if i < 0.5 and rate < 0.5:
                continue  # switched bits come back: see below
            assert cell.error_rate(cell.pulse_width_ns(rate)) == pytest.approx(rate, rel=1e-9)
        assert cell.error_rate(0) == 1


def test_without_current_the_bits_end_half_and_half():
    cell = FokkerPlanck(20, 0, 1.0)
    assert cell.error_rate(1e14) == pytest.approx(0.5, rel=1e-6)
    time = cell.pulse_width_ns(0.75)  # (1 + exp(-2 t / mean first passage)) / 2
    assert time == pytest.approx(math.log(2) / 2 * mean_first_passage(20), rel=1e-4)


def macrospins(delta, i, tau, count, seed):
    """S of `count` macrospins: the stochastic Landau-Lifshitz-Gilbert-Slonczewski equation, Heun.

    The Fokker-Planck equation is about z alone; here the whole vector moves, precession included.
    Time is in t_d, in which the precession turns by 1 / alpha.
    """
    alpha, rng = 0.01, np.random.default_rng(seed)
    # A thermal start on z > 0: z^2 with density exp(delta z^2), by rejection.
    z = np.empty(0)
    while len(z) < count:
        u = 1 + np.log1p(-rng.random(4 * count) * -np.expm1(-delta)) / delta  # density exp(delta z)
        keep = rng.random(4 * count) < np.exp(delta * (u * u - u))
        z = np.concatenate([z, u[keep & (u > 0)]])
    z = z[:count]
    phi = rng.random(count) * 2 * math.pi
    r = np.sqrt(1 - z * z)
    m = np.stack([r * np.cos(phi), r * np.sin(phi), z])
    steps = round(tau / 0.0005)
    h = tau / steps
    noise = math.sqrt(h / delta)  # fluctuation-dissipation theorem

    def drift(m, thermal):
        field = thermal.copy()
        field[2] += h / alpha * m[2]
        # The current's torque alpha i m x (m x z), which pushes to -z, is a field -alpha i m x z.
        field[0] -= h * i * m[1]
        field[1] += h * i * m[0]
        first = np.cross(m, field, axis=0)
        return -first - alpha * np.cross(m, first, axis=0)

    for _ in range(steps):
        thermal = noise * rng.standard_normal(m.shape)
        a = drift(m, thermal)
        b = drift(m + a, thermal)
        m = m + (a + b) / 2
        m /= np.sqrt((m * m).sum(axis=0))
    return float((m[2] > 0).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("i", "tau"), [(1.5, 4.0), (2.0, 2.5), (2.0, 3.75)])
def test_trajectories_of_the_whole_vector_agree(i, tau):
    count = 3000
    exact = FokkerPlanck(60, i, 1.0).error_rate(tau)
    found = macrospins(60, i, tau, count, seed=1)
    assert abs(found - exact) < 4 * math.sqrt(exact * (1 - exact) / count) + 0.01 * exact
