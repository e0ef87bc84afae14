"""Networks of known shapes with seeded random weights, so that a benchmark needs no data."""

from __future__ import annotations

import numpy as np
from mtjkit_core.model import Model
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.nets.binary import BinaryLayer, BinaryNet
from numpy.typing import NDArray

from mtjkit_host.datasets import cifar10


def paper_binary(seed: int = 0) -> Model:
    """The paper's Binary VGG: 14.0 M weights, 617 M MACs, 288,768 feature-map bits an image."""
    return _vgg("binary-paper", (128, 128, 256, 256, 512, 512), (1024, 1024), 1, 3, seed)


def cnv(seed: int = 0) -> Model:
    """The shape of FINN's CNV W1A1: no padding, 1.54 M weights, 59.5 M MACs an image."""
    return _vgg("cnv", (64, 64, 128, 128, 256, 256), (512, 512), 0, 2, seed)


def random_images(model: Model, count: int, seed: int = 0) -> NDArray[np.int8]:
    """Seeded random input, int8 (count, height, width, channels)."""
    rng = np.random.default_rng(seed)
    return rng.integers(-128, 128, (count, *model.input_shape), np.int8)


def _vgg(
    name: str,
    filters: tuple[int, ...],
    units: tuple[int, ...],
    padding: int,
    pools: int,
    seed: int,
) -> Model:
    """A VGG with 2x2 pooling after the first `pools` pairs of convolutions, and ten scores."""
    rng = np.random.default_rng(seed)

    def decision(
        out: int, fan_in: int, scale: float
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        # Near the middle of the sums, as a trained network's are: both bits occur.
        spread = rng.normal(0.0, 0.5 * scale * np.sqrt(fan_in), out)
        return np.rint(spread).astype(np.int64), rng.random(out) < 0.1

    def signs(*shape: int) -> NDArray[np.int8]:
        return rng.choice(np.array([-1, 1], np.int8), shape)

    layers = []
    side, channels = 32, 3
    for index, out in enumerate(filters):
        thresholds, inverted = decision(out, 9 * channels, 74.0 if index == 0 else 1.0)
        pool = index % 2 == 1 and index // 2 < pools
        weights = signs(out, channels, 3, 3)
        layers.append(BinaryLayer.conv(weights, thresholds, inverted, padding=padding, pool=pool))
        side = (side - 2 * (1 - padding)) // (1 + pool)
        channels = out
    for out in units:
        fan_in = side * side * channels
        shape = (side, side, channels)
        layers.append(
            BinaryLayer.dense(signs(out, fan_in), *decision(out, fan_in, 1.0), input_shape=shape)
        )
        side, channels = 1, out
    layers.append(BinaryLayer.dense(signs(10, channels)))
    return Model(encode(BinaryNet(name, layers, class_names=cifar10.CLASSES)))
