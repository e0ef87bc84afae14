"""The class of an image, in float32 by integers; runs on CPython and MicroPython."""

import struct

import records
from mtjkit_core.prediction import predict


class Scaled:
    """The part of a model that a prediction reads."""

    by_sign = False
    scales_at = 4

    def __init__(self, *pairs):
        self.classes = len(pairs)
        self.data = b"abcd" + b"".join([struct.pack("<ff", *pair) for pair in pairs])


def wins(scores, *pairs):
    return predict(Scaled(*pairs), scores)


def test_the_highest_score_and_of_several_the_lowest_class():
    model = Scaled((1, 0), (1, 0), (1, 0))
    for at in (0, 4):
        model.scales_at = at
        assert predict(model, (1, 5, 5)) == 1
        assert predict(model, (-2, -2, -9)) == 0
        assert predict(model, (0, 0, 0)) == 0


def test_scale_and_offset_decide():
    assert wins((3, 4), (2, 0), (1, 0)) == 0
    assert wins((3, 4), (1, 0), (1, -1.5)) == 0
    assert wins((-3, 4), (-2, 0), (1, 0)) == 0
    assert wins((7, 0), (0, 0), (1, 0.25)) == 1


def test_a_score_is_rounded_to_24_bits():
    even = (1 << 24) + 1  # a tie: to the even 2**24
    assert wins((1 << 24, even), (1, 0), (1, 0)) == 0
    assert wins((even, even + 2), (1, 0), (1, 0)) == 1
    assert wins((-even, -(1 << 24)), (1, 0), (1, 0)) == 0
    assert wins(((1 << 24) + 3, (1 << 24) + 4), (1, 0), (1, 0)) == 0  # a tie: up to the even one


def test_the_product_and_the_sum_are_rounded():
    # 3 x (2**23 + 1) / 2**23 lies halfway between two numbers: to the even one, 3 + 2**-21.
    near = (8388609 / 8388608, 0)
    assert wins((3, 3), near, (1, 2.0**-21)) == 0
    assert wins((3, 3), (1, 2.0**-21), near) == 0
    assert wins((1, 1), (1, 2.0**-24), (1, 0)) == 0  # 1 + 2**-24 is a tie: to 1
    assert wins((1, 1), (1, 0), (1, 3 * 2.0**-24)) == 1
    assert wins((-1, -1), (1, 0), (1, 2.0**-25)) == 0  # -1 + 2**-25 is a tie: to -1
    assert wins((-1, -1), (1, 0), (1, 2.0**-24)) == 1


def test_the_ends_of_the_range():
    assert wins((1, 1), (2.0**-96, 0), (-(2.0**-96), 0)) == 0
    assert wins((1, 0), (-(2.0**-96), 0), (1, 0)) == 1
    big = 2.0**95
    assert wins((1 << 29, (1 << 29) - 64), (big, big), (big, big)) == 0
    assert wins((-(1 << 29), 0), (-big, 0), (0, big)) == 0


def test_the_sign_of_one_score():
    model = Scaled((1, -2))
    model.by_sign = True
    assert [predict(model, (score,)) for score in (1, 2, 3)] == [0, 1, 1]
    model.scales_at = 0
    assert [predict(model, (score,)) for score in (-1, 0, 1)] == [0, 1, 1]


def test_predictions_are_locked():
    stored = records.load("predictions")
    assert len(stored) == records.PREDICTION_NETS
    for number, record in enumerate(stored):
        expected = record.pop("predicted")
        assert records.prediction_record(number) == record
        assert records.predicted(record) == expected
