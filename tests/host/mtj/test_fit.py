"""Fitted cells against values that were computed another way, and bad files."""

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.mtj.fit import Point, clopper_pearson, fit_tail, read_measurements
from mtjkit_host.mtj.switching import Tail
from scipy.stats import beta

POINTS = [
    Point(t, f, 10_000)
    for t, f in zip((20, 40, 60, 80, 100), (2589, 670, 174, 45, 12), strict=True)
]


def test_tau_and_amplitude():
    fit = fit_tail(POINTS)
    assert fit.tau_ns == pytest.approx(14.814530, abs=2e-6)
    assert fit.amplitude == pytest.approx(0.998484, abs=2e-6)
    assert fit.tau_error_ns == pytest.approx(0.268734, rel=2e-3)
    assert fit.log_amplitude_error == pytest.approx(0.034805, rel=2e-3)
    assert fit.deviance == pytest.approx(0.010179, abs=2e-6)
    assert fit.degrees == 3
    assert fit.words() == ["no incubation seen: A is 1 within its error"]


def test_tau_alone():
    fit = fit_tail(POINTS, 1.0)
    assert fit.tau_ns == pytest.approx(14.803966, abs=2e-6)
    assert fit.tau_interval_ns == pytest.approx((14.578853, 15.032218), abs=2e-5)


def test_one_point():
    fit = fit_tail([Point(55.2, 24, 1000)])
    assert fit.tau_ns == pytest.approx(14.8001, abs=1e-4)
    assert fit.tau_interval_ns == pytest.approx((13.2341, 16.5358), abs=1e-4)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (24, 1000), (10, 10)])
def test_an_exact_interval(hits, n):
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1
    assert clopper_pearson(hits, n) == pytest.approx((low, high), abs=1e-9)


def test_incubation_is_found_and_its_own_data_fit():
    rng = np.random.default_rng(3)
    tail, times = Tail(10.0, 6.0), [10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0]
    points = [Point(t, int(rng.binomial(20_000, tail.error_rate(t))), 20_000) for t in times]
    fit = fit_tail(points)
    assert abs(fit.tau_ns - 10) < 4 * fit.tau_error_ns
    assert fit.amplitude == pytest.approx(6, rel=0.15)
    assert fit.words() == ["A is above 1: the cell incubates"]


def test_two_kinds_of_cells_are_no_tail():
    rates = [0.5 * np.exp(-t / 5) + 0.5 * np.exp(-t / 60) for t in (5, 20, 40, 80, 120)]
    points = [
        Point(t, round(100_000 * p), 100_000)
        for t, p in zip((5, 20, 40, 80, 120), rates, strict=True)
    ]
    assert "does not fit" in fit_tail(points).words()[0]


def test_nothing_to_fit():
    with pytest.raises(ConfigError, match="no pulse width"):
        fit_tail([Point(5, 0, 10), Point(9, 10, 10)])


HEADER = "pulse_ns,current_ua,direction,switched,trials\n"


def test_a_file_of_measurements(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text(HEADER + "20,150,up,7411,10000\n\n40,150,up,9330,10000\n40,,down,5,10\n")
    found = read_measurements(file)
    assert found[("up", 150.0)] == POINTS[:2]
    assert found[("down", None)] == [Point(40, 5, 10)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the first line must be pulse_ns,current_ua"),
        ("a,b\n", "the first line must be"),
        (HEADER, "holds no measurement"),
        (HEADER + "20,150,up,5\n", "line 2: 4 values, not 5"),
        (HEADER + "20,150,left,5,9\n", "line 2: direction is one of up, down"),
        (HEADER + "20,150,up,10,9\n", "line 2: switched takes a whole number from 0 to 9"),
        (HEADER + "x,150,up,1,9\n", "line 2: pulse_ns takes a number"),
        (HEADER + "-1,150,up,1,9\n", "line 2: pulse_ns or current_ua is out of range"),
        (HEADER + "20,150,up,0,0\n", "line 2: trials takes"),
        (HEADER + '"20,150,up,0,0\n', "no CSV file"),
    ],
)
def test_a_bad_file_ends_in_one_line(tmp_path, text, why):
    file = tmp_path / "data.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why) as caught:
        read_measurements(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_measurements(tmp_path / "none.csv")
