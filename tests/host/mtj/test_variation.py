"""Cells that differ from each other."""

import math
from dataclasses import replace

import pytest
from mtjkit_host.mtj import macrospin
from mtjkit_host.mtj.cell import REFERENCE_RATE, Cell, Direction
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.switching import Tail
from mtjkit_host.mtj.variation import Population, class_rates

TABLE = [  # sigma, S at 55.199581, S at 272.626075, t for 0.024, t for 1e-8, saving %
    (0.1, 0.02521457, 3.938558e-8, 55.95366, 296.42427, 81.124),
    (0.2, 0.02877679, 5.226376e-7, 58.22413, 369.90607, 84.260),
    (0.3, 0.03446791, 5.511078e-6, 62.03793, 504.77356, 87.710),
    (0.5, 0.05098963, 1.490746e-4, 74.57500, 1093.04210, 93.177),
]


@pytest.mark.parametrize(("sigma", "short", "long", "t_short", "t_long", "saving"), TABLE)
def test_a_population_s_mean(sigma, short, long, t_short, t_long, saving):
    cells = Population(Tail(14.8), sigma)
    assert cells.error_rate(55.199581) == pytest.approx(short, rel=2e-7)
    assert cells.error_rate(272.626075) == pytest.approx(long, rel=4e-7)
    assert cells.pulse_width_ns(0.024) == pytest.approx(t_short, rel=1e-7)
    assert cells.pulse_width_ns(REFERENCE_RATE) == pytest.approx(t_long, rel=1e-7)
    way = Direction(cells, 150.0, 1.08)
    cell = replace(Cell(), up=way, down=way)
    assert cell.saving_percent(cell.pulse_width_ns(0.024)) == pytest.approx(saving, abs=6e-4)


def test_a_population_without_spread_is_its_cell():
    cells, one = Population(Tail(14.8), 0.0), Tail(14.8)
    assert cells.error_rate(50) == pytest.approx(one.error_rate(50), rel=1e-12)
    assert cells.mean_switching_ns(50) == pytest.approx(one.mean_switching_ns(50), rel=1e-12)


def test_a_population_s_mean_time_is_the_integral_of_its_rate():
    cells = Population(Tail(14.8), 0.3)
    slow = super(Population, cells).mean_switching_ns(80.0)
    assert cells.mean_switching_ns(80.0) == pytest.approx(slow, rel=1e-9)


def test_classes_of_cells():
    rates = class_rates(Tail(14.8), 0.3, 62.03793)
    assert rates == pytest.approx([0.0027803, 0.0101224, 0.0227087, 0.0603886], abs=6e-8)
    limits = [round(rate * 2**32) for rate in rates]
    assert limits == pytest.approx([11941394, 43475459, 97532942, 259367065], abs=40)
    mean = Population(Tail(14.8), 0.3).error_rate(62.03793)
    assert sum(rates) / 4 == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize(("classes", "share"), [(4, 0.70), (8, 0.84)])
def test_classes_carry_most_of_the_variance_between_cells(classes, share):
    rates = class_rates(Tail(14.8), 0.3, 62.03793, classes)
    every = class_rates(Tail(14.8), 0.3, 62.03793, 512)

    def variance(values):
        return sum((value - 0.024) ** 2 for value in values) / len(values)

    assert variance(rates) / variance(every) == pytest.approx(share, abs=0.01)


def test_spread_of_ln_tau_from_those_of_barrier_and_current():
    # derivatives of ln tau = delta (1 - i)^2 by ln delta and by ln Ic0, at delta 60, i 0.8
    def log_tau(delta, current):
        return delta * (1 - 0.8 / current) ** 2

    d = (log_tau(60 * 1.0001, 1) - log_tau(60, 1)) / 1e-4
    c = (log_tau(60, 1.0001) - log_tau(60, 1)) / 1e-4
    sigma = macrospin.sigma_ln_tau(60, 0.8, 0.05, 0.044)
    assert sigma == pytest.approx(math.hypot(d * 0.05, c * 0.044), rel=1e-3)


def test_the_preset_with_a_spread():
    cell = load_cell("asano2024-spread")
    assert f"{cell.saving_percent(cell.pulse_width_ns(0.024)):.1f}" == "87.7"
