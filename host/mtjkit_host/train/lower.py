"""Lowering: from a trained net to the integers that a device or a simulator computes with.

Binary nets become a `mtjkit_export.nets.binary.BinaryNet`, fixed-point nets a
`mtjkit_export.nets.fixed.FixedNet`.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from mtjkit_core.errors import ConfigError
from mtjkit_export.nets.binary import BinaryLayer, BinaryNet
from mtjkit_export.nets.fixed import PIXEL_ZERO, FixedLayer, FixedNet, FoldedNorm
from mtjkit_export.nets.pixels import PixelRule

from mtjkit_host.train.modules import BatchNorm, Block, Linear, Net
from mtjkit_host.train.quantize import fixed_codes


def fold(net: Net, name: str | None = None) -> BinaryNet:
    """Lower a binary net: batch norm becomes integer thresholds.

    The result agrees with the net's eval mode on every reachable sum: the threshold is found by
    evaluating the same float64 formula on integers, not by solving it. A channel that is constant
    has the threshold -n - 1 or n + 1, where n is the largest |S| there can be.

    Args:
        net: trained.
        name: stored in the model file; default the net's own.

    Raises:
        ConfigError: a fixed-point net, or one with infinite or undefined batch norm.
    """
    if not net.spec.binary:
        raise ConfigError(f"{net.spec.name}: not a binary net, so it has no thresholds to fold")
    spec, layers = net.spec, []
    for (linear, block), shape in zip(_layers(net), spec.geometry(), strict=True):
        weights = linear.quantized(torch.float32).cpu().numpy().astype(np.int8)
        reach = linear.fan_in * (PIXEL_ZERO if shape.index == 0 else 1)
        rule: tuple[Any, Any] = None, None
        if block is not None:
            rule = threshold_rule(fold_norm(block.norm, net.spec.name), reach)
        if weights.ndim == 4:
            pool = shape.pool_height, shape.pool_width
            layers.append(
                BinaryLayer.conv(
                    weights,
                    *rule,
                    stride=linear.stride,
                    padding=linear.padding * 2,
                    pool=False if pool == (1, 1) else pool,
                    groups=linear.groups,
                )
            )
        else:
            before = shape.in_height, shape.in_width, shape.in_channels
            layers.append(BinaryLayer.dense(weights, *rule, input_shape=before))
    pixels = None if spec.takes_int8 else PixelRule()
    return BinaryNet(name or spec.name, layers, spec.input_shape, pixels, spec.class_names)


def fold_fixed(net: Net, name: str | None = None) -> FixedNet:
    """Lower a fixed-point net: weights become integer codes, batch norm four numbers a channel.

    Args:
        net: trained.
        name: stored in the net's file; default the net's own.

    Raises:
        ConfigError: a binary net, or one with infinite or undefined batch norm.
    """
    if net.spec.binary:
        raise ConfigError(
            f"{net.spec.name}: a binary net, which has no fixed-point codes; `export` writes it as "
            ".mtjb unless --format says otherwise"
        )
    bits = net.spec.bits
    layers = []
    for index, (linear, block) in enumerate(_layers(net)):
        codes = fixed_codes(linear.weight.detach(), bits).cpu().numpy().astype(np.int32)
        conv = codes.ndim == 4
        layers.append(
            FixedLayer(
                kind="conv" if conv else "dense",
                bits=bits,
                input_bits=8 if index == 0 else bits,
                codes=codes,
                norm=None if block is None else fold_norm(block.norm, net.spec.name),
                padding=int(conv),
                pool=1 if block is None else block.pool[0],
            )
        )
    spec = net.spec
    return FixedNet(
        name or spec.name, bits, tuple(layers), spec.input_shape[0], tuple(spec.class_names)
    )


def fold_norm(norm: BatchNorm, name: str = "net") -> FoldedNorm:
    """Return a batch norm's numbers in float64; raises ConfigError unless all are finite."""
    folded = [t.cpu().numpy() for t in norm.folded()]
    if not all(np.isfinite(values).all() for values in folded):
        raise ConfigError(f"{name}: batch norm holds infinite or undefined numbers; train again")
    return FoldedNorm(*folded)


def threshold_rule(
    norm: FoldedNorm, reach: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return thresholds int32 and inverted bool, both ``(out,)``, for |S| <= ``reach``.

    (S >= threshold) XOR inverted equals norm(S) >= 0 for every integer S in [-reach, reach].
    """
    # Each floating-point operation of the formula is monotone, rounding included, so each
    # channel's bit changes at most once over the integers: bisection finds exactly where.
    low = np.full(norm.gamma.shape, -reach, np.int64)
    high = np.full(norm.gamma.shape, reach, np.int64)
    bottom, top = norm(low) >= 0, norm(high) >= 0
    while np.any(high - low > 1):
        middle = (low + high) // 2
        before = (norm(middle) >= 0) == bottom
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    thresholds = np.where(bottom == top, np.where(bottom, -reach - 1, reach + 1), high)
    return thresholds.astype(np.int32), bottom & ~top


def _layers(net: Net) -> list[tuple[Linear, Block | None]]:
    blocks = [cast(Block, block) for block in net.blocks]
    return [*((block.linear, block) for block in blocks), (net.head, None)]
