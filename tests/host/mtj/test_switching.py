"""Models of switching against numbers that were computed another way."""

import math

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.mtj import macrospin
from mtjkit_host.mtj.switching import (
    Points,
    Precessional,
    SwitchingModel,
    Tail,
    Thermal,
    angle_constant,
    integral,
)

T_D = 1.893204  # ns: alpha 0.01, mu0 Hk 0.3 T


def exactly(value):
    """To the digits in which references are printed."""
    return pytest.approx(value, rel=1e-7)


def test_the_paper_is_a_tail_with_amplitude_1():
    tail = Tail(14.8)
    assert tail.pulse_width_ns(0.024) == exactly(55.199581)
    assert tail.pulse_width_ns(1e-3) == exactly(102.234778)
    assert tail.pulse_width_ns(1e-8) == exactly(272.626075)
    assert tail.mean_switching_ns(55.199581) == exactly(14.4448)


def test_a_tail_with_incubation():
    tail = Tail(14.8, 5)
    assert tail.error_rate(30) == exactly(0.658632795)
    assert tail.mean_switching_ns(30) == exactly(28.8719157)
    assert tail.error_rate(80) == exactly(0.022461164)
    assert tail.mean_switching_ns(80) == exactly(38.2872559)
    assert tail.pulse_width_ns(0.024) == exactly(79.0192625)
    assert tail.pulse_width_ns(1e-8) == exactly(296.4457561)
    assert tail.error_rate(10) == 1
    assert tail.mean_switching_ns(10) == 10


class Slow(SwitchingModel):
    """A model by its `log_rates` alone."""

    def __init__(self, model):
        self.model = model

    def log_rates(self, pulse_ns):
        return self.model.log_rates(pulse_ns)


@pytest.mark.parametrize(
    "model",
    [
        Tail(14.8),
        Tail(14.8, 5),
        Tail(3.0, 0.8),
        Thermal(60, 0.8, 1.0),
        Points(((5.0, 0.5), (10.0, 0.2), (30.0, 1e-4))),
    ],
)
def test_closed_forms_are_what_bisection_and_quadrature_give(model):
    slow = Slow(model)
    for rate in (0.3, 0.024, 1e-8):
        pulse = model.pulse_width_ns(rate)
        assert slow.pulse_width_ns(rate) == pytest.approx(pulse, rel=1e-10)
        assert model.error_rate(pulse) == pytest.approx(rate, rel=1e-10)
        assert slow.error_rate(pulse) == pytest.approx(rate, rel=1e-10)
        # Simpson meets the models' corners.
        assert slow.mean_switching_ns(pulse) == pytest.approx(
            model.mean_switching_ns(pulse), rel=2e-4
        )
    assert model.pulse_width_ns(0) == math.inf
    assert model.pulse_width_ns(1) == 0
    assert model.error_rate(0) == slow.error_rate(0) == 1


@pytest.mark.parametrize(
    ("delta", "i", "exponent", "tau_ns"),
    [
        (60, 0.8, 1, 162754.791),
        (60, 0.8, 2, 11.0231764),
        (40, 0.7, 1, 162754.791),
        (40, 0.7, 2, 36.5982345),
    ],
)
def test_thermal_time_constants(delta, i, exponent, tau_ns):
    assert Thermal(delta, i, 1.0, exponent).tail.tau_ns == pytest.approx(tau_ns, rel=1e-8)


@pytest.mark.parametrize(
    ("i", "tau"),
    [(0, 2.613173e25), (0.5, 1994735.3), (0.6, 13197.339), (0.7, 331.12966), (0.8, 35.032697)],
)
def test_kramers_prefactor(i, tau):
    assert Thermal.kramers(60, i, 1.0).tail.tau_ns == pytest.approx(tau, rel=1e-6)
    assert macrospin.kramers_time(60, i) == pytest.approx(tau, rel=1e-6)


def test_the_paper_s_tau_under_both_exponents():
    # tau0 = 1 ns, delta 60: 14.8 ns is i = 0.955 in the plane and 0.788 for a perpendicular cell
    assert Thermal(60, 0.955, 1.0, 1).tail.tau_ns == pytest.approx(14.8, rel=0.01)
    assert Thermal(60, 0.788, 1.0, 2).tail.tau_ns == pytest.approx(14.8, rel=0.01)
    assert Thermal(60, 0.955, 1.0, 1).warnings()  # 0.12 kT in a perpendicular cell
    assert not Thermal(60, 0.7, 1.0).warnings()


@pytest.mark.parametrize(
    ("i", "rate", "tau"),
    [
        (1.5, 0.024, 7.616805504),
        (1.5, 1e-8, 22.319578),
        (2, 0.024, 4.011053281),
        (2, 1e-8, 11.362521766),
        (3, 0.024, 2.077426502),
        (3, 1e-8, 5.753181401),
    ],
)
def test_precessional_as_published(i, rate, tau):
    assert Precessional(60, i, 1.0).pulse_width_ns(rate) == exactly(tau)
    assert Precessional(60, i, T_D).pulse_width_ns(rate) == exactly(tau * T_D)


def test_precessional_is_sure_of_nothing_below_its_range():
    assert Precessional(60, 2, 1.0).warnings()
    assert not Precessional(60, 2.5, 1.0).warnings()
    assert Precessional(60, 3, 1.0).error_rate(0) == 1
    assert Precessional(60, 3, 1.0).error_rate(200) < 1e-150


def test_the_angle_s_own_constant():
    for i, c in ((1.5, 0.953979387), (2, 1.587401052), (3, 2.309401077), (1e9, 4)):
        assert angle_constant(i) == pytest.approx(c, rel=1e-7)


@pytest.mark.parametrize(("i", "rate"), [(2, 2.01667), (1.5, 1.05)])
def test_tail_rate(i, rate):
    assert macrospin.tail_rate(60, i) == pytest.approx(rate, rel=2e-6)


def test_unit_of_time_and_critical_current():
    assert macrospin.time_unit_ns(0.01, 0.3) == pytest.approx(T_D, rel=1e-6)
    ways = macrospin.torque_efficiency(0.6)
    down, up = (macrospin.critical_current_ua(60, 0.01, eta, 300) for eta in ways)
    assert up == pytest.approx(34.232425, rel=1e-6)
    assert down == pytest.approx(16.109377, rel=1e-6)
    assert up / down == pytest.approx(2.125)


def test_a_public_model_s_cell():
    # ARM-software/mram_simulation_framework, llg_parameters.va
    delta, field = macrospin.barrier(50, 1, 1.2e6, 1e-3, 0.941)
    assert delta == pytest.approx(70.446, rel=2e-5)
    assert field == pytest.approx(0.24767, rel=2e-5)
    # Its gyromagnetic ratio is another.
    assert macrospin.time_unit_ns(0.01, field) == pytest.approx(2.29432, rel=6e-4)
    assert macrospin.critical_current_ua(delta, 0.01, 0.75, 300) == pytest.approx(23.642, rel=2e-4)


@pytest.mark.parametrize(
    ("delta", "time"),
    [(25, 2.662615e10), (30, 3.580841e12), (40, 6.769302e16), (60, 2.658054e25)],
)
def test_mean_first_passage_without_current(delta, time):
    assert macrospin.mean_first_passage(delta) == pytest.approx(time, rel=1e-6)


@pytest.mark.parametrize(
    ("i", "time"), [(0.5, 2129399.5), (0.6, 14777.20), (0.7, 429.35), (0.8, 62.48), (0.9, 28.77)]
)
def test_mean_first_passage_under_a_current(i, time):
    # A pole is a point and never hit exactly: where the integral ends is worth a few t_d.
    assert macrospin.mean_first_passage(60, i) == pytest.approx(time, abs=4.5)


@pytest.mark.parametrize(
    ("delta", "rate"), [(25, 1.983744e-5), (30, 1.475086e-7), (40, 7.802948e-12)]
)
def test_retention_over_a_millisecond(delta, rate):
    assert macrospin.retention_error(delta, T_D, 1e6) == pytest.approx(rate, rel=1e-6)
    assert macrospin.retention_delta(rate, T_D, 1e6) == pytest.approx(delta, rel=1e-6)


YEAR_NS = 365.25 * 86400e9


@pytest.mark.parametrize(
    ("hold_ns", "rate", "delta"),
    [(1e6, 1e-6, 28.088), (1e7, 1e-6, 30.431), (1e9, 1e-6, 35.107), (10 * YEAR_NS, 1e-9, 61.868)],
)
def test_the_barrier_that_a_hold_time_needs(hold_ns, rate, delta):
    """The references take Brown's closed time; the exact one is 1.7 to 3.9 % longer."""
    assert T_D * macrospin.kramers_time(delta, 0) == pytest.approx(hold_ns / rate, rel=1e-3)
    assert delta - 0.045 < macrospin.retention_delta(rate, T_D, hold_ns) < delta - 0.01


def test_bits_that_are_lost_may_come_back():
    assert macrospin.retention_error(10, 1.0, 1e12) == 0.5
    with pytest.raises(ConfigError, match="no barrier"):
        macrospin.retention_delta(0.4, 1.0, 1e-3)


@pytest.mark.parametrize(
    ("delta", "i", "tau", "bound"),
    [
        (60, 0.3, 5, 2.3732e-12),
        (60, 0.5, 5, 2.5066e-6),
        (60, 0.5, 50, 2.5066e-5),
        (40, 0.3, 5, 3.4946e-8),
        (40, 0.5, 5, 3.0375e-4),
        (30, 0.3, 5, 4.0641e-6),
    ],
)
def test_read_disturb_bound(delta, i, tau, bound):
    assert macrospin.read_disturb_bound(delta, i, tau) == pytest.approx(bound, rel=1e-4)


@pytest.mark.parametrize(
    ("kelvin", "n", "delta", "current", "time"),
    [
        (358.15, 0, 50.258272, 1, 1),
        (358.15, 2.18, 45.045200, 0.896274, 1.061067),
        (398.15, 0, 45.209092, 1, 1),
        (398.15, 2.18, 37.238562, None, None),
    ],
)
def test_temperature(kelvin, n, delta, current, time):
    barrier, ic0, t_d = macrospin.temperature_factors(kelvin, n, 1120)
    assert 60 * barrier == exactly(delta)
    if current is not None:
        assert ic0 == pytest.approx(current, rel=1e-6)
        assert t_d == pytest.approx(time, rel=1e-6)


def test_a_table_goes_through_its_points_and_says_where_it_ends():
    table = Points(((10.0, 0.1), (20.0, 0.01), (40.0, 1e-3)))
    for pulse, rate in table.points:
        assert table.error_rate(pulse) == pytest.approx(rate, rel=1e-12)
    assert table.error_rate(15) == pytest.approx(math.sqrt(0.1 * 0.01))
    assert table.error_rate(60) == pytest.approx(1e-4)
    assert table.pulse_width_ns(1e-4) == pytest.approx(60)
    assert not table.warnings(40)
    assert "extrapolated" in table.warnings(60)[0]


def test_a_table_whose_rate_rises_again():
    table = Points(((1.0, 0.01), (2.0, 0.4)))
    assert table.pulse_width_ns(0.1) == pytest.approx(0.5)
    assert table.error_rate(9) == pytest.approx(0.4)
    assert "rises" in table.warnings()[0]
    with pytest.raises(ConfigError, match="no pulse"):
        table.pulse_width_ns(1e-3)


def test_an_integral():
    assert integral(lambda t: np.exp(-t), 0, 3) == pytest.approx(1 - math.exp(-3), rel=1e-12)
    assert integral(lambda t: t, 2, 2) == 0
