"""Float weights, and inputs of more than 8 bits: int8 where no prediction changes, else refused."""

import numpy as np
import pytest
from mtjkit_core.errors import MtjkitError
from mtjkit_core.model import Model
from mtjkit_core.prediction import predict
from mtjkit_host.importing.command import import_net
from mtjkit_host.simulate.simulator import open_simulator
from support.onnx_nets import OnnxNet, signs


def written(tmp_path, last, hidden=None, count=60):
    """A network with float weights outside, and images."""
    rng = np.random.default_rng(6)
    first = rng.normal(size=(8, 1, 3, 3)).astype(np.float32)
    hidden = signs(rng, (8 * 16, 16)) if hidden is None else hidden
    net = OnnxNet("plain", [1, 1, 6, 6])
    net.add("Conv", first)
    net.sign(8)
    net.add("Flatten")
    net.add("MatMul", hidden)
    net.add("Sub", np.float32(0.5))
    net.sign(16)
    net.add("MatMul", last)
    (tmp_path / "net.onnx").write_bytes(net.model().SerializeToString())
    images = rng.integers(-128, 128, (count, 6, 6, 1), np.int8)
    np.savez(tmp_path / "data.npz", x=images)
    return first, hidden, images


def classes(images, first, hidden, last):
    """As float64 gives them."""
    windows = np.lib.stride_tricks.sliding_window_view(images[..., 0].astype(float), (3, 3), (1, 2))
    x = np.einsum("nijkl,okl->noij", windows, first[:, 0].astype(float))
    x = np.where(x >= 0, 1, -1).reshape(len(images), -1)
    x = np.where(x @ hidden >= 0.5, 1, -1)
    return (x @ last.astype(float)).argmax(axis=1)


def test_they_are_int8_where_all_predictions_stay(tmp_path):
    last = np.random.default_rng(13).normal(size=(16, 3)).astype(np.float32)
    first, hidden, images = written(tmp_path, last, count=10)
    text = import_net(
        str(tmp_path / "net.onnx"), str(tmp_path / "net.mtjb"), input="int8",
        data=str(tmp_path / "data.npz"),
    )  # fmt: skip
    assert "all 10 predictions" in text
    model = Model((tmp_path / "net.mtjb").read_bytes())
    scores, _ = open_simulator(model).run(images)
    predicted = [predict(model, row.tolist()) for row in scores]
    assert predicted == classes(images, first, hidden, last).tolist()


@pytest.mark.parametrize(
    ("last", "match"),
    [
        # Two classes whose weights differ by less than a step of int8: a tie where there was none.
        ([1.0, 1.001], r"change \d+ of 60 predictions"),
        (None, "weights that are not -x and"),
    ],
)
def test_else_they_are_refused_with_the_number(last, match, tmp_path):
    rng = np.random.default_rng(7)
    weights = rng.normal(size=(16, 3)).astype(np.float32)
    data = str(tmp_path / "data.npz")
    if last is not None:
        weights = (signs(rng, (16, 1)) * np.array([last])).astype(np.float32)
        weights += rng.normal(0, 0.003, weights.shape).astype(np.float32)
    written(tmp_path, weights)
    with pytest.raises(MtjkitError, match=match):
        import_net(str(tmp_path / "net.onnx"), str(tmp_path / "net.mtjb"), input="int8",
                   data=None if last is None else data)  # fmt: skip
    assert not (tmp_path / "net.mtjb").exists()


def test_hidden_layers_have_bits(tmp_path):
    rng = np.random.default_rng(7)
    written(tmp_path, signs(rng, (16, 3)), rng.normal(size=(128, 16)))
    with pytest.raises(MtjkitError, match="the first and the last layer"):
        import_net(str(tmp_path / "net.onnx"), str(tmp_path / "net.mtjb"), input="int8",
                   data=str(tmp_path / "data.npz"))  # fmt: skip


MEAN, STD = np.array([0.4914, 0.4822, 0.4465]), np.array([0.247, 0.2435, 0.2616])


def normalised(tmp_path, std, padding=1):
    """A net on pictures normalised by channel, padded with 0 as torch does, and float64's scores.

    Returns:
        Scores of 40 pictures, and `--input`.
    """
    rng = np.random.default_rng(8)
    first, last = signs(rng, (8, 3, 3, 3)), signs(rng, (8 * 16, 3))
    net = OnnxNet("plain", [1, 3, 4 + 2 * (1 - padding), 4 + 2 * (1 - padding)])
    net.add("Conv", first, pads=[padding] * 4)
    net.sign(8)
    net.add("Flatten")
    net.add("MatMul", last)
    (tmp_path / "net.onnx").write_bytes(net.model().SerializeToString())
    pictures = rng.integers(0, 256, (40, *net.shape[2:], 3), np.uint8)
    np.savez(tmp_path / "data.npz", x=pictures)
    x = (pictures / 255 - MEAN) / std
    x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))
    x = np.where(np.einsum("nijckl,ockl->noij", windows, first) >= 0, 1, -1)
    numbers = ["/".join(map(str, values)) for values in (MEAN, std)]
    return x.reshape(40, -1) @ last, "mean={},std={}".format(*numbers)


def test_one_step_in_all_channels_is_exact(tmp_path):
    scores, scale = normalised(tmp_path, np.full(3, 0.25), padding=0)
    text = import_net(str(tmp_path / "net.onnx"), str(tmp_path / "net.mtjb"), input=scale)
    assert "as int8" not in text
    model = Model((tmp_path / "net.mtjb").read_bytes())
    pictures = np.load(tmp_path / "data.npz")["x"]
    assert (open_simulator(model).run(pictures)[0] == scores).all()


def test_other_steps_are_rounded_where_all_predictions_stay(tmp_path):
    scores, scale = normalised(tmp_path, STD)
    files = (str(tmp_path / "net.onnx"), str(tmp_path / "net.mtjb"))
    with pytest.raises(MtjkitError, match="more than 8 bits; --check DATA"):
        import_net(*files, input=scale)
    text = import_net(*files, input=scale, data=str(tmp_path / "data.npz"), images="10")
    assert "the input's values are stored as int8: all 10 predictions" in text
    model = Model((tmp_path / "net.mtjb").read_bytes())
    pictures = np.load(tmp_path / "data.npz")["x"][:10]
    predicted = [predict(model, row.tolist()) for row in open_simulator(model).run(pictures)[0]]
    assert predicted == scores[:10].argmax(axis=1).tolist()


def test_a_prediction_that_rounding_the_input_changes_is_counted(tmp_path):
    _, scale = normalised(tmp_path, STD * np.array([1, 1, 0.001]))
    with pytest.raises(MtjkitError, match=r"the input's values as int8 change \d+ of 40 pred"):
        import_net(str(tmp_path / "net.onnx"), str(tmp_path / "net.mtjb"), input=scale,
                   data=str(tmp_path / "data.npz"))  # fmt: skip
    assert not (tmp_path / "net.mtjb").exists()
