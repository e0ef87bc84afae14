"""The write engine against the vectors and its bounds; runs on CPython and MicroPython."""

import records
from mtjkit_core import mtj_memory as memory
from mtjkit_core import streams as random
from mtjkit_core.bits import popcount
from mtjkit_core.errors import ConfigError


def test_writes_are_locked():
    stored = records.load("memory")
    cases = [(shape, rate) for shape in records.SHAPES for rate in records.RATES]
    assert len(stored) == len(cases)
    for (shape, rate), record in zip(cases, stored):
        assert records.write_record(shape, rate) == record


def test_a_rate_becomes_the_nearest_threshold():
    rates = (0, 1e-8, 0.024, 0.5, 1)
    expected = [0, 43, 103079215, 1 << 31, memory.CERTAIN]
    assert [memory.threshold_from_rate(rate) for rate in rates] == expected


def test_a_rate_outside_0_to_1_is_refused():
    for rate in (-0.1, 1.5, float("nan"), float("inf")):
        try:
            memory.threshold_from_rate(rate)
        except ConfigError:
            continue
        raise AssertionError(rate)


def one_write(threshold, errors, old=0, new=0xF0F0F0F0, lanes=0xFFFFFFFF):
    cells = bytearray([old & 255] * 4)
    counts = [0, 0, 0]
    state = [0] * 32
    random.seed_streams(state, 1, 2, 0, 3)
    intended = bytes([new & 255] * 4)
    memory.write(cells, intended, 1, 1, lanes, state, threshold, errors, counts)
    return cells, counts


def test_rate_0_stores_what_is_intended_and_draws_nothing():
    cells, counts = one_write(0, memory.FLIP)
    assert cells == b"\xf0\xf0\xf0\xf0"
    assert counts == [32, 16, 0]


def test_rate_1_fails_every_bit():
    cells, counts = one_write(memory.CERTAIN, memory.FLIP)
    assert cells == b"\x0f\x0f\x0f\x0f"
    assert counts == [32, 16, 32]
    cells, counts = one_write(memory.CERTAIN, memory.KEEP, old=0x33)
    assert cells == b"\x33\x33\x33\x33"
    assert counts == [32, 16, 16]


def test_flip_and_keep_draw_the_same_masks():
    flipped, counts = one_write(1 << 30, memory.FLIP)
    kept, kept_counts = one_write(1 << 30, memory.KEEP)
    for f, k in zip(flipped, kept):
        assert k == f & 0xF0
    assert 0 < kept_counts[2] < counts[2]


def test_padding_lanes_neither_fail_nor_draw():
    for lanes in (1, 0x7FFFFFFF):
        state = [0] * 32
        random.seed_streams(state, 1, 2, 0, 3)
        assert memory.draw_failures(state, 0, 0xFFFFFFFF, lanes) & ~lanes == 0
    state = [0] * 32
    before = list(state)
    assert memory.draw_failures(state, 0, 1 << 31, 0) == 0
    assert state == before


def test_the_error_rate_lies_within_binomial_bounds():
    # N = 64,000 bits, within 5 sigma of N p.
    for rate in (0.5, 0.024, 0.001):
        state = [0] * 32
        random.seed_streams(state, 7, 0, 0, 0)
        threshold = memory.threshold_from_rate(rate)
        failed = 0
        for w in range(2000):
            mask = memory.draw_failures(state, w % 8, threshold, 0xFFFFFFFF)
            failed += popcount(mask)
        sigma = (64000 * rate * (1 - rate)) ** 0.5
        assert abs(failed - 64000 * rate) < 5 * sigma


def test_the_example_of_memory_md():
    state = [0] * 32
    for errors, stored, wrong in ((memory.FLIP, 0xEE, 4), (memory.KEEP, 0x4E, 2)):
        random.seed_streams(state, 0xFEDCBA9876543210, 9999, random.BUFFER, 1)
        assert state[:4] == [0xFFBA36BF, 0xF8A9C37F, 0x823379AA, 0x954BF839]
        cells = bytearray(b"\x0f\0\0\0")
        counts = [0, 0, 0]
        threshold = memory.threshold_from_rate(0.3)
        memory.write(cells, b"\x5a\0\0\0", 1, 1, 0xFF, state, threshold, errors, counts)
        assert cells == bytes([stored, 0, 0, 0])
        assert counts == [8, 4, wrong]
        assert state[:4] == [0xEA2DAEDD, 0xC29AEA96, 0x158CD610, 0x78E10F64]
