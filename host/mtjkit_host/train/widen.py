"""A wide net that starts from a narrow one's weights, which saves most of its training.

After Net2WiderNet (Chen, Goodfellow, Shlens, "Net2Net: Accelerating Learning via Knowledge
Transfer", ICLR 2016). A quantized weight cannot be divided by the number of its input's copies, as
there, so the sums grow with the copies, and batch norm's statistics with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from mtjkit_core.errors import FormatError
from torch import Tensor

from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.modules import Block, Linear, Net

NOISE = 0.25
"""Standard deviation of what is added to a copied latent weight, over that of its layer's weights.
Copies must differ, or they would learn the same; of normal weights 8 % change their sign."""


@torch.no_grad()
def widen(source: Net, net: Net, generator: torch.Generator) -> None:
    """Give ``net`` the weights and batch norm of ``source``; the head's scale stays the net's own.

    Filter or unit number j becomes that of number j modulo the source's width, with noise from
    ``generator`` on its weights. Layers that are as wide as the source's, and read as much, are
    copied as they are. Where every width is a multiple of the source's, the net without the noise
    would compute what the source computes.

    Raises:
        FormatError: the nets differ in more than the widths of their layers, or ``net`` is the
            narrower one in any of them.
    """
    blocks = [cast(Block, block) for block in net.blocks]
    sources = [cast(Block, block) for block in source.blocks]
    _check(source, net)
    came_from = torch.arange(net.spec.input_shape[2])
    for block, old in zip(blocks, sources, strict=True):
        came_from = _widen_layer(block.linear, old.linear, came_from, generator)
        for name, value in old.norm.state_dict().items():
            growth = block.linear.fan_in / old.linear.fan_in
            power = {"running_mean": 1, "running_var": 2}.get(name, 0)
            block.norm.state_dict()[name].copy_(value[came_from] * growth**power)
    _widen_layer(net.head, source.head, came_from, generator)


def _check(source: Net, net: Net) -> None:
    old, new = source.spec, net.spec
    alike = _kinds(old) == _kinds(new)
    widths = zip(_widths(old), _widths(new), strict=False)
    if not alike or any(wide < narrow for narrow, wide in widths):
        raise FormatError(
            f"the checkpoint's {old.name} does not fit {new.name}; start from a net with the same "
            "layers, as wide or narrower"
        )


def _kinds(spec: NetSpec) -> tuple[object, ...]:
    """What a net's layers are, without how wide they are."""
    conv = [replace(c, filters=None if c.filters is None else 1) for c in spec.conv]
    return conv, len(spec.dense), spec.classes, spec.input_shape, spec.takes_int8


def _widths(spec: NetSpec) -> list[int]:
    return [layer.out_channels for layer in spec.geometry()]


def _widen_layer(layer: Linear, old: Linear, inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Copy one layer; return which of the source's outputs each output came from, ``(out,)``.

    ``inputs`` ``(channels,)`` says the same of the layer before. A dense layer after a
    convolution reads (y, x, c): its places lie side by side. A depthwise layer has an output for
    each input.
    """
    if layer.groups > 1:
        layer.weight.copy_(_noisy(old.weight[inputs], old, generator))
        return inputs
    outputs = torch.arange(len(layer.weight)) % len(old.weight)
    channels = int(inputs.max()) + 1
    places = old.weight.shape[1] // channels
    columns = (torch.arange(places)[:, None] * channels + inputs).reshape(-1)
    layer.weight.copy_(_noisy(old.weight[outputs][:, columns], old, generator))
    return outputs


def _noisy(weight: Tensor, old: Linear, generator: torch.Generator) -> Tensor:
    """Add noise to copied weights; as they are where nothing was widened."""
    if weight.shape == old.weight.shape:
        return weight
    noise = torch.randn(weight.shape, generator=generator)
    return (weight + noise * NOISE * old.weight.std()).clamp_(-1.0, 1.0)
