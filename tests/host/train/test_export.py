"""From a run's checkpoint to a deployable file, with a fixed-point net's weights scaled or not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_core.errors import ConfigError
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.safetensors import load_fixed
from mtjkit_host.paths import CARRIED_IMAGES
from mtjkit_host.simulate.simulator import open_simulator
from mtjkit_host.train import EpochRecord, Net, NetSpec, TrainConfig, build_net, predict
from mtjkit_host.train.checkpoint import save_checkpoint
from mtjkit_host.train.command import export_run
from mtjkit_host.train.scale_weights import scale_weights

IMAGES = np.random.default_rng(5).integers(0, 256, (20, 32, 32, 3), np.uint8)


def settled(name: str) -> Net:
    """A tiny net whose batch norm has seen images."""
    torch.set_num_threads(1)
    net = build_net(NetSpec.named(name), seed=1).train()
    with torch.no_grad():
        for _ in range(20):
            net(torch.from_numpy(IMAGES))
    return net.eval()


def run_of(net: Net, folder: Path) -> str:
    """The folder of a run that ended with this net."""
    config = TrainConfig(net.spec, folder, folder, epochs=1)
    history = [dataclasses.asdict(EpochRecord(1, 0.0, 1.0, 0.5, 0.5, 1.0))]
    folder.mkdir()
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    save_checkpoint(folder, "last", 1, tensors, {"config": config.recipe(), "history": history})
    return str(folder)


@pytest.mark.parametrize("name", ["fxp16-tiny", "fxp32-tiny"])
def test_scaled_without_clipping_the_net_computes_the_same(name: str) -> None:
    net = settled(name)
    before, logits = predict(net, IMAGES).double(), net(torch.from_numpy(IMAGES)).double()
    scale_weights(net, 100)
    after = predict(net, IMAGES).double()
    for module in [*(block.linear for block in net.blocks), net.head]:
        assert module.weight.abs().max() == 1
    factor = float((after * before).sum() / (before * before).sum())
    assert factor > 2
    # Up to the rounding of weights and activations, which 16 bits show.
    assert (after / factor - before).abs().max() < 0.02 * before.abs().max()
    assert (net(torch.from_numpy(IMAGES)) - logits).abs().max() < 0.02 * logits.abs().max()


def test_what_is_above_the_percentile_is_clipped() -> None:
    net = settled("fxp8-tiny")
    scale_weights(net, 75)
    for module in [*(block.linear for block in net.blocks), net.head]:
        share = (module.weight.abs() == 1).double().mean()
        assert share == pytest.approx(0.25, abs=1 / module.weight.numel() + 1e-9)


@pytest.mark.parametrize("percentile", [-1.0, 0.0, 100.5, float("inf")])
def test_percentiles_that_are_none(percentile: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and up to 100"):
        scale_weights(build_net(NetSpec.named("fxp8-tiny")), percentile)


def test_weights_that_are_mostly_zero() -> None:
    net = settled("fxp8-tiny")
    with torch.no_grad():
        net.blocks[1].linear.weight[1:] = 0
    with pytest.raises(ConfigError, match=r"fxp8-tiny: .* 0; use a higher one"):
        scale_weights(net, 10)


def test_fixed_point_runs_become_safetensors(tmp_path: Path) -> None:
    net = settled("fxp8-tiny")
    run, file = run_of(net, tmp_path / "run"), tmp_path / "net.safetensors"
    text = export_run(run, str(file), name="mine")
    assert text == f"wrote {file}, {file.stat().st_size:,} bytes"
    fixed = load_fixed(file)
    assert fixed.name == "mine"
    assert fixed.class_names == tuple(net.spec.class_names)
    scores, _ = open_simulator(fixed).run(IMAGES)
    assert np.array_equal(scores, predict(net, IMAGES).double().numpy())

    export_run(run, str(file), weight_percentile="99")
    scale_weights(net, 99)
    scores, _ = open_simulator(load_fixed(file)).run(IMAGES)
    assert np.array_equal(scores, predict(net, IMAGES).double().numpy())


def test_binary_runs_become_mtjb(tmp_path: Path) -> None:
    run, file = run_of(settled("binary-tiny"), tmp_path / "run"), tmp_path / "net.mtjb"
    assert export_run(run, str(file), name="mine").endswith(f"wrote {file}")
    assert load(file).name == "mine"


def test_a_run_is_exported_with_fewer_ones(tmp_path: Path) -> None:
    run, file = run_of(settled("binary-tiny"), tmp_path / "run"), tmp_path / "net.mtjb"
    export_run(run, str(file))
    plain = load(file)
    text = export_run(run, str(file), polarity=str(CARRIED_IMAGES))
    assert "channels with the other sign" in text
    scores = [open_simulator(net).run(IMAGES)[0] for net in (plain, load(file))]
    assert np.array_equal(*scores)


@pytest.mark.parametrize(
    ("net", "options", "match"),
    [
        ("fxp8-tiny", {"format": "mtjb"}, "not a binary net.*--format safetensors"),
        ("fxp8-tiny", {"weight_percentile": "most"}, "--weight-percentile.*number"),
        ("fxp8-tiny", {"weight_percentile": "0"}, "above 0 and up to 100"),
        ("binary-tiny", {"weight_percentile": "99"}, r"\+1 or -1"),
        ("binary-tiny", {"format": "safetensors"}, "binary"),
        ("fxp8-tiny", {"polarity": "pictures"}, "--polarity is for binary nets"),
        ("binary-tiny", {"polarity": "none"}, "no such file"),
        ("binary-tiny", {"format": "onnx"}, "mtjb, safetensors, tflite"),
    ],
)
def test_what_cannot_be_exported(
    tmp_path: Path, net: str, options: dict[str, str], match: str
) -> None:
    run, file = run_of(settled(net), tmp_path / "run"), tmp_path / "net"
    with pytest.raises(ConfigError, match=match):
        export_run(run, str(file), **options)
    assert not file.exists()
