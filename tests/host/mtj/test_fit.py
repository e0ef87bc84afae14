"""Fitted cells against values that were computed another way, and bad files."""

from pathlib import Path

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.mtj import command
from mtjkit_host.mtj.cell_file import load_cell
from mtjkit_host.mtj.fit import Point, clopper_pearson, fit_tail, read_measurements
from mtjkit_host.mtj.fokker_planck import FokkerPlanck
from mtjkit_host.mtj.joint_fit import JointFit, Series, fit_jointly
from mtjkit_host.mtj.switching import Tail
from scipy.special import betaincinv

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
    low = betaincinv(hits, n - hits + 1, 0.025) if hits else 0
    high = betaincinv(hits + 1, n - hits, 0.975) if hits < n else 1
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


def macrospin_points(delta, t_d_ns, ic0_ua, times, trials=20_000, seed=1):
    """A series of points for each direction and current, drawn from a macrospin."""
    rng = np.random.default_rng(seed)
    found = []
    for direction, currents in ic0_ua.items():
        for current, i in currents:
            rates = [FokkerPlanck(delta, i, t_d_ns, 200).error_rate(t) for t in times]
            points = [
                Point(t, int(rng.binomial(trials, p)), trials)
                for t, p in zip(times, rates, strict=True)
            ]
            found.append(Series(direction, current, tuple(points)))
    return found


@pytest.mark.program
def test_one_macrospin_for_currents_and_directions(tmp_path):
    # Ic0 up 50 uA, down 30 uA, delta 40, t_d 2 ns; below and above the critical current.
    currents = {"up": [(45.0, 0.9), (75.0, 1.5)], "down": [(39.0, 1.3)]}
    series = macrospin_points(40.0, 2.0, currents, (4.0, 8.0, 14.0, 24.0))
    fit = fit_jointly(series)
    true = {"delta": 40.0, "t_d_ns": 2.0, "up": 50.0, "down": 30.0}
    for name, value in true.items():
        low, high = fit.intervals[name]
        middle = (low * high) ** 0.5
        assert abs(np.log(value / middle)) < 2 * np.log(high / low)  # 4 standard errors
        assert high < 1.2 * low
    assert fit.degrees == 8
    assert fit.words() == ["one macrospin fits all currents and directions"]

    data, file = tmp_path / "data.csv", tmp_path / "cell.toml"
    lines = [
        f"{p.pulse_ns},{one.current_ua},{one.direction},{p.trials - p.failed},{p.trials}\n"
        for one in series
        for p in one.points
    ]
    data.write_text(HEADER + "".join(lines))
    command.fit_cell(str(data), "0.5", None, str(file), str(tmp_path / "plot"))
    cell = load_cell(file)
    assert cell.up.switching.i == pytest.approx(75 / fit.ic0_ua["up"], rel=1e-4)
    assert cell.down.switching.i == pytest.approx(39 / fit.ic0_ua["down"], rel=1e-4)
    assert cell.has_power
    assert (tmp_path / "plot.svg").exists()


def test_what_is_no_macrospin_is_said():
    ends = {"delta": (20.0, 60.0), "t_d_ns": (1.9, 2.1), "up": (49.0, 51.0)}
    fit = JointFit((), 40.0, 2.0, {"up": 50.0}, ends, deviance=100.0, degrees=2)
    assert "does not fit: deviance 100 at 2 degrees" in fit.words()[0]
    assert "delta is hardly determined" in fit.words()[1]
    assert len(fit.words()) == 2


@pytest.mark.parametrize(
    ("series", "why"),
    [
        ([("up", 50.0, (Point(5, 10, 100), Point(9, 3, 100)))], "two currents of a direction"),
        ([("up", 50.0, (Point(5, 9, 99),)), ("up", 60.0, (Point(5, 9, 99),))], "2 points do not"),
        (
            [("up", c, (Point(5, 0, 99), Point(9, 0, 99))) for c in (50.0, 60.0)],
            "no pulse width failed",
        ),
    ],
)
def test_what_determines_no_macrospin_is_refused(series, why):
    with pytest.raises(ConfigError, match=why):
        fit_jointly([Series(*one) for one in series])


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
        ("a;b\n", "not 'a;b'"),
        (HEADER, "holds no measurement"),
        (HEADER + "20,150,up,5\n", "line 2: 4 values, not 5"),
        (HEADER + "20,150,left,5,9\n", "line 2: direction is one of up, down"),
        (HEADER + "20,150,up,10,9\n", "line 2: switched takes a whole number from 0 to 9"),
        (HEADER + "x,150,up,1,9\n", "line 2: pulse_ns takes a number"),
        (HEADER + "-1,150,up,1,9\n", "line 2: pulse_ns or current_ua is out of range"),
        (HEADER + "20,150,up,0,0\n", "line 2: trials takes"),
        (HEADER + '"20,150,up,0,0\n', "not a CSV file"),
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


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_a_file_without_end_is_refused():
    with pytest.raises(ConfigError, match="/dev/zero: longer than"):
        read_measurements("/dev/zero")
