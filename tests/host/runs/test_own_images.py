"""A program's own images and users' own data, in runs and campaigns."""

import json

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_export import BinaryLayer, BinaryNet, save
from mtjkit_host.campaign import Campaign, NetEntry, run_campaign
from mtjkit_host.paths import CARRIED_IMAGES
from mtjkit_host.runs.fleet_run import run_unix
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.run import prepare, run_twin

NAMES = ("left", "right")


@pytest.fixture
def halves(tmp_path):
    """A net that tells where a 4 x 4 picture is bright, and 20 pictures sorted by class."""
    left = np.ones((4, 4, 1), int)
    left[:, 2:] = -1
    hidden = np.stack([left, -left])  # two units: brighter on the left, on the right
    layers = [
        BinaryLayer.conv(np.ones((1, 1, 1, 1), int), [1]),
        BinaryLayer.dense(hidden.reshape(2, -1), input_shape=(4, 4, 1)),
    ]
    save(BinaryNet("halves", layers, (4, 4, 1), class_names=NAMES), tmp_path / "halves.mtjb")
    x = np.zeros((20, 4, 4), np.uint8)
    x[:10, :, :2] = x[10:, :, 2:] = 200
    y = np.repeat([0, 1], 10)
    np.savez(tmp_path / "data.npz", x=x, y=y, classes=np.array(NAMES))
    return tmp_path / "halves.mtjb", x, y


def test_numbers_are_given_as_numbers_and_images_as_arrays(halves):
    model, x, y = halves
    options = parse_options(model=model, ber=0.0, seed=3)
    assert run_twin(options, images=(x, y)).correct == 20
    flipped = run_twin(options, images=(x, 1 - y))
    assert (flipped.correct, flipped.images.source) == (0, "arrays")
    bare = run_twin(options, images=x[:3])
    assert bare.correct is None
    assert bare.scores.tolist() == [[16, -16]] * 3
    # int8 is what the pixel rule makes of pixels: p - 128.
    as_int8 = run_twin(options, images=(x.astype(int) - 128).astype(np.int8))
    assert (as_int8.scores == run_twin(options, images=x).scores).all()


@pytest.mark.usefixtures("micropython")
def test_micropython_takes_a_programs_images(halves, tmp_path):
    model, x, y = halves
    options = parse_options(model=model, write_error_rate=0.1, images=6)
    device = run_unix(options, path=tmp_path / "run.jsonl", images=(x, y))
    host = run_twin(options, images=(x, y))
    assert (device.scores == host.scores).all()
    assert np.bincount(device.images.labels).tolist() == [3, 3]


def test_a_number_of_images_is_drawn_from_every_class(halves, tmp_path):
    model, _, _ = halves
    job = prepare(parse_options(model=model, data=tmp_path / "data.npz", images=4))
    assert job.images.labels.tolist() == [0, 0, 1, 1]


def test_the_carried_images_are_no_default_of_other_models(halves):
    with pytest.raises(ConfigError, match="'halves' knows 'left', 'right', and the carried images"):
        run_twin(parse_options(model=halves[0]))


def test_commands_take_data_and_write_scores(halves, tmp_path, invoke):
    words = ("twin", "--model", "halves.mtjb", "--ber", "0", "--data", "data.npz")
    out = invoke(*words, "--scores", "scores.npy", "--json", "run.json")
    assert "100.00 % (20 of 20" in out
    scores = np.load(tmp_path / "scores.npy")
    assert (scores.dtype, scores.shape) == (np.int32, (20, 2))
    assert (scores.argmax(axis=1) == halves[2]).all()
    told = json.loads((tmp_path / "run.json").read_text())["data"]
    assert told["source"] == "npz file data.npz"
    job = prepare(parse_options(model=halves[0], data=tmp_path / "data.npz"))
    assert told["sha256"] == job.images.sha256
    assert "the carried images" in invoke("twin", "--model", "halves.mtjb", status=2)


def test_campaigns_take_any_data(halves, tmp_path):
    model, _, _ = halves
    nets = (NetEntry("Halves", (str(model),)),)
    campaign = Campaign("own", nets, (0.5,), repeats=1, images=10)
    where = {"data": tmp_path / "data.npz", "folder": tmp_path / "out", "workers": 1}
    result = run_campaign(campaign, **where)
    assert result.complete
    assert result.records[0].correct == 10  # without errors
    with pytest.raises(ConfigError, match="the carried images are of CIFAR-10's"):
        run_campaign(campaign, data=CARRIED_IMAGES, folder=tmp_path / "no", workers=1)
    np.savez(tmp_path / "bare.npz", x=np.zeros((20, 4, 4), np.uint8))
    with pytest.raises(ConfigError, match="campaign own: needs labels"):
        run_campaign(campaign, data=tmp_path / "bare.npz", folder=tmp_path / "no", workers=1)
