"""Random networks in three dialects, imported: every score is the original's."""

import numpy as np
import pytest
from mtjkit_core.model import Model
from mtjkit_export import encode
from mtjkit_export.importers.inputs import parse_scale
from mtjkit_export.importers.lower import Options, lower
from mtjkit_export.importers.onnx_file import read_onnx
from mtjkit_host.importing.check import check, random_images
from mtjkit_host.simulate.simulator import open_simulator
from support.onnx_nets import DIALECTS, random_net

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("seed", range(24))
def test_scores_are_those_of_onnxruntime(seed, tmp_path):
    """The same function with standard operators alone runs there."""
    model, scale = random_net(seed, DIALECTS[seed % 3])
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    lowered = lower(read_onnx(tmp_path / "net.onnx"), Options(scale=parse_scale(scale)))
    images = random_images(lowered, 8, seed)
    assert check(lowered, images, "image") == 8 * len(lowered.net.layers[-1].weights)
    plain, _ = random_net(seed, "plain")
    session = onnxruntime.InferenceSession(plain.SerializeToString())
    scores, _ = open_simulator(Model(encode(lowered.net))).run(images)
    for image, values in zip(images, lowered.values(scores), strict=True):
        (output,) = session.run(None, {"x": lowered.feed(image)})
        expected = output.reshape(-1)
        if any(node.op_type == "Softmax" for node in plain.graph.node):
            values = np.exp(values - values.max())
            values = values / values.sum()
        # Sums are whole numbers; what follows them may be rounded in another order.
        assert np.allclose(expected, values, rtol=1e-5, atol=1e-5)
