"""The presets, against the paper's numbers."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch", reason="needs the extra train")

from mtjkit_core.errors import ConfigError
from mtjkit_host.train import NETS, WIDTHS, NetSpec, build_net


def weight_count(spec: NetSpec) -> int:
    return sum(p.numel() for name, p in build_net(spec).named_parameters() if "linear" in name) + (
        spec.classes * spec.dense[-1]
    )


def test_paper_binary_has_the_papers_weights() -> None:
    spec = NetSpec.named("binary-paper")
    assert spec.conv == (128, 128, 256, 256, 512, 512)
    assert spec.dense == (1024, 1024)
    assert weight_count(spec) == 14_022_016


def test_x3_triples_the_filters_only() -> None:
    spec = NetSpec.named("binary_x3-paper")
    assert spec.conv == (384, 384, 768, 768, 1536, 1536)
    assert spec.dense == (1024, 1024)


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
        NetSpec("odd", 4, (8, 8), ())
    with pytest.raises(ConfigError, match="cannot be halved"):
        NetSpec("odd", 1, (8,) * 4, (), side=6)
    with pytest.raises(ConfigError, match="from 1"):
        NetSpec("odd", 1, (8, 0), ())
