"""Fixed-point weights that fill their range, so that a wrong bit is small beside them.

A wrong bit changes a weight by 2^-k, k = 0 for the sign, whatever the weight is. Batch norm takes
any scale of its sums back out, so a layer may use all of [-1, 1) instead of the middle of it.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from mtjkit_core.errors import ConfigError

from mtjkit_host.train.modules import BatchNorm, Block, Linear, Net


@torch.no_grad()
def scale_weights(net: Net, percentile: float) -> None:
    """Scale each layer's weights, and its batch norm with them.

    Without rounding and clipping the net would compute what it did; the head's scores grow by one
    factor, which is taken out of the logits.

    Args:
        net: a fixed-point net; changed in place.
        percentile: above 0 and up to 100, of the weights' magnitudes in a layer: what becomes 1.
            Larger weights are clipped.

    Raises:
        ConfigError: the net is binary, the percentile is outside its range, or a layer's
            magnitude there is 0.
    """
    if net.spec.binary:
        raise ConfigError(f"{net.spec.name}: a binary net's weights are all +1 or -1, at any scale")
    if not 0 < percentile <= 100:
        raise ConfigError(f"the weights' percentile must be above 0 and up to 100: {percentile:g}")
    for module in net.blocks:
        block = cast(Block, module)
        factor = _scale(block.linear, percentile, net.spec.name)
        block.norm.running_mean *= factor
        variance = block.norm.running_var + BatchNorm.eps
        block.norm.running_var.copy_(variance * factor**2 - BatchNorm.eps)
    net.log_scale.sub_(math.log(_scale(net.head, percentile, net.spec.name)))


def _scale(layer: Linear, percentile: float, name: str) -> float:
    """Scale a layer's weights and return the factor."""
    size = float(np.percentile(layer.weight.abs().numpy(force=True), percentile))
    if size == 0:
        raise ConfigError(f"{name}: at this percentile a layer's weights are 0; use a higher one")
    layer.weight.div_(size).clamp_(-1.0, 1.0)
    return 1 / size
