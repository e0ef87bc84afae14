"""Small random networks and images for the host's tests."""

from dataclasses import replace

import networks
import numpy as np
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet
from mtjkit_export.nets.fixed import FixedLayer, FixedNet, FoldedNorm


def small_model(name, count=4):
    """A network of tests/vectors and its images 0..count-1, as the vectors have them.

    Returns:
        The model, and the images: int8 (count, height, width, channels).
    """
    model = Model(bytes(networks.build(name)))
    raw = b"".join(networks.image(name, k) for k in range(count))
    return model, np.frombuffer(raw, np.int8).reshape(-1, *model.input_shape)


def random_images(model, count, seed=7):
    """Random images for a model: int8 (count, height, width, channels)."""
    shape = (count, *model.input_shape)
    return np.random.default_rng(seed).integers(-128, 128, shape, np.int8)


def tiny_network():
    """A network for CIFAR-10's images with four small layers of random weights."""
    rng = np.random.default_rng(0)

    def signs(*shape):
        return rng.integers(0, 2, shape) * 2 - 1

    layers = [
        BinaryLayer.conv(signs(5, 3, 3, 3), rng.integers(-99, 99, 5), padding=1, pool=True),
        BinaryLayer.conv(signs(6, 5, 3, 3), rng.integers(-9, 9, 6), padding=1, pool=True),
        BinaryLayer.dense(signs(33, 384), rng.integers(-9, 9, 33), input_shape=(8, 8, 6)),
        BinaryLayer.dense(signs(10, 33)),
    ]
    return BinaryNet("tiny", layers)


def fixed_layer(rng, kind, shape, bits, input_bits, pool=1):
    """A fixed-point layer with codes of the whole range, every kind of scale, saturating sums."""
    one = 1 << (bits - 1)
    codes = rng.integers(-one, one, shape).astype(np.int32)
    codes[0], codes[1] = -one, one - 1
    out = shape[0]
    gamma = rng.normal(0, 1, out)
    gamma[1::4] = 0
    std = rng.uniform(0.3, 3, out) * np.prod(shape[1:]) ** 0.5
    norm = FoldedNorm(gamma, rng.normal(0, 0.3, out), rng.normal(0, 1, out), std)
    return FixedLayer(kind, bits, input_bits, codes, norm, int(kind == "conv"), pool)


def fixed_net(bits, seed=1):
    """A fixed-point net of the paper's kind for images of 8 x 8 x 3, with random weights."""
    rng = np.random.default_rng(seed)
    layers = [
        fixed_layer(rng, "conv", (6, 3, 3, 3), bits, 8),
        fixed_layer(rng, "conv", (8, 6, 3, 3), bits, bits, 2),
        fixed_layer(rng, "conv", (8, 8, 3, 3), bits, bits),
        fixed_layer(rng, "conv", (10, 8, 3, 3), bits, bits, 2),
        fixed_layer(rng, "dense", (12, 40), bits, bits),
        replace(fixed_layer(rng, "dense", (10, 12), bits, bits), norm=None),
    ]
    return FixedNet(f"fxp{bits}-random", bits, tuple(layers), side=8)
