"""Small random networks and images for the host's tests."""

from dataclasses import replace
from functools import cache

import networks
import numpy as np
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, PixelTables
from mtjkit_export.nets.fixed import FixedLayer, FixedNet, FoldedNorm
from mtjkit_host.datasets import cifar10


def small_model(name, count=4):
    """A network of tests/vectors and its images 0..count-1, as the vectors have them.

    Returns:
        The model, and the images: int8 (count, height, width, channels).
    """
    # A test may put a network of its own under this name.
    return _small_model(name, repr(networks.NETWORKS.get(name)), count)


@cache
def _small_model(name, _, count):
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
    return BinaryNet("tiny", layers, class_names=cifar10.CLASSES)


def random_weights(rng, bits, *shape):
    """Weights of 1 bit, or int8."""
    return rng.choice([-1, 1], shape) if bits == 1 else rng.integers(-128, 128, shape)


def random_conv(rng, shape, first, average=False):
    """Any convolution over a map of (height, width, channels), and the map that it stores."""
    height, width, channels = shape
    ky, kx = (int(rng.integers(1, min(6, side + 1))) for side in (height, width))
    pads = [int(rng.integers(0, side)) for side in (ky, kx, ky, kx)]
    stride = [int(n) for n in rng.integers(1, 4, 2)]
    out = int(rng.choice([1, 5, 31, 32, 33]))
    groups = 1
    if rng.integers(0, 3) == 0:
        groups = int(rng.choice([n for n in range(1, channels + 1) if channels % n == 0]))
        out = groups * int(rng.integers(1, 1 + max(1, 40 // groups)))
    bits = 8 if first and rng.integers(0, 3) == 0 else 1
    sums = (
        (height + pads[0] + pads[2] - ky) // stride[0] + 1,
        (width + pads[1] + pads[3] - kx) // stride[1] + 1,
    )
    pool = [int(rng.integers(1, min(3, side) + 1)) for side in sums]
    pool_stride = [int(n) for n in rng.integers(1, 4, 2)]
    layer = BinaryLayer.conv(
        random_weights(rng, bits, out, channels // groups, ky, kx),
        rng.integers(-99, 100, out) if first else rng.integers(-9, 10, out),
        rng.integers(0, 2, out),
        stride=stride,
        padding=pads,
        pad_value=int(rng.integers(-128, 128) if first else rng.integers(-1, 2)),
        pool=pool,
        pool_stride=pool_stride,
        pooling="average" if average else "max",
        groups=groups,
        weight_bits=bits,
        signs=None if average or rng.integers(0, 2) else rng.integers(0, 2, out),
    )
    stored = ((sums[i] - pool[i]) // pool_stride[i] + 1 for i in range(2))
    return layer, (*stored, out)


def random_dense(rng, shape, first, last):
    """Any dense layer over a map; of a last one half have thresholds."""
    fan_in = int(np.prod(shape))
    out = int(rng.choice([1, 3, 31, 32, 33, 65]))
    thresholds = rng.integers(-99, 100, out) if first else rng.integers(-9, 10, out)
    inverted = rng.integers(0, 2, out)
    if last and rng.integers(0, 2):
        thresholds = inverted = None
    bits = 8 if (first or last) and rng.integers(0, 3) == 0 else 1
    weights = random_weights(rng, bits, out, fan_in)
    return BinaryLayer.dense(weights, thresholds, inverted, input_shape=shape, weight_bits=bits)


def random_net(rng):
    """A network of any kind that a file can hold, small enough for the reference."""
    vector = rng.integers(0, 3) == 0
    if vector:
        shape = (1, 1, int(rng.integers(1, 100)))
    else:
        sides = [int(n) for n in rng.integers(3, 12, 2)]
        shape = (*sides, int(rng.choice([1, 2, 3, 17])))
    inner, layers = shape, []
    convs = 0 if vector else int(rng.integers(0, 4))
    dense = int(rng.integers(1, 4))
    for k in range(convs):
        average = k == convs - 1 and dense == 1 and rng.integers(0, 3) > 0
        layer, inner = random_conv(rng, inner, not layers, average)
        layers.append(layer)
    for k in range(dense):
        layer = random_dense(rng, inner, not layers, k == dense - 1)
        layers.append(layer)
        inner = (1, 1, len(layer.weights))
    classes = inner[2]
    options = {}
    if rng.integers(0, 2):
        options["scale"] = rng.normal(0, 1, classes)
        options["offset"] = rng.normal(0, 9, classes)
    inputs = ("int8", "0/1", "+-1")[rng.integers(0, 3)]
    rules = (PixelRule(), PixelTables(rng.integers(-128, 128, (shape[2], 256))), None)
    rule = rules[rng.integers(0, 3)]
    by_sign = classes == 1 and bool(rng.integers(0, 2))
    return BinaryNet("random", layers, shape, rule, inputs=inputs, by_sign=by_sign, **options)


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
