"""Networks that Brevitas and larq exported: their own frameworks' scores.

`exported/` has the scripts that wrote them (brevitas 0.13.4 with torch 2.13.0, larq 0.14.0 with
TensorFlow 2.21.0). Whole sums are equal; scores with a batch norm or an average are float32, which
a framework may round in another order.
"""

from pathlib import Path

import numpy as np
import pytest
from mtjkit_core.model import Model
from mtjkit_export.importers.inputs import parse_scale
from mtjkit_export.importers.lower import Options, lower
from mtjkit_host.importing.command import import_net, read
from mtjkit_host.simulate.simulator import open_simulator

FOLDER = Path(__file__).parent / "exported"
NETS = sorted([*FOLDER.glob("*.onnx"), *FOLDER.glob("*.h5")])
FLOAT_SCORES = {
    "brevitas_detector", "brevitas_keywords", "brevitas_vgg",
    "larq_detector", "larq_keywords", "larq_mlp",
}  # fmt: skip
SHAPES = {
    "mlp": (1, 1, 64),
    "vgg": (14, 14, 3),
    "lenet": (28, 28, 1),
    "keywords": (49, 10, 1),
    "detector": (1, 1, 40),
    "samples": (187, 1, 1),
}


def test_all_of_them_are_there():
    assert {path.stem for path in NETS} == {
        f"{t}_{n}" for t in ("brevitas", "larq") for n in SHAPES
    }


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_scores_are_those_of_its_framework(path, tmp_path):
    with np.load(path.with_suffix(".npz")) as stored:
        images, expected = stored["images"], stored["scores"]
    kind = "bytes" if images.dtype == np.uint8 else "int8"
    import_net(str(path), str(tmp_path / "net.mtjb"), input=kind)
    model = Model((tmp_path / "net.mtjb").read_bytes())
    lowered = lower(read(str(path)), Options(scale=parse_scale(kind)))
    shape = lowered.net.input_shape
    assert shape == SHAPES[path.stem.split("_")[1]]
    if path.suffix == ".onnx" and images.ndim == 4:
        images = images.transpose(0, 2, 3, 1)
    scores, _ = open_simulator(model).run(images.reshape(-1, *shape))
    values = lowered.values(scores)
    expected = expected.reshape(values.shape)
    if path.stem in FLOAT_SCORES:
        assert np.allclose(values, expected, rtol=1e-5, atol=1e-5)
        assert (values.argmax(axis=1) == expected.argmax(axis=1)).all()
    else:
        assert (values == expected).all()
    assert len(np.unique(expected)) > 5  # images are told apart
