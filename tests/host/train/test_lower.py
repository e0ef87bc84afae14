"""Lowering: torch's eval mode and the integer rule agree everywhere."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import CONV, DENSE
from mtjkit_host.simulate.compile import available
from mtjkit_host.train import NetSpec, build_net, evaluate, predict
from mtjkit_host.train.lower import (
    fold,
    fold_fixed,
    fold_norm,
    threshold_rule,
)
from mtjkit_host.train.modules import BatchNorm, Block, Net
from mtjkit_host.train.predict import evaluate_packed
from mtjkit_host.train.quantize import sign

Integers = npt.NDArray[np.int64]


def awkward_norm(channels: int, reach: int, seed: int) -> BatchNorm:
    """Batch norm with both polarities, zero factors, and decisions that fall on an integer."""
    rng = np.random.default_rng(seed)
    norm = BatchNorm(channels)
    values = {
        "weight": rng.normal(0, 1, channels),
        "bias": rng.normal(0, 1, channels),
        "running_mean": rng.normal(0, reach / 3, channels),
        "running_var": rng.uniform(0, reach, channels),
    }
    values["weight"][:8] = [0, 0, 0, 1, -1, 1e-20, -1e-20, 1]
    values["bias"][:8] = [0, 1, -1, 0, 0, 0, 0, 1e9]
    values["running_mean"][3:5] = 2  # y = 0 exactly at S = 2
    values["running_var"][6] = 0
    with torch.no_grad():
        for name, tensor in norm.state_dict().items():
            tensor.copy_(torch.from_numpy(values[name]))
    return norm.eval()


@pytest.mark.parametrize("reach", [1, 9, 288, 3456, 4608])
def test_thresholds_agree_with_eval_on_every_sum(reach: int) -> None:
    norm = awkward_norm(64, reach, seed=reach)
    sums = torch.arange(-reach, reach + 1)
    torch_bits = sign(norm(sums[:, None].float().expand(-1, 64))) > 0
    thresholds, inverted = threshold_rule(fold_norm(norm), reach)
    assert thresholds.dtype == np.int32
    bits: npt.NDArray[np.bool_] = (sums.numpy()[:, None] >= thresholds) ^ inverted
    np.testing.assert_array_equal(bits, torch_bits.numpy())
    constant = np.all(bits == bits[0], axis=0)
    assert constant[:3].all()
    np.testing.assert_array_equal(np.abs(thresholds[constant]), reach + 1)


def test_four_dimensions_give_the_numbers_of_two() -> None:
    norm = awkward_norm(16, 100, seed=3)
    x = torch.randint(-100, 101, (2, 16, 5, 5), generator=torch.Generator().manual_seed(0)).float()
    flat = norm(x.permute(0, 2, 3, 1).reshape(-1, 16))
    assert torch.equal(norm(x).permute(0, 2, 3, 1).reshape(-1, 16), flat)
    np.testing.assert_array_equal(
        fold_norm(norm)(x.permute(0, 2, 3, 1).numpy()).ravel(), flat.ravel()
    )


def random_net(name: str, seed: int = 0) -> Net:
    """Return a net whose batch norms have seen some data, with both polarities."""
    net = build_net(NetSpec.named(name), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.7)
        images = torch.randint(0, 256, (8, 32, 32, 3), generator=generator, dtype=torch.uint8)
        for _ in range(4):
            net.train()(images)
    return net.eval()


def sums_of(x: Integers, weights: npt.NDArray[Any], conv: bool) -> Integers:
    """Return a layer's sums of integers, by shifted products: (N, H, W, out) or (N, out).

    ``weights`` are (out, 3, 3, in), or (out, ...) in the order of x's elements. In float64, which
    is exact: even with 16 bits the sums stay below 2^53.
    """
    weights = weights.astype(np.float64)
    if not conv:
        return np.asarray(x.reshape(len(x), -1) @ weights.reshape(len(weights), -1).T).astype(
            np.int64
        )
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1] - 2, x.shape[2] - 2
    taps = weights.transpose(1, 2, 3, 0)
    sums = np.zeros((len(x), height, width, taps.shape[-1]))
    for r, c in np.ndindex(3, 3):
        sums += x[:, r : r + height, c : c + width] @ taps[r, c]
    return sums.astype(np.int64)


def pooled(x: Integers) -> Integers:
    n, h, w, c = x.shape
    largest: Integers = x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    return largest


def some_images(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (count, 32, 32, 3), np.uint8)


@pytest.mark.parametrize("name", ["binary-tiny", "binary_x3-tiny"])
def test_folded_layers_compute_the_scores_of_torch(name: str) -> None:
    net = random_net(name)
    images = some_images(6)
    x = images.astype(np.int64) - 128
    layers = fold(net).layers
    assert [layer.kind for layer in layers] == [CONV] * 6 + [DENSE] * 3
    assert [layer.pool for layer in layers] == [None, (2, 2)] * 3 + [None] * 3
    assert [layer.padding for layer in layers] == [(1,) * 4] * 6 + [(0,) * 4] * 3
    for layer in layers:
        assert set(np.unique(layer.weights)) == {-1, 1}
        x = sums_of(x, layer.weights, layer.kind == CONV)
        if layer.thresholds is not None and layer.inverted is not None:
            x = ((x >= layer.thresholds) ^ layer.inverted).astype(np.int64)
            x = 2 * (pooled(x) if layer.pool else x) - 1
    scores = predict(net, images)
    assert scores.dtype == torch.float32
    np.testing.assert_array_equal(x, scores.numpy())
    assert len(np.unique(x)) > 5


@pytest.mark.parametrize("bits", [8, 16])
def test_fixed_codes_compute_the_scores_of_torch(bits: int) -> None:
    net = random_net(f"fxp{bits}-tiny")
    images = some_images(4)
    one = 1 << (bits - 1)
    x, unit = images.astype(np.int64) - 128, 128
    for layer in fold_fixed(net).layers:
        conv = layer.kind == "conv"
        weights = layer.codes.transpose(0, 2, 3, 1) if conv else layer.codes
        sums = sums_of(x, weights, conv) / (unit * one)
        if layer.norm is None:
            np.testing.assert_array_equal(sums, predict(net, images).double().numpy())
            return
        x = np.clip(np.rint(layer.norm(sums) * one), -one, one - 1).astype(np.int64)
        x, unit = pooled(x) if layer.pool == 2 else x, one


def test_32_bit_activations_are_32_bits() -> None:
    net = random_net("fxp32-tiny")
    seen: list[torch.Tensor] = []
    net.blocks[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    scores = predict(net, some_images(1))
    codes = seen[0] * 2**31
    assert scores.dtype == codes.dtype == torch.float64
    assert torch.equal(codes, codes.round())
    assert (codes.long() & 1).any()


def test_the_wrong_kind_of_net_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a binary net"):
        fold(build_net(NetSpec.named("fxp8-tiny")))
    with pytest.raises(ConfigError, match=r"a binary net, .* as \.mtjb"):
        fold_fixed(build_net(NetSpec.named("binary-tiny")))


def test_undefined_batch_norm_is_refused() -> None:
    net = build_net(NetSpec.named("binary-tiny"))
    cast(Block, net.blocks[2]).norm.running_var[1] = torch.nan
    with pytest.raises(ConfigError, match="undefined numbers"):
        fold(net)


def test_a_binary_net_is_named_after_the_run_or_as_asked() -> None:
    net = random_net("binary-tiny")
    assert fold(net).name == "binary-tiny"
    assert fold(net, "mine").name == "mine"
    assert fold(net).geometry()[-1].out_channels == len(fold(net).class_names) == 10


@pytest.mark.skipif(not available(), reason="no C compiler")
def test_the_packed_model_is_as_accurate_as_the_net() -> None:
    net, images = random_net("binary-tiny"), some_images(40)
    labels = predict(net, images).numpy().argmax(axis=1)
    labels[:7] = (labels[:7] + 1) % 10
    assert evaluate(net, images, labels) == evaluate_packed(net, images, labels) == 33 / 40
