"""The write engine against the vectors and its bounds; runs on CPython and MicroPython."""

import records
from mtjkit_core import mtj_memory as memory
from mtjkit_core import streams as random
from mtjkit_core.bits import popcount
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, fail_limit


def test_writes_are_locked():
    stored = records.load("memory")
    cases = [(shape, rate) for shape in records.SHAPES for rate in records.RATES]
    assert len(stored) == len(cases)
    for (shape, rate), record in zip(cases, stored):
        assert records.write_record(shape, rate) == record


def test_writes_with_two_limits_are_locked():
    stored = records.load("memory_1_1")
    cases = [(shape, n) for shape in records.SHAPES for n in range(len(records.LIMITS))]
    assert len(stored) == len(cases)
    for (shape, n), record in zip(cases, stored):
        assert records.uneven_write_record(shape, n) == record


def test_two_equal_limits_draw_what_one_does():
    for limit in (0, 1, 43, fail_limit(0.024), fail_limit(0.3), 1 << 31, 0xFFFFFFFF, CERTAIN):
        one, two = [0] * 32, [0] * 32
        random.seed_streams(one, 5, 6, 0, 7)
        random.seed_streams(two, 5, 6, 0, 7)
        for w in range(160):
            new = random.next_word(one, 7)
            assert random.next_word(two, 7) == new
            lanes = 0xFFFFFFFF if w % 3 else 0x0001FFFF
            failed = memory.draw_failures(one, w % 7, limit, lanes)
            assert memory.draw_uneven(two, w % 7, (limit, limit), lanes, new) == failed
            assert one == two


def test_each_direction_fails_at_its_own_rate():
    # 64,000 bits of each direction, within 5 sigma.
    state = [0] * 32
    random.seed_streams(state, 7, 0, 0, 0)
    rates = (0.024, 0.3)
    limits = tuple([fail_limit(rate) for rate in rates])
    found = [0, 0]
    for w in range(4000):
        failed = memory.draw_uneven(state, w % 8, limits, 0xFFFFFFFF, 0x0F0FF0F0)
        found[0] += popcount(failed & ~0x0F0FF0F0)
        found[1] += popcount(failed & 0x0F0FF0F0)
    for count, rate in zip(found, rates):
        assert abs(count - 64000 * rate) < 5 * (64000 * rate * (1 - rate)) ** 0.5


def one_write(limits, kind, old=0, new=0xF0F0F0F0, lanes=0xFFFFFFFF):
    cells = bytearray([old & 255] * 4)
    counts = [0] * 5
    state = [0] * 32
    random.seed_streams(state, 1, 2, 0, 3)
    intended = bytes([new & 255] * 4)
    memory.write(cells, intended, 1, 1, lanes, state, limits, kind, counts)
    return cells, counts


def test_rate_0_stores_what_is_intended_and_draws_nothing():
    cells, counts = one_write((0, 0), FLIP)
    assert cells == b"\xf0\xf0\xf0\xf0"
    assert counts == [32, 16, 0, 16, 16]


def test_rate_1_fails_every_bit():
    cells, counts = one_write((CERTAIN, CERTAIN), FLIP)
    assert cells == b"\x0f\x0f\x0f\x0f"
    assert counts == [32, 16, 32, 16, 16]
    cells, counts = one_write((CERTAIN, CERTAIN), KEEP, old=0x33)
    assert cells == b"\x33\x33\x33\x33"
    assert counts == [32, 16, 16, 16, 8]


def test_certain_errors_of_one_direction():
    cells, counts = one_write((CERTAIN, 0), FLIP)  # every 0 becomes 1
    assert cells == b"\xff\xff\xff\xff"
    assert counts == [32, 16, 16, 16, 16]
    cells, counts = one_write((0, CERTAIN), KEEP, old=0x33)  # no cell can be set
    assert cells == b"\x30\x30\x30\x30"
    assert counts == [32, 16, 8, 16, 8]


def test_flip_and_keep_draw_the_same_masks():
    flipped, counts = one_write((1 << 30, 1 << 30), FLIP)
    kept, kept_counts = one_write((1 << 30, 1 << 30), KEEP)
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
        threshold = fail_limit(rate)
        failed = 0
        for w in range(2000):
            mask = memory.draw_failures(state, w % 8, threshold, 0xFFFFFFFF)
            failed += popcount(mask)
        sigma = (64000 * rate * (1 - rate)) ** 0.5
        assert abs(failed - 64000 * rate) < 5 * sigma


def test_the_example_of_memory_md():
    state = [0] * 32
    for kind, stored, wrong in ((FLIP, 0xEE, 4), (KEEP, 0x4E, 2)):
        random.seed_streams(state, 0xFEDCBA9876543210, 9999, random.BUFFER, 1)
        assert state[:4] == [0xFFBA36BF, 0xF8A9C37F, 0x823379AA, 0x954BF839]
        cells = bytearray(b"\x0f\0\0\0")
        counts = [0] * 5
        limits = (fail_limit(0.3), fail_limit(0.3))
        memory.write(cells, b"\x5a\0\0\0", 1, 1, 0xFF, state, limits, kind, counts)
        assert cells == bytes([stored, 0, 0, 0])
        assert counts == [8, 4, wrong, 4, 2]
        assert state[:4] == [0xEA2DAEDD, 0xC29AEA96, 0x158CD610, 0x78E10F64]


def test_the_example_of_memory_md_with_two_limits():
    for kind in (FLIP, KEEP):
        state = [0] * 32
        random.seed_streams(state, 0xFEDCBA9876543210, 9999, random.BUFFER, 1)
        cells = bytearray(b"\x0f\0\0\0")
        counts = [0] * 5
        limits = (fail_limit(0.1), fail_limit(0.3))
        assert limits == (429496730, 1288490189)
        memory.write(cells, b"\x5a\0\0\0", 1, 1, 0xFF, state, limits, kind, counts)
        assert cells == b"\x4a\0\0\0"
        assert counts == [8, 4, 1, 4, 2]
        assert state[:4] == [0x636FA6CB, 0x216579B7, 0x63E9E94B, 0x41062EB0]
