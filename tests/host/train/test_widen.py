"""A wide net from a narrow one: the same function, but for the noise that tells copies apart."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_core.errors import FormatError
from mtjkit_host.train import Net, NetSpec, build_net, widen


def narrow(name: str = "binary-tiny") -> Net:
    """A net whose batch norm is not that of a new one."""
    net = build_net(NetSpec.named(name), seed=1)
    generator = torch.Generator().manual_seed(2)
    for block in net.blocks:
        fan_in, norm = block.linear.fan_in, block.norm
        with torch.no_grad():
            norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=generator))
            norm.running_var.copy_(fan_in * (0.5 + torch.rand(len(norm.bias), generator=generator)))
            norm.weight.copy_(torch.randn(norm.weight.shape, generator=generator))
            norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator) / 2)
    return net.eval()


def widened(source: Net, name: str, seed: int = 0) -> Net:
    net = build_net(NetSpec.named(name), seed=9)
    widen.widen(source, net, torch.Generator().manual_seed(seed))
    return net.eval()


@pytest.mark.parametrize(("name", "factor"), [("binary-small", 4), ("binary_x3-tiny", 1)])
def test_without_noise_the_function_stays(
    name: str, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widen, "NOISE", 0.0)
    images = torch.randint(0, 256, (8, 32, 32, 3), generator=torch.Generator().manual_seed(3))
    source = narrow()
    expected = source.scores(images)
    assert expected.unique().numel() > 10
    assert torch.equal(widened(source, name).scores(images), factor * expected)


def test_fixed_point_without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widen, "NOISE", 0.0)
    images = torch.randint(0, 256, (8, 32, 32, 3), generator=torch.Generator().manual_seed(3))
    source = narrow("fxp16-tiny")
    expected = source.scores(images)
    scores = widened(source, "fxp16-small").scores(images)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(scores, 4 * expected, atol=0.05, rtol=0)


def test_copies_differ_by_noise_that_follows_from_the_seed() -> None:
    source = narrow()
    one, again, other = (widened(source, "binary-small", seed) for seed in (0, 0, 1))
    weight = one.blocks[1].linear.weight
    n = len(source.blocks[1].linear.weight)
    assert torch.equal(weight, again.blocks[1].linear.weight)
    assert not torch.equal(weight, other.blocks[1].linear.weight)
    assert not torch.equal(weight[:n], weight[n : 2 * n])
    assert weight.abs().max() <= 1
    copied = source.blocks[4].linear.weight.repeat(4, 4, 1, 1)
    changed = (torch.sign(one.blocks[4].linear.weight) != torch.sign(copied)).double().mean()
    # Uniform latent weights: a/2 of them, where a = 0.25 E|N(0, 1)| / sqrt(3) = 0.115.
    assert changed == pytest.approx(0.0576, abs=0.005)


def test_layers_of_the_same_size_are_copied_as_they_are() -> None:
    source = narrow()
    net = widened(source, "binary_x3-tiny")
    assert torch.equal(net.head.weight, source.head.weight)
    assert torch.equal(net.blocks[7].linear.weight, source.blocks[7].linear.weight)


def test_a_narrower_net_is_refused() -> None:
    with pytest.raises(FormatError, match="binary-small does not fit binary-tiny; start from"):
        widened(narrow("binary-small"), "binary-tiny")
