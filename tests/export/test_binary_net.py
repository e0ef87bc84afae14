"""Networks from plain arrays: what goes in comes out of the file, and wrong arrays are refused."""

import mtjkit_export
import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import DENSE as DENSE_KIND
from mtjkit_core.model import Model
from mtjkit_core.reference import run_image
from mtjkit_core.write_errors import NO_ERRORS
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, PixelTables, encode, save
from mtjkit_export.formats.mtjb_arrays import decode
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from support.nets import random_images, random_net

RNG = np.random.default_rng(5)


def signs(*shape):
    """Random +-1."""
    return RNG.choice([-1, 1], shape)


def network(**changes):
    """A net with padding, pooling, both polarities, odd widths and a map that is flattened."""
    layers = [
        BinaryLayer.conv(signs(33, 3, 3, 3), RNG.integers(-200, 200, 33), padding=1, pool=True),
        BinaryLayer.conv(signs(5, 33, 3, 3), RNG.integers(-9, 9, 5), RNG.integers(0, 2, 5)),
        BinaryLayer.dense(signs(40, 20), RNG.integers(-4, 4, 40), input_shape=(2, 2, 5)),
        BinaryLayer.dense(signs(4, 40)),
    ]
    settings = {"input_shape": (8, 8, 3), "class_names": ("a", "b", "c", "d"), **changes}
    return BinaryNet("net", layers, **settings)


def plain_scores(net, image):
    """The network in plain integers, straight from its arrays."""
    low = {"int8": None, "0/1": 0, "+-1": -1}[net.inputs]
    x = image.astype(int) if low is None else np.where(image > 0, 1, low)
    for spec in net.layers:
        out, ky, kx, depth = spec.weights.shape
        per_group = out // spec.groups
        if spec.kind == DENSE_KIND:
            ky, kx = x.shape[:2]
        top, left, bottom, right = spec.padding
        x = np.pad(x, [(top, bottom), (left, right), (0, 0)], constant_values=spec.pad_value)
        weights = np.zeros((out, ky, kx, x.shape[2]), int)
        for k in range(out):
            group = k // per_group
            weights[k, :, :, group * depth : (group + 1) * depth] = spec.weights[k]
        sums = np.array(
            [
                [
                    (x[row : row + ky, column : column + kx] * weights).sum(axis=(1, 2, 3))
                    for column in range(0, x.shape[1] - kx + 1, spec.stride[1])
                ]
                for row in range(0, x.shape[0] - ky + 1, spec.stride[0])
            ]
        )
        x = sums
        if spec.thresholds is not None:
            x = np.where((sums >= spec.thresholds) ^ spec.inverted, 1, -1)
        if spec is net.layers[-1]:
            return x.reshape(out).tolist()
        if spec.pool:
            (ph, pw), (sy, sx) = spec.pool, spec.pool_stride
            pool = np.max if spec.pooling == "max" else np.sum
            x = np.array(
                [
                    [
                        pool(x[row : row + ph, column : column + pw], axis=(0, 1))
                        for column in range(0, x.shape[1] - pw + 1, sx)
                    ]
                    for row in range(0, x.shape[0] - ph + 1, sy)
                ]
            )
        if spec.signs is not None:
            x = np.where(spec.signs, -x, x)
    raise AssertionError("no last layer")


def test_the_file_computes_what_the_arrays_say():
    net = network()
    model = Model(encode(net))
    for k in range(5):
        image = RNG.integers(-128, 128, (8, 8, 3)).astype(np.int8)
        scores = run_image(model, image.tobytes(), k, NO_ERRORS, [0] * 5)
        assert scores == plain_scores(net, image)


@pytest.mark.parametrize("seed", range(60))
def test_any_network_computes_what_the_arrays_say(seed):
    net = random_net(np.random.default_rng(seed))
    model = Model(encode(net))
    images = random_images(model, 3, seed)
    expected = [plain_scores(net, image) for image in images]
    assert BinaryNumpy(model).run(images)[0].tolist() == expected
    found = [run_image(model, image.tobytes(), 0, NO_ERRORS, [0] * 5) for image in images]
    assert found == expected
    made = Model(encode(decode(model)))
    assert BinaryNumpy(made).run(images)[0].tolist() == expected
    assert made.weight_bits == model.weight_bits
    assert made.map_bits == model.map_bits


def test_a_file_is_read_back_as_arrays():
    tables = PixelTables(RNG.integers(-128, 128, (3, 256)))
    floats = {"scale": RNG.random(4) + 1, "offset": RNG.random(4) - 2}
    for changes in ({}, {"pixel_rule": tables}, {"pixel_rule": None, "inputs": "+-1"}, floats):
        data = encode(network(**changes))
        assert encode(decode(Model(data))) == data


def test_torchs_flattening_is_reordered():
    weights = signs(6, 20)
    hwc = weights.reshape(6, 5, 2, 2).transpose(0, 2, 3, 1).reshape(6, 20)
    one = BinaryLayer.dense(weights, input_shape=(2, 2, 5), flatten="chw")
    two = BinaryLayer.dense(hwc, input_shape=(2, 2, 5))
    assert (one.weights == two.weights).all()


def test_names_and_pixel_rule_are_kept():
    model = Model(encode(network(pixel_rule=PixelRule(512, 255, 510), class_names="äbcd")))
    assert (model.name, model.class_names) == ("net", ["ä", "b", "c", "d"])
    assert model.pixel_rule == (512, 255, 510)
    assert Model(encode(network(class_names=()))).class_names == []


@pytest.mark.parametrize("threshold", [-(2**31), 2**31 - 1, 3.0])
def test_thresholds_use_all_of_32_bits(threshold):
    assert BinaryLayer.conv(signs(1, 1, 3, 3), [threshold]).thresholds.tolist() == [threshold]


CONV, DENSE = signs(2, 1, 3, 3), signs(2, 4)
BAD_LAYERS = [
    (lambda: BinaryLayer.conv(CONV[0], [0, 0]), "3 dimensions"),
    (lambda: BinaryLayer.conv(signs(2, 1, 0, 5), [0, 0]), "(out, in, height, width)"),
    (lambda: BinaryLayer.conv(CONV * 2, [0, 0]), "-1 and +1"),
    (lambda: BinaryLayer.conv(CONV * np.nan, [0, 0]), "-1 and +1"),
    (lambda: BinaryLayer.conv(CONV > 0, [0, 0]), "-1 and +1"),
    (lambda: BinaryLayer.conv([[1], [1, 1]], [0, 0]), "different lengths"),
    (lambda: BinaryLayer.dense([["x"]]), "weights are numbers"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], groups=3), "in 3 groups"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pooling="mean"), 'pooling is "max" or "average"'),
    (lambda: BinaryLayer.conv(CONV, [0, 0], weight_bits=2), "1 or 8 bits, not 2"),
    (lambda: BinaryLayer.dense([[128]], weight_bits=8), "from -128 to 127"),
    (lambda: BinaryLayer.dense([[0.5]], weight_bits=8), "whole numbers"),
    (lambda: BinaryLayer.conv(CONV, [0]), "shape (1,); 2 filters need (2,)"),
    (lambda: BinaryLayer.conv(CONV, [[0] * 3] * 2), "activations of more than one bit"),
    (lambda: BinaryLayer.conv(CONV, ["0", "1"]), "thresholds are numbers"),
    (
        lambda: BinaryLayer.conv(CONV, [0, 0.5]),
        "so that S >= t is S >= ceil(t)",
    ),
    (lambda: BinaryLayer.conv(CONV, [0, np.inf]), "whole numbers"),
    (lambda: BinaryLayer.conv(CONV, [0, 2**31]), "32 bits"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], [True]), "one bool"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], [0, 2]), "one bool"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], padding=3), "as wide as the kernel"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], padding=-1), "padding is one whole number from 0"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], padding=(1, 1)), "or 4 of them"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pad_value=0.5), "pad value is a whole number"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pad_value=128), "pad value is a whole number"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], stride=0), "stride is one whole number from 1"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], stride=1.5), "stride is one whole number from 1"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], stride=True), "stride is one whole number from 1"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pool=1), "pool=1 pools nothing"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pool=0), "pool is one whole number from 1"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pool=None), "pool is one whole number from 1"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pool="2"), "pool is one whole number from 1"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pool_stride=2), "pool stride without pooling"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], signs=[0, 1]), "signs go with max pooling"),
    (lambda: BinaryLayer.conv(CONV, [0, 0], pool=2, signs=[2, 1]), "signs: one bool for each"),
    (lambda: BinaryLayer.dense(DENSE, input_shape=(1, 1, 5)), "do not fit"),
    (lambda: BinaryLayer.dense(DENSE, input_shape=(1, 2, 2), flatten="whc"), "hwc"),
    (lambda: PixelRule(div=0), "div"),
    (lambda: PixelRule(mul=-1), "mul"),
    (lambda: PixelRule(mul=0.5), "whole"),
]


@pytest.mark.parametrize(("make", "message"), BAD_LAYERS)
def test_wrong_arrays_are_refused(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)


def test_layers_that_do_not_fit_together_are_refused():
    first = BinaryLayer.conv(CONV, [0, 0])
    last = BinaryLayer.dense(signs(3, 2))
    with pytest.raises(ConfigError, match="layer 1 takes weights"):
        BinaryNet("n", [first, last], (4, 4, 1), class_names=())
    with pytest.raises(ConfigError, match="layer 1 needs thresholds"):
        BinaryNet("n", [first, last, last], (3, 3, 1), class_names=())
    with pytest.raises(ConfigError, match="1 to 64 layers"):
        BinaryNet("n", [], (1, 1, 2), class_names=())
    with pytest.raises(ConfigError, match="height, width, channels"):
        BinaryNet("n", [first, last], (3, 3), class_names=())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ("a", "b\nc", "d", "e")}, "line break"),
        ({"class_names": ("a", "b", "c")}, "3 class names for 4"),
        ({"class_names": ("a", "b", "c", "\x1b")}, "control"),
        ({"class_names": ("a", "b", "c", "\ud800")}, "UTF-8"),
        ({"class_names": ("a", "b", "c", "d" * 70_000)}, "65532"),
    ],
)
def test_names_that_cannot_be_stored_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        encode(network(**changes))


@pytest.mark.parametrize(("name", "message"), [("ü" * 17, "32 bytes"), ("a\0b", "after its end")])
def test_model_names_that_cannot_be_stored_are_refused(name, message):
    good = network()
    with pytest.raises(ConfigError, match=message):
        encode(BinaryNet(name, good.layers, good.input_shape, class_names=()))


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "net.mtjb"
    assert save(network(), path) == path.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["net.mtjb"]
    with pytest.raises(ConfigError, match="cannot write"):
        save(network(), path / "below.mtjb")


def test_pool_3_is_a_window_of_3_by_3():
    assert BinaryLayer.conv(CONV, [0, 0], pool=3).pool == (3, 3)
    assert BinaryLayer.conv(CONV, [0, 0], pool=True).pool_stride == (2, 2)
    layer = BinaryLayer.conv(CONV, [0, 0], pool=(1, 3), pool_stride=2)
    assert (layer.pool, layer.pool_stride) == ((1, 3), (2, 2))
    assert BinaryLayer.conv(CONV, [0, 0], pool=np.bool_(False)).pool is None


def test_names_of_before_are_the_same_classes():
    assert (mtjkit_export.LayerSpec, mtjkit_export.Network) == (BinaryLayer, BinaryNet)


def test_class_names_belong_to_no_data_set_by_default():
    last = [BinaryLayer.conv(CONV, [0, 0]), BinaryLayer.dense(signs(10, 2))]
    assert Model(encode(BinaryNet("n", last, (3, 3, 1)))).class_names == []
