"""The torch nets: input rule, order of pooling and sign, flattening, latent weights."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_host.train import NetSpec, build_net
from mtjkit_host.train.modules import Block, Linear
from mtjkit_host.train.quantize import sign
from torch.nn import functional


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pixel_rule() -> None:
    images = torch.tensor([0, 127, 128, 255], dtype=torch.uint8).reshape(1, 2, 2, 1)
    assert build_net(NetSpec.named("binary-tiny")).inputs(images).ravel().tolist() == [
        -128,
        -1,
        0,
        127,
    ]
    assert build_net(NetSpec.named("fxp8-tiny")).inputs(images).min() == -1


@pytest.mark.parametrize("bits", [1, 8])
def test_pooling_before_the_quantizer_equals_pooling_after(bits: int) -> None:
    block = Block(Linear((8, 4, 3, 3), bits, generator()), pool=(2, 2)).eval()
    torch.nn.init.normal_(block.norm.weight, generator=generator(1))
    x = sign(torch.randn(3, 4, 8, 8, generator=generator(2)))
    first = block(x)
    block.pool = (1, 1)
    assert torch.equal(first, functional.max_pool2d(block(x), 2))


def test_padding_adds_nothing() -> None:
    linear = Linear((5, 3, 3, 3), 1, generator()).eval()
    x = sign(torch.randn(1, 3, 4, 4, generator=generator(1)))
    corner = (linear.quantized(x.dtype)[:, :, 1:, 1:] * x[:, :, :2, :2]).sum((1, 2, 3))
    assert torch.equal(linear(x)[0, :, 0, 0], corner)


def test_dense_layers_read_maps_channel_last() -> None:
    net = build_net(NetSpec.named("binary-tiny")).eval()
    inputs: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    net.blocks[5].register_forward_hook(lambda _m, _i, output: outputs.append(output))
    net.blocks[6].register_forward_hook(lambda _m, i, _o: inputs.append(i[0]))
    net.scores(torch.randint(0, 256, (2, 32, 32, 3), generator=generator(), dtype=torch.uint8))
    assert outputs[0].shape == (2, 32, 4, 4)
    assert torch.equal(inputs[0].reshape(2, 4, 4, 32), outputs[0].permute(0, 2, 3, 1))


def test_bfloat16_training_sees_exact_values() -> None:
    x = torch.arange(-128, 128).float()
    assert torch.equal(x.bfloat16().float(), x)


def test_seed_fixes_the_weights_and_clip_bounds_them() -> None:
    spec = NetSpec.named("binary-tiny")
    a, b, c = build_net(spec, 3), build_net(spec, 3), build_net(spec, 4)
    assert torch.equal(a.head.weight, b.head.weight)
    assert not torch.equal(a.head.weight, c.head.weight)
    with torch.no_grad():
        a.head.weight.add_(5)
        a.log_scale.sub_(5)
    scale = a.log_scale.item()
    a.clip_latent()
    assert a.head.weight.max() == 1
    assert a.log_scale.item() == scale


@pytest.mark.parametrize("name", ["binary-tiny", "fxp8-tiny", "fxp16-tiny", "fxp32-tiny"])
def test_gradients_reach_every_parameter(name: str) -> None:
    net = build_net(NetSpec.named(name))
    images = torch.randint(0, 256, (8, 32, 32, 3), generator=generator(), dtype=torch.uint8)
    torch.autograd.backward(functional.cross_entropy(net(images), torch.arange(8)))
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
