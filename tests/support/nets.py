"""Small random networks and images for the host's tests."""

import networks
import numpy as np
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet


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
