"""Predictions and inputs of many images: the core's, one by one, and IEEE 754's."""

import numpy as np
import pytest
import records
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.prediction import predict
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, PixelTables, encode
from mtjkit_export.predictions import predictions, to_inputs


def model_of(classes, **options):
    layer = BinaryLayer.dense(np.ones((classes, 9), int))
    return Model(encode(BinaryNet("net", [layer], (1, 1, 9), **options)))


def sizes(rng, classes):
    """Random numbers of both signs and of very different sizes; some are 0."""
    numbers = rng.uniform(1, 2, classes) * 2.0 ** rng.integers(-12, 12, classes)
    return (numbers * rng.choice([-1, 0, 1], classes, p=[0.4, 0.1, 0.5])).astype(np.float32)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("largest", [5, 2000, (1 << 30) - 1])
def test_numpy_and_the_core_predict_the_same(seed, largest):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 6))
    options = {"scale": sizes(rng, classes), "offset": sizes(rng, classes)}
    if classes == 1:
        options["by_sign"] = True
    model = model_of(classes, **options)
    scores = rng.integers(-largest, largest + 1, (100, classes)).astype(np.int32)
    found = predictions(model, scores)
    assert found.tolist() == [predict(model, one) for one in scores.tolist()]
    values = scores.astype(np.float32) * options["scale"]
    values = values.astype(np.float32) + options["offset"]
    assert values.dtype == np.float32
    expected = (values[:, 0] >= 0).astype(int) if classes == 1 else values.argmax(axis=1)
    assert found.tolist() == expected.tolist()


def test_many_images_are_predicted_as_the_vectors_say():
    """The records that `mtjkit_core.prediction` is held against on MicroPython too."""
    for record in records.load("predictions"):
        scale, offset = np.frombuffer(records.unhexed(record["pairs"]), "<f4").reshape(-1, 2).T
        options = {"scale": scale, "offset": offset, "by_sign": record["by_sign"]}
        scores = np.array(records.scores_of(record), np.int32)
        found = predictions(model_of(record["classes"], **options), scores)
        assert found.tolist() == record["predicted"]


def test_without_scales_the_highest_score_of_the_lowest_class():
    scores = np.array([[1, 5, 5], [-2, -2, -9], [0, 0, 0]], np.int32)
    assert predictions(model_of(3), scores).tolist() == [1, 0, 0]
    assert predictions(None, scores / 2).tolist() == [1, 0, 0]
    assert predictions(model_of(1), scores[:, :1]).tolist() == [0, 0, 0]


def test_a_scale_alone_has_offsets_of_0():
    model = model_of(2, scale=[-1, 1])
    assert np.frombuffer(model.data, "<f4", 4, model.scales_at).tolist() == [-1, 0, 1, 0]
    assert predictions(model, np.array([[-5, 4]], np.int32)).tolist() == [0]


def test_pixels_become_inputs_by_rule_by_tables_or_not_at_all():
    pixels = np.array([[0, 1, 127], [128, 200, 255]], np.uint8)
    layer = BinaryLayer.dense(np.ones((2, 3), int))

    def model(rule):
        return Model(encode(BinaryNet("net", [layer], (1, 1, 3), rule)))

    assert to_inputs(model(PixelRule()), pixels).tolist() == [[-128, -127, -1], [0, 72, 127]]
    tables = np.array([np.arange(256) % 100, np.arange(256) // 2, 127 - np.arange(256) // 2])
    assert to_inputs(model(PixelTables(tables)), pixels).tolist() == [[0, 0, 64], [28, 100, 0]]
    assert model(PixelTables(tables)).version == (2, 1)
    taken = model(None)
    assert to_inputs(taken, pixels[:1]).tolist() == [[0, 1, 127]]
    with pytest.raises(ConfigError, match="takes int8 as it is, but an input is 255"):
        to_inputs(taken, pixels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PixelTables(np.zeros((3, 255))), "pixel tables are"),
        (lambda: PixelTables(np.full((3, 256), 128)), "from -128 to 127"),
        (lambda: model_of(2, pixel_rule=PixelTables(np.zeros((3, 256)))), "3 pixel tables"),
        (lambda: model_of(2, scale=[1, 2, 3]), "2 scores need"),
        (lambda: model_of(2, offset=[1, np.nan]), "offset: each number"),
        (lambda: model_of(2, offset=[1, 1e30]), "offset: each number"),
        (lambda: model_of(2, by_sign=True), "the sign of one score decides"),
        (lambda: model_of(2, inputs="bits"), "inputs are one of int8, 0/1, [+]-1"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
