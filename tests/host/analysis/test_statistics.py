"""Statistics against closed forms, scipy, and curves whose crossing is known."""

import math

import numpy as np
import pytest
from mtjkit_host import paper
from mtjkit_host.analysis.statistics import (
    acceptable_rate,
    crossing,
    degradation,
    mean_95,
    monotone,
    t_quantile,
)
from mtjkit_host.campaign.rrmse import VarianceRatios
from mtjkit_host.mtj.cell import Cell


def test_t_quantiles_are_scipy_s():
    stats = pytest.importorskip("scipy.stats", reason="needs scipy")
    for freedom in [*range(1, 60), 100, 1000]:
        assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=1e-4)


def test_the_interval_is_student_s():
    found = mean_95([1.0, 2.0, 3.0, 4.0])
    # s = sqrt(5/3), n = 4, t = 3.1824
    assert found.value == 2.5
    assert found.half_width == pytest.approx(3.1824 * math.sqrt(5 / 3) / 2)
    assert mean_95([0.7]).half_width is None


def test_the_interval_covers_95_percent():
    # 4000 samples of 10: the share that covers has sigma sqrt(.95 * .05 / 4000) = 0.0034.
    rng = np.random.default_rng(1)
    covered = 0
    for sample in rng.normal(3, 2, (4000, 10)):
        found = mean_95(list(sample))
        covered += abs(found.value - 3) <= found.half_width
    assert abs(covered / 4000 - 0.95) < 4 * 0.0034


def test_degradation_is_relative():
    assert degradation(0.6, 0.8) == pytest.approx(0.25)
    assert degradation(0.84, 0.8) == pytest.approx(-0.05)


def test_monotone_pools_what_falls():
    assert monotone([1, 2, 3]).tolist() == [1, 2, 3]
    assert monotone([3, 2, 1]).tolist() == [2, 2, 2]
    assert monotone([0, 2, 1, 4, 3, 2]).tolist() == [0, 1.5, 1.5, 3, 3, 3]


def test_monotone_is_the_least_squares_fit():
    from itertools import combinations_with_replacement

    rng = np.random.default_rng(2)
    for _ in range(20):
        values = rng.integers(0, 4, 5).astype(float)
        grid = np.arange(0, 3.01, 0.25)
        best = min(
            sum((a - b) ** 2 for a, b in zip(fit, values, strict=True))
            for fit in combinations_with_replacement(grid, 5)
        )
        assert np.sum((monotone(values) - values) ** 2) <= best + 1e-12


def test_the_crossing_is_linear_over_log_rate():
    # degradation = 0.1 * log10(rate / 1e-4): 0.15 is reached at 10**-2.5
    rates = [1e-4, 1e-3, 1e-2, 1e-1]
    assert crossing(rates, [0, 0.1, 0.2, 0.3], 0.15) == pytest.approx(10**-2.5)
    assert crossing(rates, [0, 0.1, 0.2, 0.3], 0.2) == pytest.approx(1e-2)
    assert crossing(rates, [0, 0.1, 0.2, 0.3], 0.31) == math.inf
    assert crossing(rates, [0.2, 0.1, 0.2, 0.3], 0.1) == -math.inf
    assert crossing(rates, [0.1, 0.1, 0.2, 0.3], 0.1) == 1e-4
    # one point that noise raised does not cross when its neighbours pull it down
    assert crossing(rates, [0, 0.16, 0.1, 0.3], 0.15) > 1e-2


def test_the_bootstrap_covers_the_true_rate():
    """A known curve with known noise: the interval holds the true crossing about 95 % of times."""
    rng = np.random.default_rng(3)
    rates = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1]
    true = 0.02 * (np.array(rates) / 1e-2)  # 0.05 is reached between 1e-2 and 3e-2
    expected = crossing(rates, true, 0.05)
    covered = 0
    for k in range(100):
        values = true[:, None] + rng.normal(0, 0.01, (6, 10))
        found = acceptable_rate(rates, values.tolist(), 0.05, seed=k, draws=400)
        assert found.low <= found.rate <= found.high
        covered += found.low <= expected <= found.high
    # A bootstrap of 10 values is a little narrow: 0.92 expected, sigma 0.027 for 100 trials.
    assert covered >= 82


def test_a_rate_out_of_reach_says_where_it_lies():
    rates = [0.01, 0.1]
    below = acceptable_rate(rates, [[0.5, 0.6], [0.7, 0.8]], 0.3)
    above = acceptable_rate(rates, [[0.0, 0.1], [0.1, 0.2]], 0.3)
    assert (below.rate, below.bound) == (None, "< 0.01")
    assert (above.rate, above.bound) == (None, "> 0.1")
    single = acceptable_rate(rates, [[0.0], [0.6]], 0.3)
    assert single.rate == pytest.approx(math.sqrt(1e-3))
    assert single.low is None is single.high
    begun = acceptable_rate(rates, [[0.1, 0.2], [0.7]], 0.3)  # as a stopped campaign leaves it
    assert begun.rate is not None
    assert begun.low is None is begun.high


def test_rrmse_of_layers_with_known_variance():
    """Eq. 3 on made-up layers: x has variance v, delta has variance r v, so RRMSE = sqrt(sum r)."""
    rng = np.random.default_rng(4)
    n, blocks, shares = 50_000, 8, (0.0, 0.01, 0.25, 1.5)
    ratios = VarianceRatios()
    for _ in range(blocks):
        clean, faulty = [], []
        for k, share in enumerate(shares):
            spread = 10.0**k
            x = rng.normal(5 * spread, spread, n)
            clean.append(x)
            # a constant shift is not a variance: it must not count
            faulty.append(x + 3 * spread + rng.normal(0, spread * math.sqrt(share), n))
        ratios.add(clean, faulty)
    # A sample variance of N normal values has relative sigma sqrt(2 / N); the ratio of two of them
    # sqrt(4 / N) = 0.0032 for N = 400,000.
    assert ratios.ratios() == pytest.approx(shares, rel=5 * 0.0032, abs=1e-12)
    assert ratios.rrmse() == pytest.approx(math.sqrt(sum(shares)), rel=5 * 0.0032)


def test_rrmse_of_flipped_signs_in_closed_form():
    """Signs with mean m, flipped with chance p: var(x) = 1 - m^2, var(delta) = 4p - (2pm)^2."""
    rng = np.random.default_rng(5)
    n, p, plus = 1 << 20, 0.1, 0.7
    x = np.where(rng.random(n) < plus, 1, -1).astype(np.int8)
    faulty = np.where(rng.random(n) < p, -x, x).astype(np.int8)
    ratios = VarianceRatios()
    for some in np.split(np.arange(n), 8):
        ratios.add([x[some].reshape(16, -1)], [faulty[some].reshape(16, -1)])
    m = 2 * plus - 1
    expected = (4 * p - (2 * p * m) ** 2) / (1 - m**2)
    assert ratios.ratios()[0] == pytest.approx(expected, rel=0.015)  # 5 sigma = 5 sqrt(9 / (n p))


def test_rrmse_of_constant_layers():
    ratios = VarianceRatios()
    ratios.add([np.ones(9), np.ones(9)], [np.ones(9), np.arange(9)])
    assert ratios.ratios() == [0.0, math.inf]


def test_table_2_follows_from_its_rates():
    """The paper's ten energies and savings are Eq. 2's, to the printed digit."""
    cell = Cell()
    for rows in paper.TABLE_2.values():
        for row in rows:
            pulse_ns = cell.pulse_width_ns(row.rate)
            assert round(cell.write_energy_pj(pulse_ns), 2) == row.energy_pj
            assert round(cell.saving_percent(pulse_ns), 1) == row.saving_percent


def test_weights_of_the_paper_s_nets():
    assert paper.weights("Binary") == paper.weights("Fxp8") == 14_022_016
    assert round(paper.weights("Binary_x3") / 8e6, 1) == 8.4  # MB packed
