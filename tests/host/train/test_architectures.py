"""The presets, against the paper's numbers."""

from __future__ import annotations

import json
import math

import pytest

pytest.importorskip("torch", reason="needs the extra train")

from mtjkit_core.errors import ConfigError
from mtjkit_host.train import NETS, WIDTHS, NetSpec, build_net
from mtjkit_host.train.architectures import Conv, parse_net


def weight_count(spec: NetSpec) -> int:
    return sum(p.numel() for name, p in build_net(spec).named_parameters() if "linear" in name) + (
        spec.classes * spec.dense[-1]
    )


def test_paper_binary_has_the_papers_weights() -> None:
    spec = NetSpec.named("binary-paper")
    assert spec.shape == "conv:128,128p,256,256p,512,512p/dense:1024,1024"
    assert weight_count(spec) == 14_022_016


def test_x3_triples_the_filters_only() -> None:
    spec = NetSpec.named("binary_x3-paper")
    assert spec.shape == "conv:384,384p,768,768p,1536,1536p/dense:1024,1024"


def test_small_packs_into_110_kilobytes() -> None:
    assert math.ceil(weight_count(NetSpec.named("binary-small")) / 8 / 1000) == 110


def test_every_preset_has_a_name() -> None:
    for net in NETS:
        for width in WIDTHS:
            spec = NetSpec.named(f"{net}-{width}")
            assert spec.name == f"{net}-{width}"
            assert spec.binary == (net in ("binary", "binary_x3"))


@pytest.mark.parametrize("name", ["binary", "binary-", "vgg-small", "binary-small-x", ""])
def test_unknown_names_list_the_choices(name: str) -> None:
    with pytest.raises(ConfigError, match=r"binary_x3.*small"):
        NetSpec.named(name)


def test_impossible_nets_are_refused() -> None:
    with pytest.raises(ConfigError, match="bits must be"):
        NetSpec.vgg("odd", 4, (8, 8), ())
    with pytest.raises(ConfigError, match="layer 3: 1 x 1 sums are too few for pooling"):
        NetSpec.vgg("odd", 1, (8,) * 4, (), input_shape=(3, 3, 1))
    with pytest.raises(ConfigError, match="from 1"):
        NetSpec.vgg("odd", 1, (8, 0), ())
    with pytest.raises(ConfigError, match="needs a hidden layer"):
        NetSpec("odd", 1, (), ())
    with pytest.raises(ConfigError, match="9 class names for 10 classes"):
        NetSpec("odd", 1, (), (8,), class_names=tuple("abcdefghi"))
    for shape in ("conv:8k5", "conv:8s2", "conv:8p3", "conv:8,d", "dense:8"):
        with pytest.raises(ConfigError, match="a fixed-point net has 3x3 convolutions"):
            NetSpec(*parse_net(f"fxp8/{shape}"))
    with pytest.raises(ConfigError, match="on square images"):
        NetSpec(*parse_net("fxp8/conv:8"), input_shape=(8, 6, 3))


def test_a_shape_is_read_and_written() -> None:
    name, bits, conv, dense = parse_net("conv:32k5x1s2,dk3p2x1,64k1p/dense:128,9")
    assert (name, bits, dense) == ("conv-32k5x1s2-dk3p2x1-64k1p-dens", 1, (128, 9))
    assert conv == (
        Conv(32, (5, 1), (2, 2)),
        Conv(None, (3, 3), pool=(2, 1)),
        Conv(64, (1, 1), pool=(2, 2)),
    )
    spec = NetSpec(name, bits, conv, dense, 3, (40, 8, 2), ("a", "b", "c"), True)
    assert spec.shape == "conv:32k5x1s2,dp2x1,64k1p/dense:128,9"
    assert NetSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    maps = [(layer.map_height, layer.map_width, layer.out_channels) for layer in spec.geometry()]
    assert maps == [(20, 4, 32), (10, 4, 32), (5, 2, 64), (1, 1, 128), (1, 1, 9), (1, 1, 3)]
    assert spec.weights == weight_count(spec)
    assert parse_net("fxp16/dense:7") == ("fxp16-dense-7", 16, (), (7,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv:", "'' is not a convolution"),
        ("conv:32q", "'32q' is not a convolution: expected FILTERS"),
        ("conv:0", "'0' is not a convolution"),
        ("conv:3k0", "not a convolution"),
        ("conv:3pp", "not a convolution"),
        ("conv:9999999", "not a convolution"),
        ("dense:", "'' is not a number of units"),
        ("dense:1.5", "'1.5' is not a number of units"),
        ("foo:3", "'foo:3': expected conv:FILTERS"),
        ("dense:3/conv:4", "'conv:4': expected"),
        ("conv:3/conv:4", "'conv:4': expected"),
        ("fxp9/conv:4", "begins with conv:, dense: or one of binary/, fxp8/"),
        ("x" * 200 + ":3", "expected conv:FILTERS"),
    ],
)
def test_a_wrong_shape_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_net(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("conv:20000", "layer 0: 20000 outputs: 1 to 16384"),
        ("conv:8k256", "sides from 1 to 255"),
        ("conv:8p8,8k2", "layer 1"),
        ("conv:8p3,8p3,8p3", "layer 1: 2 x 2 sums are too few for pooling"),
    ],
)
def test_a_shape_that_does_not_fit_the_data_names_the_layer(shape: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NetSpec(*parse_net(shape), input_shape=(8, 8, 1))


def test_a_net_is_read_as_older_versions_wrote_it() -> None:
    old = {"name": "binary-small", "bits": 1, "conv": [32, 32, 64, 64, 128, 128]}
    old |= {"dense": [256, 256], "classes": 10, "side": 32, "channels": 3}
    assert NetSpec.from_json(old) == NetSpec.named("binary-small")
    with pytest.raises(ConfigError, match="does not describe a net we know"):
        NetSpec.from_json({**old, "classes": "ten"})
