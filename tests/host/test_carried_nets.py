"""The nets that the project carries: what their README says of them holds."""

import re

import numpy as np
import pytest
from mtjkit_host.campaign.nets import load_net, simulator_of
from mtjkit_host.datasets import cifar10
from mtjkit_host.paper import ACCURACY
from mtjkit_host.paths import CARRIED

ROWS = re.findall(
    r"^\| `(\S+)` \| (\w+) \| .* \| ([\d.]+) \|$", (CARRIED / "README.md").read_text(), re.MULTILINE
)


def test_every_carried_net_is_in_the_readme():
    files = (path for path in CARRIED.rglob("*") if path.suffix in (".mtjb", ".safetensors"))
    nets = {path.relative_to(CARRIED).as_posix() for path in files}
    assert {file for file, _, _ in ROWS} == nets
    assert {net for _, net, _ in ROWS} == set(ACCURACY)


@pytest.mark.parametrize(("file", "accuracy"), [(file, accuracy) for file, _, accuracy in ROWS])
def test_accuracy_is_what_the_readme_says(file, accuracy, long_data):
    images, labels = cifar10.load_test(long_data("cifar-10-batches-bin"))
    net = simulator_of(load_net(CARRIED / file))
    correct = 0
    for at in range(0, len(images), 250):
        scores, _ = net.run(images[at : at + 250])
        correct += np.count_nonzero(scores.argmax(axis=1) == labels[at : at + 250])
    assert f"{100 * correct / len(images):.2f}" == accuracy
