"""Other signs of stored channels: the same scores, fewer ones."""

import networks
import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from mtjkit_host.simulate.polarity import export_with_fewer_ones, fewer_ones
from support.nets import random_images, random_net, small_model

ALL = [*networks.NETWORKS, *networks.GEOMETRIES, *networks.KINDS]


def check(model, images):
    """The reference's arithmetic gives the same scores, and no layer has more ones."""
    made = fewer_ones(model, images)
    traces = [], []
    for net, trace in zip((model, made.model), traces, strict=True):
        simulator = BinaryNumpy(net)
        scores, counts = simulator.run(images, trace=trace)
        maps = simulator.elements(trace)
        trace[:] = scores, counts, maps
    assert np.array_equal(traces[0][0], traces[1][0])
    assert made.ones == tuple(int(trace[1][:, 3].sum()) for trace in traces)
    assert made.toggled == tuple(int(trace[1][:, 1].sum()) for trace in traces)
    hidden = zip(model.layers[:-1], made.inverted, made.free, *(t[2] for t in traces), strict=True)
    for layer, inverted, free, before, after in hidden:
        changed = (before != after).reshape(-1, layer.out_channels).any(axis=0).sum()
        assert changed == inverted <= free <= layer.out_channels
        assert after.sum() <= before.sum()
    return made


@pytest.mark.parametrize("name", ALL)
def test_every_kind_of_network_keeps_its_scores(name):
    check(*small_model(name))


@pytest.mark.parametrize("seed", range(15))
def test_any_network_keeps_its_scores(seed):
    model = Model(encode(random_net(np.random.default_rng(seed))))
    check(model, random_images(model, 4, seed))


def test_the_kinds_of_the_list_have_channels_to_invert():
    made = [check(*small_model(name)) for name in ALL]
    assert sum(sum(one.inverted) > 0 for one in made) > len(ALL) // 2
    assert any(sum(one.free) == 0 for one in made)  # averaged, or padded with -1 or 1


def test_pooled_channels_have_signs():
    model, images = small_model("pooled")
    made = fewer_ones(model, images)
    first = model.layers[0]
    assert (made.model.version, first.pool, made.free[0]) == ((2, 2), 1, first.out_channels)
    assert made.inverted[0] > 0


def test_the_carried_net_writes_fewer_ones_and_fails_as_before():
    model = load(CARRIED_MODEL)
    inputs = some_inputs(model, 60)
    made = fewer_ones(model, inputs[:30])
    assert made.ones[1] < 0.95 * made.ones[0]
    assert made.toggled[1] < made.toggled[0]
    # An error that inverts the bit inverts the same cell, whatever its sign.
    flip = WriteErrors(3, FLIP, fail_limit(0.05))
    runs = [BinaryNumpy(net).run(inputs[30:], errors=flip) for net in (model, made.model)]
    assert np.array_equal(runs[0][0], runs[1][0])
    assert np.array_equal(runs[0][1][:, 2], runs[1][1][:, 2])
    # One that leaves the old bit hangs on it: fewer cells toggle, so fewer can fail.
    keep = WriteErrors(3, KEEP, fail_limit(0.05))
    wrong = [
        BinaryNumpy(net).run(inputs[30:], errors=keep)[1][:, 2].sum() for net in (model, made.model)
    ]
    assert wrong[1] < wrong[0]


def test_a_model_file_is_written_anew(tmp_path):
    target = tmp_path / "new.mtjb"
    text = export_with_fewer_ones(CARRIED_MODEL, target, CARRIED_IMAGES)
    assert "channels with the other sign" in text
    assert text.endswith(f"wrote {target}")
    made = load(target)
    assert made.name == load(CARRIED_MODEL).name
    assert sum(fewer_ones(made, some_inputs(made, 300)).inverted) == 0
    with pytest.raises(ConfigError, match="no such file"):
        export_with_fewer_ones(CARRIED_MODEL, tmp_path / "no.mtjb", tmp_path / "none")
    assert not (tmp_path / "no.mtjb").exists()


def some_inputs(model, count):
    return to_input(model, load_images(CARRIED_IMAGES, model, count).images)


def test_signs_that_are_chosen_stay():
    model, images = small_model("plain")
    made = fewer_ones(model, images)
    assert sum(fewer_ones(made.model, images).inverted) == 0


def test_no_picture_is_refused():
    model, images = small_model("plain")
    with pytest.raises(ConfigError, match="at least one picture"):
        fewer_ones(model, images[:0])
