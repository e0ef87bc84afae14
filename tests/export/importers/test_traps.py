"""What goes wrong when networks are imported, each a small graph."""

import json

import numpy as np
import onnx
import pytest
from mtjkit_core.errors import MtjkitError
from mtjkit_core.model import Model
from mtjkit_export.importers.inputs import parse_scale
from mtjkit_export.importers.lower import Options, lower
from mtjkit_export.importers.onnx_file import read_onnx
from mtjkit_host.importing.check import check, random_images
from mtjkit_host.importing.command import import_net
from mtjkit_host.simulate.simulator import open_simulator
from support.onnx_nets import OnnxNet, signs

RNG = np.random.default_rng(5)


def lowered(net, tmp_path, scale="int8", **options):
    path = tmp_path / "net.onnx"
    path.write_bytes(net.model().SerializeToString())
    result = lower(read_onnx(path), Options(scale=parse_scale(scale), **options))
    check(result, random_images(result, 8), "image")
    return result


def dense(net, inputs, outputs):
    net.add("MatMul", signs(RNG, (inputs, outputs)))


def test_sign_of_zero_is_refused_where_a_sum_is_zero_and_nobody_said(tmp_path):
    def net():
        graph = OnnxNet("plain", [1, 4])
        graph.add("Sub", np.float32(0.5))
        graph.sign(4)
        dense(graph, 4, 6)
        graph.add("Sign")
        dense(graph, 6, 2)
        return graph

    with pytest.raises(MtjkitError, match="--sign-of-zero"):
        lowered(net(), tmp_path)
    for zero, threshold in ((1.0, 0), (-1.0, 2)):
        layer = lowered(net(), tmp_path, zero=zero).net.layers[0]
        assert (layer.thresholds == threshold).all()


def test_odd_sums_are_never_zero(tmp_path):
    graph = OnnxNet("plain", [1, 5])
    graph.add("Sub", np.float32(0.5))
    graph.sign(5)
    dense(graph, 5, 6)
    graph.add("Sign")
    dense(graph, 6, 2)
    lowered(graph, tmp_path)


def test_a_maximum_before_a_negative_scale_is_the_and(tmp_path):
    graph = OnnxNet("plain", [1, 1, 6, 6])
    graph.add("Conv", signs(RNG, (3, 1, 3, 3)))
    graph.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    graph.add("Mul", np.array([1.0, -1.0, -2.0]).reshape(1, 3, 1, 1))
    graph.sign(3)
    graph.add("Flatten")
    dense(graph, 12, 2)
    notes = lowered(graph, tmp_path).notes
    assert any("2 channels are stored negated" in note for note in notes)


def test_padding_of_zeros_and_ones_becomes_a_pad_of_minus_one(tmp_path):
    """Hidden bits 0 and 1, padded with 0."""
    graph = OnnxNet("plain", [1, 1, 5, 5])
    graph.add("Conv", signs(RNG, (3, 1, 3, 3)))
    graph.sign(3)
    graph.add("Add", np.float32(1))
    graph.add("Mul", np.float32(0.5))
    graph.add("Conv", signs(RNG, (2, 3, 3, 3)), pads=[1, 1, 1, 1])
    graph.sign(2)
    graph.add("Flatten")
    dense(graph, 18, 2)
    assert lowered(graph, tmp_path).net.layers[1].pad_value == -1


def test_padding_of_an_image_with_an_offset_is_stored(tmp_path):
    graph = OnnxNet("plain", [1, 1, 5, 5])
    graph.add("Conv", signs(RNG, (3, 1, 3, 3)), pads=[1, 1, 1, 1])
    graph.add("Sub", np.float32(0.5))
    graph.sign(3)
    graph.add("Flatten")
    dense(graph, 75, 2)
    assert lowered(graph, tmp_path, "bytes").net.layers[0].pad_value == -128


def test_depthwise_and_int8_and_average(tmp_path):
    graph = OnnxNet("plain", [1, 1, 9, 5])
    graph.add("Conv", RNG.integers(-127, 128, (4, 1, 3, 3)).astype(np.float64))
    graph.add("Sub", np.float32(0.5))
    graph.sign(4)
    graph.add("Conv", signs(RNG, (4, 1, 3, 3)), group=4, pads=[1, 1, 1, 1])
    graph.add("Sub", np.float32(0.5))
    graph.sign(4)
    graph.add("Conv", signs(RNG, (8, 4, 1, 1)))
    graph.add("Add", np.float32(0.5))
    graph.sign(8)
    graph.add("GlobalAveragePool")
    graph.add("Flatten")
    dense(graph, 8, 3)
    net = lowered(graph, tmp_path).net
    assert net.layers[0].weight_bits == 8
    assert net.layers[1].groups == 4
    assert net.layers[2].pooling == "average"


def constant_after_pooling(graph):
    """One input to each sum: two values, which a batch norm spreads before they are pooled."""
    graph.add("Conv", signs(RNG, (4, 1, 1, 1)))
    graph.add("Mul", np.array([1.0, 0.5, -2.0, 0.25]).reshape(1, 4, 1, 1))
    graph.add("Add", np.array([0.0, 0.75, 0.0, -0.75]).reshape(1, 4, 1, 1))
    graph.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    graph.sign(4)


def constant_by_a_mask(graph):
    """Channels that are switched off give 0, others -1 and +1."""
    graph.add("Conv", signs(RNG, (4, 1, 3, 3)), pads=[1, 1, 1, 1])
    graph.add("Add", np.float32(0.5))
    graph.sign(4)
    graph.add("Mul", np.array([1.0, 0.0, -1.0, 0.0]).reshape(1, 4, 1, 1))
    graph.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])


def all_constant_before_an_average(graph):
    graph.add("Conv", signs(RNG, (4, 1, 1, 1)))
    graph.add("Add", np.array([2.0, -2.0, 3.0, -4.0]).reshape(1, 4, 1, 1))
    graph.sign(4)
    graph.add("AveragePool", kernel_shape=[3, 3], strides=[3, 3])


@pytest.mark.parametrize(
    ("change", "constant", "inputs"),
    [
        (constant_after_pooling, 2, 36),
        (constant_by_a_mask, 2, 36),
        (all_constant_before_an_average, 4, 16),
    ],
)
def test_a_constant_channel_is_a_bit_that_never_changes(change, constant, inputs, tmp_path):
    graph = OnnxNet("plain", [1, 1, 6, 6])
    graph.add("Sub", np.float32(0.5))
    graph.sign(1)
    change(graph)
    graph.add("Flatten")
    dense(graph, inputs, 5)
    result = lowered(graph, tmp_path)
    layer = result.net.layers[0]
    assert (layer.thresholds == -(2**31)).sum() == constant
    assert any(f"{constant} channels are constant" in note for note in result.notes)


def test_one_output_is_decided_by_its_sign(tmp_path):
    graph = OnnxNet("plain", [1, 6])
    graph.add("Sub", np.float32(0.5))
    graph.sign(6)
    dense(graph, 6, 1)
    graph.add("Add", np.float32(-1.5))
    graph.add("Sigmoid")
    net = lowered(graph, tmp_path).net
    assert net.by_sign
    assert (net.scale, net.offset) == (1.0, -2.0)  # sums are even: S >= 2


def test_a_batch_norm_of_the_scores_is_stored(tmp_path):
    graph = OnnxNet("plain", [1, 6])
    graph.add("Sub", np.float32(0.5))
    graph.sign(6)
    dense(graph, 6, 3)
    graph.add("Mul", np.array([1.0, 2.0, 0.5]))
    graph.add("Add", np.array([0.0, 1.0, -1.0]))
    net = lowered(graph, tmp_path).net
    assert net.scale.tolist() == [1, 2, 0.5]
    assert net.offset.tolist() == [0, 1, -1]


def refused(change, match, tmp_path):
    graph = OnnxNet("plain", [1, 8])
    graph.add("Sub", np.float32(0.5))
    graph.sign(8)
    change(graph)
    model = graph.model()
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(MtjkitError, match=match):
        import_net(str(tmp_path / "net.onnx"), str(tmp_path / "net.mtjb"), input="int8")
    assert not (tmp_path / "net.mtjb").exists()


def changed_after_softmax(graph):
    dense(graph, 8, 2)
    graph.add("Softmax")
    graph.add("Mul", np.float32(-1))


def residual(graph):
    before = graph.last
    dense(graph, 8, 8)
    graph.add("Sub", np.float32(0.5))
    graph.sign(8)
    graph.add("Add", before)


def two_bits(graph):
    dense(graph, 8, 8)
    graph.add("Round")
    graph.add("Clip", np.float32(-1), np.float32(2))
    dense(graph, 8, 2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (residual, "residual"),
        (two_bits, "more than one bit"),
        (lambda g: g.add("MatMul", RNG.normal(size=(8, 2))), "lost their sign"),
        (changed_after_softmax, "comes after Softmax"),
        (lambda g: (dense(g, 8, 2), g.add("ArgMax", axis=0)), "along axis 0"),
        (lambda g: g.add("MatMul", np.zeros((8, 2))), "every image has the same scores"),
        (lambda g: g.add("Loop"), "a loop"),
        (lambda g: g.add("Erf"), "not supported"),
        (lambda g: g.add("Expand", np.array([10**6, 10**6, 8])), "not supported"),
        (lambda g: g.add("Add", np.zeros((1, 9))), "to a tensor of"),
    ],
)
def test_what_cannot_be_imported_is_named(change, match, tmp_path):
    refused(change, match, tmp_path)


def test_huge_and_external_tensors_are_refused_before_memory_goes(tmp_path):
    graph = OnnxNet("plain", [1, 8])
    dense(graph, 8, 2)
    for change, match in (
        (lambda t: t.dims.__setitem__(0, 1 << 60), "at most"),
        (lambda t: t.dims.__setitem__(0, 1 << 20), "by its shape"),
        (lambda t: setattr(t, "data_location", onnx.TensorProto.EXTERNAL), "another file"),
    ):
        model = graph.model()
        change(model.graph.initializer[0])
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(MtjkitError, match=match):
            read_onnx(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(MtjkitError):
        read_onnx(path)


def test_larqs_convention(tmp_path):
    """A dense network as larq saves it: latent weights, batch norm, no sign before layer 0."""
    h5py = pytest.importorskip("h5py")
    kernel0, kernel1 = RNG.normal(size=(12, 8)), RNG.normal(size=(8, 3))
    mean, var, beta = RNG.normal(0, 3, 8), RNG.uniform(1, 5, 8), RNG.normal(size=8)
    quantizers = {"kernel_quantizer": "ste_sign", "use_bias": False, "activation": "linear"}
    layers = [
        ("QuantDense", {"name": "d0", "batch_input_shape": [None, 12], **quantizers}),
        ("BatchNormalization", {"name": "b0", "epsilon": 0.001}),
        ("QuantDense", {"name": "d1", "input_quantizer": "ste_sign", **quantizers}),
        ("Activation", {"name": "a", "activation": "softmax"}),
    ]
    config = {"class_name": "Sequential", "config": {
        "layers": [{"class_name": kind, "config": c} for kind, c in layers]}}  # fmt: skip
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        weights = file.create_group("model_weights")
        weights["d0/d0/kernel:0"], weights["d1/d1/kernel:0"] = kernel0, kernel1
        weights["b0/b0/moving_mean:0"], weights["b0/b0/moving_variance:0"] = mean, var
        weights["b0/b0/beta:0"] = beta
    import_net(str(tmp_path / "net.h5"), str(tmp_path / "net.mtjb"), input="int8")
    images = RNG.integers(-128, 128, (20, 12)).astype(np.int8)
    hidden = images @ np.where(kernel0 >= 0, 1, -1)
    bits = np.where((hidden - mean) / np.sqrt(var + 0.001) + beta >= 0, 1, -1)
    expected = bits @ np.where(kernel1 >= 0, 1, -1)
    model = Model((tmp_path / "net.mtjb").read_bytes())
    scores, _ = open_simulator(model).run(images.reshape(20, 1, 1, 12))
    assert (scores == expected).all()


def test_a_convolution_over_187_samples_is_n_by_1(tmp_path):
    graph = OnnxNet("plain", [1, 1, 187])
    graph.add("Conv", signs(RNG, (4, 1, 7)), strides=[2])
    graph.add("Sub", np.float32(0.5))
    graph.sign(4)
    graph.add("MaxPool", kernel_shape=[2], strides=[2])
    graph.add("Conv", signs(RNG, (5, 4, 3)), pads=[1, 1])
    graph.add("Sub", np.float32(0.5))
    graph.sign(5)
    graph.add("Flatten")
    dense(graph, 5 * 45, 3)
    net = lowered(graph, tmp_path).net
    assert net.input_shape == (187, 1, 1)
    assert net.layers[0].weights.shape == (4, 7, 1, 1)


def test_larqs_convolutions_flatten_channels_last(tmp_path):
    """Padding "same" at stride 2, max pooling before batch norm, channels last; against torch."""
    h5py = pytest.importorskip("h5py")
    torch = pytest.importorskip("torch")
    kernel0, kernel1 = RNG.normal(size=(3, 3, 2, 6)), RNG.normal(size=(3, 3, 6, 5))
    kernel2 = RNG.normal(size=(2 * 2 * 5, 3))
    gamma, beta, mean = RNG.normal(size=6), RNG.normal(size=6), RNG.normal(0, 9, 6)
    quantizer = {"kernel_quantizer": {"class_name": "SteSign", "config": {}}, "use_bias": False}
    plain = {"strides": [1, 1], "padding": "valid", "activation": "linear"}
    same = {"strides": [2, 2], "padding": "same", "input_quantizer": "ste_sign"}
    layers = [
        ("InputLayer", {"name": "i", "batch_input_shape": [None, 10, 10, 2]}),
        ("QuantConv2D", {"name": "c0", **quantizer, **plain}),
        ("MaxPooling2D", {"name": "p", "pool_size": [2, 2], "strides": [2, 2], "padding": "valid"}),
        ("BatchNormalization", {"name": "b0", "epsilon": 0.001}),
        ("QuantConv2D", {"name": "c1", **quantizer, **plain, **same}),
        ("Flatten", {"name": "f"}),
        ("QuantDense", {"name": "d", **quantizer, "input_quantizer": "ste_sign"}),
    ]
    config = {"class_name": "Sequential", "config": {
        "layers": [{"class_name": kind, "config": c} for kind, c in layers]}}  # fmt: skip
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        weights = file.create_group("model_weights")
        for name, kernel in (("c0", kernel0), ("c1", kernel1), ("d", kernel2)):
            weights[f"{name}/{name}/kernel:0"] = kernel
        for name, values in (("gamma", gamma), ("beta", beta), ("moving_mean", mean)):
            weights[f"b0/b0/{name}:0"] = values
        weights["b0/b0/moving_variance:0"] = np.full(6, 4.0)
    import_net(str(tmp_path / "net.h5"), str(tmp_path / "net.mtjb"), input="int8")
    images = RNG.integers(-128, 128, (20, 10, 10, 2)).astype(np.int8)

    def bits(x):
        return np.where(x >= 0, 1.0, -1.0)

    def conv(x, kernel, **options):
        w = torch.from_numpy(bits(kernel).transpose(3, 2, 0, 1))
        return torch.nn.functional.conv2d(torch.from_numpy(x), w, **options)

    x = conv(images.transpose(0, 3, 1, 2).astype(np.float64), kernel0)
    x = torch.nn.functional.max_pool2d(x, 2).numpy()
    column = (1, 6, 1, 1)
    x = (x - mean.reshape(column)) / np.sqrt(4.001) * gamma.reshape(column) + beta.reshape(column)
    x = np.pad(bits(x), [(0, 0), (0, 0), (0, 1), (0, 1)])  # "same": the odd tap is at the end
    x = conv(x, kernel1, stride=2).numpy()
    expected = bits(x).transpose(0, 2, 3, 1).reshape(20, -1) @ bits(kernel2)
    scores, _ = open_simulator(Model((tmp_path / "net.mtjb").read_bytes())).run(images)
    assert (scores == expected).all()


def test_the_rest_of_a_straight_through_estimator(tmp_path):
    """Alpha sign(w) - clip(w) + clip(w) in float32: some weights miss alpha by the last bits."""
    w = RNG.normal(0, 0.3, (20, 6)).astype(np.float32)
    alpha = np.abs(w).mean(axis=0)
    kept = np.clip(w, -1, 1)
    folded = (alpha * np.sign(w) - kept) + kept
    assert (np.abs(folded) != alpha).any()
    graph = OnnxNet("plain", [1, 20])
    graph.add("MatMul", folded)
    graph.add("Sub", np.float32(0.2))
    graph.sign(6)
    dense(graph, 6, 3)
    result = lowered(graph, tmp_path)
    assert (result.net.layers[0].weights == np.sign(w).T.reshape(6, 1, 1, 20)).all()
    assert any("up to float32's rounding" in note for note in result.notes)
    folded[0, 0] *= np.float32(1.01)
    graph.initializers[0].CopyFrom(onnx.numpy_helper.from_array(folded, "c1"))
    with pytest.raises(MtjkitError, match="lost their sign"):
        lowered(graph, tmp_path)


def test_a_batch_of_several_images_and_several_outputs(tmp_path):
    """Saved with a batch of a data loader; a second output depends on what cannot be imported."""
    graph = OnnxNet("plain", [8, 1, 6, 6])
    graph.add("Conv", signs(RNG, (4, 1, 3, 3)))
    graph.sign(4)
    graph.add("Reshape", np.array([8, -1]))
    hidden = graph.last
    dense(graph, 64, 3)
    scores = graph.last
    graph.last = hidden
    graph.add("Erf")
    model = graph.model()
    other = model.graph.output[0]
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info(scores, 1, None))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    result = lower(read_onnx(path), Options(scale=parse_scale("bytes")))
    check(result, random_images(result, 8), "image")
    assert result.notes[0] == f"the first output is taken, {scores!r}, and not {other.name!r}"


def test_an_input_of_uint8_takes_bytes(tmp_path):
    graph = OnnxNet("plain", [1, 6])
    graph.add("Cast", to=1)
    dense(graph, 6, 3)
    graph.add("Sub", np.float32(99.5))
    graph.sign(3)
    dense(graph, 3, 2)
    model = graph.model()
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    result = lower(read_onnx(path))
    check(result, random_images(result, 8), "image")
    assert np.abs(result.net.layers[0].thresholds).max() > 6


@pytest.mark.parametrize("kind", ["MaxPool", "Conv"])
def test_a_map_of_another_shape_has_other_windows(kind, tmp_path):
    graph = OnnxNet("plain", [1, 1, 10, 10])
    graph.add("Conv", signs(RNG, (4, 1, 3, 3)))
    graph.sign(4)
    graph.add("Reshape", np.array([1, 4, 16, 4]))
    more = [signs(RNG, (4, 4, 2, 2))] if kind == "Conv" else []
    graph.add(kind, *more, kernel_shape=[2, 2], strides=[2, 2])
    graph.add("Flatten")
    dense(graph, 64, 3)
    with pytest.raises(MtjkitError, match=r"shape was changed|were moved"):
        lowered(graph, tmp_path)


def test_a_map_as_one_row_is_pooled_and_read_whole(tmp_path):
    """view(n, c, -1) with a mean or a maximum, and 1x1 convolutions over what was flattened."""
    for op in ("ReduceMean", "ReduceMax"):
        graph = OnnxNet("plain", [1, 1, 6, 6])
        graph.add("Conv", signs(RNG, (4, 1, 3, 3)))
        graph.sign(4)
        graph.add("Reshape", np.array([1, 4, -1]))
        graph.add(op, axes=[2], keepdims=0)
        dense(graph, 4, 3)
        assert lowered(graph, tmp_path).net.layers[0].pool == (4, 4)
    graph = OnnxNet("plain", [1, 1, 6, 6])
    graph.add("Conv", signs(RNG, (4, 1, 3, 3)))
    graph.sign(4)
    graph.add("Reshape", np.array([1, 64, 1, 1]))
    graph.add("Conv", signs(RNG, (3, 64, 1, 1)))
    graph.add("Flatten")
    lowered(graph, tmp_path)


def test_weights_in_a_file_beside_the_network(tmp_path):
    """What torch.onnx.export writes; a place outside the folder or the file is refused."""
    graph = OnnxNet("plain", [1, 40])
    dense(graph, 40, 9)
    graph.sign(9)
    dense(graph, 9, 3)
    path = tmp_path / "net.onnx"
    path.write_bytes(graph.model().SerializeToString())
    whole = read_onnx(path)
    onnx.save(
        graph.model(), path, save_as_external_data=True, location="net.onnx.data", size_threshold=0
    )
    split = read_onnx(path)
    assert split.constants.keys() == whole.constants.keys()
    assert all(np.array_equal(split.constants[key], w) for key, w in whole.constants.items())
    model = onnx.load(path, load_external_data=False)
    place = {entry.key: entry for entry in model.graph.initializer[0].external_data}
    for key, value, match in (
        ("length", "1441", "is damaged"),
        ("length", "99999", "is not in"),
        ("offset", "-1", "is not in"),
        ("offset", "999999", "is not in"),
        ("length", "x", "damaged place"),
        ("location", "../net.onnx.data", "only one beside is read"),
        ("location", str(tmp_path / "net.onnx.data"), "only one beside is read"),
        ("location", "other", "No such file"),
    ):
        kept, place[key].value = place[key].value, value
        path.write_bytes(model.SerializeToString())
        with pytest.raises(MtjkitError, match=match):
            read_onnx(path)
        place[key].value = kept
