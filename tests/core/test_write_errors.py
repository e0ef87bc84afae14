"""The error process as a value; runs on CPython and MicroPython."""

from mtjkit_core.errors import ConfigError
from mtjkit_core.write_errors import (
    CERTAIN,
    FLIP,
    KEEP,
    WORDS,
    WriteErrors,
    fail_limit,
    pack_limits,
    unpack_limits,
)


def refused(*arguments):
    try:
        WriteErrors(*arguments)
    except ConfigError as error:
        return str(error)
    raise AssertionError(arguments)


def test_a_rate_becomes_the_nearest_limit():
    rates = (0, 1e-8, 0.024, 0.5, 1)
    assert [fail_limit(rate) for rate in rates] == [0, 43, 103079215, 1 << 31, CERTAIN]


def test_a_rate_outside_0_to_1_is_refused():
    for rate in (-0.1, 1.5, float("nan"), float("inf")):
        try:
            fail_limit(rate)
        except ConfigError:
            continue
        raise AssertionError(rate)


def test_equal_limits_are_one_pair_however_they_are_given():
    for limits in (7, (7, 7), [(7, 7)], [(7, 7)] * 5):
        errors = WriteErrors(3, KEEP, limits, limits)
        assert errors.limits == errors.weight_limits == ((7, 7),)
        assert errors == WriteErrors(3, KEEP, 7, 7)
        assert hash(errors) == hash(WriteErrors(3, KEEP, 7, 7))
        assert errors.of_map(63) == errors.of_weights(63) == (7, 7)
    assert WriteErrors(limits=[(7, 8)] * 5).limits == ((7, 8),)
    assert WriteErrors(weight_limits=[(7, 7), (8, 8)]).weight_limits == ((7, 7), (8, 8))


def test_every_field_counts():
    made = [
        WriteErrors(),
        WriteErrors(1),
        WriteErrors(0, KEEP),
        WriteErrors(0, FLIP, 1),
        WriteErrors(0, FLIP, (0, 1)),
        WriteErrors(0, FLIP, (1, 0)),
        WriteErrors(0, FLIP, [(0, 1), (1, 0)]),
        WriteErrors(0, FLIP, 0, 1),
    ]
    assert len(set(made)) == len(made)
    assert made[0] != (0, FLIP, ((0, 0),), ((0, 0),))


def test_layers_have_their_own_limits():
    errors = WriteErrors(0, FLIP, [(1, 2), (3, CERTAIN)], [(4, 5), (6, 7), (8, 9)])
    assert errors.of_map(1) == (3, CERTAIN)
    assert errors.of_weights(2) == (8, 9)
    assert list(errors.map_words(1)) == [3, 0, 0, 1, FLIP]
    assert len(errors.weight_words(0)) == WORDS
    errors.check_layers(3)
    for layers in (2, 4):
        try:
            errors.check_layers(layers)
            raise AssertionError(layers)
        except ConfigError as error:
            assert "this network has" in str(error)
    WriteErrors(0, FLIP, (1, 2), 3).check_layers(64)


def test_what_can_fail():
    assert not WriteErrors(5, KEEP).maps_fail
    assert WriteErrors(limits=(0, 1)).maps_fail
    assert not WriteErrors(limits=1).weights_fail
    assert WriteErrors(weight_limits=(1, 0)).weights_fail
    assert WriteErrors(2, KEEP, 3, 4).with_perfect_weights() == WriteErrors(2, KEEP, 3)


def test_words_of_an_uneven_pair():
    assert list(WriteErrors(0, KEEP, (CERTAIN, 0xFFFFFFFF)).map_words(5)) == [
        0,
        0xFFFFFFFF,
        1,
        0,
        1,
    ]


def test_limits_as_bytes():
    pairs = ((0, CERTAIN), (1, 0xFFFFFFFF))
    packed = pack_limits(pairs)
    assert packed == bytes(8) + b"\0\0\0\0\1\0\0\0" + b"\1" + bytes(7) + b"\xff\xff\xff\xff\0\0\0\0"
    assert unpack_limits(packed) == pairs


def test_weights_without_errors_have_no_digest():
    assert WriteErrors(9, KEEP, 5).weights_digest() == bytes(20)
    digests = [
        WriteErrors(0, FLIP, 0, 1).weights_digest(),
        WriteErrors(1, FLIP, 0, 1).weights_digest(),
        WriteErrors(0, KEEP, 0, 1).weights_digest(),
        WriteErrors(0, FLIP, 0, 2).weights_digest(),
        WriteErrors(0, FLIP, 0, (1, 2)).weights_digest(),
    ]
    assert len(set(digests)) == 5
    assert all(len(digest) == 20 and any(digest) for digest in digests)
    assert WriteErrors(0, FLIP, 7, 1).weights_digest() == digests[0]


def test_bad_arguments_are_refused():
    assert "seed" in refused(-1)
    assert "seed" in refused(1 << 64)
    assert "kind" in refused(0, 2)
    for limits in (-1, CERTAIN + 1, (0, CERTAIN + 1), [(0, 0), (0, -1)]):
        assert "fail limit" in refused(0, FLIP, limits)
        assert "fail limit" in refused(0, FLIP, 0, limits)
    for limits in (0.5, (1,), (1, 2, 3), [(1, 2), 3], [(1, 2, 3)], [(0.5, 1)], [("1", 2)]):
        assert "pairs" in refused(0, FLIP, limits)
    for limits in ((), [(n, 0) for n in range(65)]):
        assert "layers" in refused(0, FLIP, limits)
