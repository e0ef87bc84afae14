"""Torch, the reference, the device's kernels and the twin: one model, the same scores."""

import numpy as np
import pytest
from mtjkit_core.reference import run_image
from mtjkit_core.write_errors import FLIP, WriteErrors, fail_limit
from mtjkit_host.runs.fleet_run import run_unix
from mtjkit_host.runs.parse_options import parse_options
from mtjkit_host.runs.run import prepare
from mtjkit_host.simulate import draws
from mtjkit_host.simulate.simulator import open_simulator

torch = pytest.importorskip("torch")


def torch_scores(model, inputs, rate, seed=0):
    """Scores of the float program, whose maps take the masks that the memory draws."""
    from mtjkit_host.checks.float_net import FloatNet

    indices = np.arange(len(inputs), dtype=np.uint32)
    errors = WriteErrors(seed, FLIP, fail_limit(rate))
    failures = []
    for layer in model.layers[:-1]:
        lanes = draws.lane_masks(layer.map_words, layer.out_channels)
        # With one limit the masks do not depend on what is written.
        zeros = np.zeros((len(inputs), layer.map_words), np.uint32)
        failures.append(draws.failures(errors, indices, layer.index, lanes, zeros))
    images = torch.from_numpy(inputs.transpose(0, 3, 1, 2).astype(np.float32))
    return FloatNet(model)(images, failures).numpy().astype(np.int32)


@pytest.mark.parametrize("rate", ["0", "0.024"])
def test_the_carried_model_on_every_carried_image(micropython, rate):
    options = parse_options(ber=rate, kernel="viper")
    job = prepare(options)
    assert len(job.inputs) == 500
    expected = torch_scores(job.model, job.inputs, float(rate))
    indices = np.arange(len(job.inputs), dtype=np.uint32)
    for engine in ("numpy", "auto"):
        twin = open_simulator(job.model, engine)
        scores, _ = twin.run(job.inputs, indices, options.write_errors)
        np.testing.assert_array_equal(scores, expected)
    device = run_unix(parse_options(ber=rate, kernel="viper", images="30"))
    np.testing.assert_array_equal(device.scores, expected[:30])
    image = job.inputs[499].tobytes()  # a second an image
    scores = run_image(job.model, image, 499, options.write_errors, [0] * 5)
    assert scores == expected[499].tolist()
