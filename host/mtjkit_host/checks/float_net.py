"""A model file as a torch program: +-1 in float32, as simulations in papers compute it.

Slow beside the packed twin, but it shares nothing with the packed kernels, so that it
checks them, and is what they are timed against.
"""

from __future__ import annotations

import numpy as np
import torch
from mtjkit_core.geometry import CONV, SIGNED, LayerShape
from mtjkit_core.model import Model
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mtjkit_host.simulate.binary_numpy import pads_beyond


class FloatNet(nn.Module):
    """A binarized network in float32; its sums are whole numbers below 2**24, so exact.

    Args:
        model: mtjkit_core.model.Model.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.layers = model.layers
        self.weights = [_signs(model, layer) for layer in model.layers]
        hidden = model.layers[:-1]
        self.thresholds = [_per_channel(_integers(model, layer)) for layer in hidden]
        self.polarity = [_polarity(model, layer, layer.inverted_at) for layer in hidden]
        self.pooled_polarity = [
            _polarity(model, layer, layer.inverted_at + 4 * layer.out_words)
            if layer.output == SIGNED
            else None
            for layer in hidden
        ]

    @torch.inference_mode()
    def forward(self, images: Tensor, failures: list[NDArray[np.uint32]] | None = None) -> Tensor:
        """Return the scores (n, classes).

        Args:
            images: float32 (n, channels, height, width), the pixel rule already applied.
            failures: for each hidden layer the packed bits that a write inverts, (n, map_words)
                as from mtjkit_host.simulate.draws.failures; None for no errors.
        """
        x = images
        for layer, weights in zip(self.layers, self.weights, strict=True):
            if layer.kind == CONV:
                bottom, right = pads_beyond(layer)
                pads = (layer.pad_left, right, layer.pad_top, bottom)
                x = functional.pad(x, pads, value=layer.pad_value)
                x = functional.conv2d(x, weights, stride=(layer.stride_y, layer.stride_x))
            else:
                x = (x.flatten(1) @ weights.flatten(1).t())[:, :, None, None]
            if layer.last:
                break
            at_least = torch.where(x >= self.thresholds[layer.index], 1.0, -1.0)
            x = at_least * self.polarity[layer.index]
            if layer.pool:
                size = (layer.pool_height, layer.pool_width)
                x = functional.max_pool2d(x, size, (layer.pool_stride_y, layer.pool_stride_x))
            pooled = self.pooled_polarity[layer.index]
            if pooled is not None:
                x = x * pooled
            if failures is not None:
                x = torch.where(_unpack(failures[layer.index], layer), -x, x)
        return x.flatten(1)


def _signs(model: Model, layer: LayerShape) -> Tensor:
    """Weights +-1 as (out, in, height, width)."""
    words = np.frombuffer(model.data, "<u4", layer.weight_words, layer.weights_at)
    octets: NDArray[np.uint8] = words.reshape(-1, layer.run_words).view(np.uint8)
    bits = np.unpackbits(octets, axis=1, count=layer.run_bits, bitorder="little")
    shape = (-1, layer.kernel_height, layer.kernel_width, layer.in_channels)
    weights = (2.0 * bits - 1.0).astype(np.float32).reshape(shape).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(weights))


def _integers(model: Model, layer: LayerShape) -> NDArray[np.float32]:
    values = np.frombuffer(model.data, "<i4", layer.out_channels, layer.thresholds_at)
    return values.astype(np.float32)  # beyond 2**24 rounded, but there no sum reaches


def _polarity(model: Model, layer: LayerShape, at: int) -> Tensor:
    """-1 where the mask at `at` has a 1, else 1."""
    octets = np.frombuffer(model.data, np.uint8, 4 * layer.out_words, at)
    bits = np.unpackbits(octets, count=layer.out_channels, bitorder="little")
    return _per_channel(1.0 - 2.0 * bits.astype(np.float32))


def _per_channel(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).reshape(1, -1, 1, 1)


def _unpack(words: NDArray[np.uint32], layer: LayerShape) -> Tensor:
    """Packed map (n, map_words) to bool (n, channels, height, width)."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    shape = (len(words), layer.map_height, layer.map_width, -1)
    bits = np.unpackbits(octets.reshape(shape), axis=3, count=layer.out_channels, bitorder="little")
    return torch.from_numpy(bits.transpose(0, 3, 1, 2).astype(np.bool_))
