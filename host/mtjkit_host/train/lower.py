"""Lowering: from a trained net to the integers that a device or a simulator computes with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from mtjkit_core.errors import ConfigError
from mtjkit_export.nets.fixed import FixedLayer, FixedNet, FoldedNorm

from mtjkit_host.train.modules import PIXEL_ZERO, BatchNorm, Block, Linear, Net
from mtjkit_host.train.quantize import fixed_codes

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FoldedLayer:
    """One layer of a binary net in integers.

    A hidden layer's output bit is ``(S >= threshold) XOR inverted``, 1 meaning +1; pooling is the
    OR of four bits. The last layer's scores are its sums S.
    """

    kind: str
    """``conv`` (3x3, stride 1) or ``dense``; a dense layer after a convolution takes the feature
    map in the order (y, x, channel)."""
    input: str
    """``int8``: q = pixel - 128, in the first layer; ``bits``: -1 and +1."""
    weights: npt.NDArray[np.int8]
    """-1 and +1, ``(out, in, 3, 3)`` or ``(out, in)``."""
    thresholds: npt.NDArray[np.int32] | None
    """``(out,)``; None in the last layer. A channel that is constant has -n - 1 or n + 1, where
    n is the largest |S| there can be."""
    inverted: npt.NDArray[np.bool_] | None
    """``(out,)``; None in the last layer."""
    padding: int
    """Rows and columns of zeros around the input: 1 in a convolution, 0 in a dense layer. A
    padded tap adds nothing to S."""
    pool: int
    """2 for 2x2 max pooling after the threshold, else 1."""


def fold(net: Net) -> list[FoldedLayer]:
    """Return the layers of a binary net, with batch norm folded into integer thresholds.

    The result agrees with the net's eval mode on every reachable sum: the threshold is found by
    evaluating the same float64 formula on integers, not by solving it.
    Raises ConfigError for a fixed-point net or one with infinite or undefined batch norm.
    """
    if not net.spec.binary:
        raise ConfigError(f"{net.spec.name}: not a binary net, so it has no thresholds to fold")
    layers = []
    for index, (linear, block) in enumerate(_layers(net)):
        weights = linear.quantized(torch.float32).cpu().numpy().astype(np.int8)
        first = index == 0
        reach = linear.fan_in * (PIXEL_ZERO if first else 1)
        thresholds, inverted = None, None
        if block is not None:
            thresholds, inverted = threshold_rule(fold_norm(block.norm, net.spec.name), reach)
        conv = weights.ndim == 4
        layers.append(
            FoldedLayer(
                "conv" if conv else "dense",
                "int8" if first else "bits",
                weights,
                thresholds,
                inverted,
                int(conv),
                2 if block is not None and block.pool else 1,
            )
        )
    return layers


def fold_fixed(net: Net) -> list[FixedLayer]:
    """Return the layers of a fixed-point net as integer codes.

    Raises ConfigError for a binary net or one with infinite or undefined batch norm.
    """
    if net.spec.binary:
        raise ConfigError(f"{net.spec.name}: a binary net has no fixed-point codes; use fold")
    bits = net.spec.bits
    layers = []
    for index, (linear, block) in enumerate(_layers(net)):
        codes = fixed_codes(linear.weight.detach(), bits).cpu().numpy().astype(np.int32)
        conv = codes.ndim == 4
        layers.append(
            FixedLayer(
                "conv" if conv else "dense",
                bits,
                8 if index == 0 else bits,
                codes,
                None if block is None else fold_norm(block.norm, net.spec.name),
                int(conv),
                2 if block is not None and block.pool else 1,
            )
        )
    return layers


def fixed_net(net: Net) -> FixedNet:
    """Return a trained fixed-point net in integer codes; raises ConfigError for a binary one."""
    return FixedNet(net.spec.name, net.spec.bits, tuple(fold_fixed(net)), net.spec.side)


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
