"""Seeds and draws against the vectors; runs on CPython and MicroPython."""

import records
from mtjkit_core import streams as random


def test_streams_and_draws_are_locked():
    stored = records.load("random")
    assert len(stored) == len(records.PLACES)
    for place, record in zip(records.PLACES, stored):
        assert records.random_record(place) == record


def test_generator_is_xoshiro128plusplus():
    # First outputs of the authors' C code from the state 1, 2, 3, 4.
    state = [1, 2, 3, 4]
    drawn = [random.next_word(state, 0) for _ in range(4)]
    assert drawn == [641, 1573767, 3222811527, 3517856514]


def test_mix_is_eight_chacha_quarter_rounds():
    # The first of them gives RFC 8439's ea2a92f4 cb1cf8ce 4581472e 5881c4bb (section 2.1.1).
    mixed = random.mix(0x11111111, 0x01020304, 0x9B8D6F43, 0x01234567)
    assert mixed == (0x04D572D1, 0x3AB5BE5A, 0xB6DBE041, 0x2523AF22)


def test_only_zero_mixes_to_the_generators_dead_state_and_no_place_is_zero():
    assert random.mix(0, 0, 0, 0) == (0, 0, 0, 0)
    assert random.place_word(random.WEIGHTS, 63, 7) < 0x6B206574


def test_streams_differ_in_every_coordinate():
    seen = set()
    for place in ((0, 0, 0, 0), (1, 0, 0, 0), (1 << 32, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)):
        state = [0] * 32
        random.seed_streams(state, *place)
        for s in range(random.STREAMS):
            seen.add(tuple(state[4 * s : 4 * s + 4]))
    assert len(seen) == 5 * 8
