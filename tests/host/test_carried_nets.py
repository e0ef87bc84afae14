"""The nets that the project carries: what their README says of them holds."""

import re

import gestures
import numpy as np
import pytest
from mtjkit_host.campaign.nets import load_net
from mtjkit_host.datasets import cifar10
from mtjkit_host.datasets.dataset import chosen, dataset_of
from mtjkit_host.datasets.load import load_dataset
from mtjkit_host.paper import ACCURACY
from mtjkit_host.paths import CARRIED
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.run import run_twin
from mtjkit_host.simulate.simulator import open_simulator

ROWS = re.findall(
    r"^\| `(\S+)` \| (\w+) \| .* \| ([\d.]+) \|$", (CARRIED / "README.md").read_text(), re.MULTILINE
)


EXAMPLES = re.findall(
    r"^\| `(\w+\.mtjb)` \| `(\w+\.npz)` \| .* \| ([\d.]+) \| `(\w{64})` \|$",
    (CARRIED / "README.md").read_text(),
    re.MULTILINE,
)


def scored(file, data):
    """Accuracy in per cent of a carried example on a data set, as text."""
    result = run_twin(parse_options(model=CARRIED / file, write_error_rate=0), images=data)
    return f"{100 * result.correct / len(data):.2f}"


@pytest.mark.parametrize(("file", "inputs", "accuracy", "sha256"), EXAMPLES)
def test_a_carried_example_runs_at_once_and_is_small(file, inputs, accuracy, sha256):
    for name in (file.removesuffix(".mtjb"), CARRIED / file):
        options = parse_options(model=name)
        assert (options.model, options.data) == (CARRIED / file, CARRIED / inputs)
    result = run_twin(options)
    assert result.scores_sha256 == sha256
    assert len(result.images) == 100
    assert result.error_free_correct >= 75
    assert (CARRIED / file).stat().st_size < 100_000
    assert (CARRIED / inputs).stat().st_size < 100_000


def test_gestures_score_what_the_readme_says():
    accuracy = {file: accuracy for file, _, accuracy, _ in EXAMPLES}["gestures.mtjb"]
    made = gestures.gestures()
    data = dataset_of(made["x_test"], made["y_test"], made["classes"].tolist())
    assert scored("gestures.mtjb", data) == accuracy
    carried = np.load(CARRIED / "gestures.npz")
    assert (carried["x"] == made["x_test"][:100]).all()
    assert (carried["y"] == made["y_test"][:100]).all()


def test_digits_score_what_the_readme_says(long_data):
    accuracy = {file: accuracy for file, _, accuracy, _ in EXAMPLES}["digits.mtjb"]
    held_out = load_dataset(long_data("mnist"))
    which = chosen(held_out.labels, len(held_out) // 5, 0)
    assert scored("digits.mtjb", held_out.at(which)) == accuracy
    carried = np.load(CARRIED / "digits.npz")
    assert (carried["x"] == held_out.at(which).images[:100]).all()


def test_every_carried_net_is_in_the_readme():
    files = (path for path in CARRIED.rglob("*") if path.suffix in (".mtjb", ".safetensors"))
    nets = {path.relative_to(CARRIED).as_posix() for path in files}
    assert {file for file, *_ in (*ROWS, *EXAMPLES)} == nets
    assert {net for _, net, _ in ROWS} == set(ACCURACY)


@pytest.mark.parametrize(("file", "accuracy"), [(file, accuracy) for file, _, accuracy in ROWS])
def test_accuracy_is_what_the_readme_says(file, accuracy, long_data):
    images, labels = cifar10.load_test(long_data("cifar-10-batches-bin"))
    net = open_simulator(load_net(CARRIED / file))
    correct = 0
    for at in range(0, len(images), 250):
        scores, _ = net.run(images[at : at + 250])
        correct += np.count_nonzero(scores.argmax(axis=1) == labels[at : at + 250])
    assert f"{100 * correct / len(images):.2f}" == accuracy
