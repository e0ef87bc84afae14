"""Predictions of imported networks are the original's; torch modules become model files."""

from dataclasses import replace

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_export import encode
from mtjkit_export.importers.inputs import parse_scale
from mtjkit_export.importers.lower import Options, lower
from mtjkit_export.importers.onnx_file import read_onnx
from mtjkit_export.predictions import predictions
from mtjkit_host.importing.check import check, random_images
from mtjkit_host.simulate.simulator import open_simulator

pytest.importorskip("onnx", reason="needs the extra import")

from support.onnx_nets import OnnxNet, signs


def lowered(tmp_path, *after, classes=3):
    """A network of one layer whose scores go through more operators."""
    graph = OnnxNet("plain", [1, 7])
    graph.add("MatMul", signs(np.random.default_rng(2), (7, classes)))
    for op, values in after:
        graph.add(op, np.array(values, np.float32))
    path = tmp_path / "net.onnx"
    path.write_bytes(graph.model().SerializeToString())
    return lower(read_onnx(path), Options(scale=parse_scale("int8")))


NORMS = [
    [("Mul", [0.37, 1.9, -0.21]), ("Add", [0.3, -700.5, 11.0])],
    [("Mul", [1 / 3, 1 / 3, 1 / 3])],
    [("Add", [100.0, -100.0, 0.0])],
]


@pytest.mark.parametrize("after", NORMS, ids=["norm", "scale", "offset"])
def test_predictions_are_those_of_the_original(tmp_path, after):
    net = lowered(tmp_path, *after)
    images = random_images(net, 400)
    assert check(net, images, "image") == 1200
    model = Model(encode(net.net))
    scores, _ = open_simulator(model).run(images)
    original = np.array([net.expected(image).argmax() for image in images])
    assert (predictions(model, scores) == original).all()
    assert len(set(original.tolist())) == 3


def test_a_prediction_that_differs_is_refused(tmp_path):
    net = lowered(tmp_path, *NORMS[0])
    net.net = replace(net.net, offset=net.net.offset[::-1].copy())
    with pytest.raises(ConfigError, match=r"image \d+ is predicted as class \d, by the original"):
        check(net, random_images(net, 400), "image")
    one = lowered(tmp_path, ("Add", [2.5]), classes=1)
    check(one, random_images(one, 50), "image")
    one.net = replace(one.net, scale=-one.net.scale)
    with pytest.raises(ConfigError, match="is predicted as class"):
        check(one, random_images(one, 50), "image")
