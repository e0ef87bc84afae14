"""Calibration: bits agree more often with the error-free ones, and nothing but thresholds moves."""

import numpy as np
import pytest
from mtjkit_core.chip_errors import RANDOM, ChipErrors
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, KEEP, NO_ERRORS, WriteErrors, fail_limit
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.plan.calibrate import calibrate
from mtjkit_host.simulate.simulator import open_simulator
from support.nets import random_net

PICTURES = 80


@pytest.fixture(scope="module")
def small():
    model = load(CARRIED_MODEL)
    return model, to_input(model, load_images(CARRIED_IMAGES, model, 2 * PICTURES).images)


def maps(model, inputs, errors):
    simulator, trace = open_simulator(model), []
    simulator.run(inputs, np.arange(len(inputs), dtype=np.uint32), errors, trace)
    return simulator.elements(trace)


TENTH = fail_limit(0.1)


@pytest.mark.parametrize(
    "errors",
    [
        WriteErrors(3, FLIP, TENTH),
        WriteErrors(3, KEEP, TENTH),
        ChipErrors(3, KEEP, TENTH, before=RANDOM),
    ],
)
def test_bits_agree_more_often_with_the_error_free_ones(small, errors):
    model, inputs = small
    made = calibrate(model, inputs[:PICTURES], errors)
    other = inputs[PICTURES:]
    clean = maps(model, other, NO_ERRORS)
    before = [(a != b).mean() for a, b in zip(clean, maps(model, other, errors), strict=True)]
    after = [(a != b).mean() for a, b in zip(clean, maps(made, other, errors), strict=True)]
    assert all(a < b for a, b in zip(after[1:6], before[1:6], strict=True))


def test_thresholds_are_those_of_what_cells_hold_before_an_image(small):
    model, inputs = small
    errors = WriteErrors(3, KEEP, TENTH), ChipErrors(3, KEEP, TENTH, before=RANDOM)
    clean = maps(model, inputs[PICTURES:], NO_ERRORS)
    wrong = []
    for of in errors:
        made = calibrate(model, inputs[:PICTURES], of)
        found = maps(made, inputs[PICTURES:], errors[1])
        wrong.append(sum((a != b).sum() for a, b in zip(clean, found, strict=True)))
    assert wrong[1] < 0.97 * wrong[0]


def test_without_errors_every_stored_bit_stays(small):
    model, inputs = small
    made = calibrate(model, inputs[:PICTURES], NO_ERRORS)
    theirs, ours = (maps(m, inputs[:PICTURES], NO_ERRORS) for m in (model, made))
    assert all(np.array_equal(a, b) for a, b in zip(theirs, ours, strict=True))


def test_only_thresholds_change(small):
    model, inputs = small
    made = calibrate(model, inputs[:20], WriteErrors(1, FLIP, fail_limit(0.1)))
    data = np.frombuffer(bytes(made.data), np.uint8).copy()
    for layer in model.layers[:-1]:
        part = slice(layer.thresholds_at, layer.thresholds_at + 4 * layer.out_channels)
        data[part] = np.frombuffer(model.data, np.uint8)[part]
    assert bytes(data[:-4]) == bytes(model.data)[:-4]
    assert bytes(made.data) != bytes(model.data)


@pytest.mark.parametrize("seed", range(12))
def test_nets_of_any_kind_are_calibrated_to_their_own_bits(seed):
    """Without errors the calibrated net is the net, on the pictures that calibrated it."""
    rng = np.random.default_rng(seed)
    model = Model(encode(random_net(rng)))
    inputs = rng.integers(-128, 128, (9, *model.input_shape), np.int8)
    made = calibrate(model, inputs, NO_ERRORS)
    ours, theirs = (open_simulator(m).run(inputs)[0] for m in (made, model))
    assert np.array_equal(ours, theirs)


def test_no_picture_and_wrong_limits_are_refused(small):
    model, inputs = small
    with pytest.raises(ConfigError, match="at least one picture"):
        calibrate(model, inputs[:0], NO_ERRORS)
    with pytest.raises(ConfigError, match="fail limits of 2 layers"):
        calibrate(model, inputs[:2], WriteErrors(0, FLIP, [(1, 2), (3, 4)]))
