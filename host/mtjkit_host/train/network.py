"""From a trained binary net to the exporter's plain network description."""

from __future__ import annotations

from mtjkit_export.nets.binary import BinaryLayer, BinaryNet

from mtjkit_host.datasets import cifar10
from mtjkit_host.train.lower import fold
from mtjkit_host.train.modules import Net


def to_network(net: Net, name: str | None = None) -> BinaryNet:
    """Return the network that a device runs: packed-bit layers with integer thresholds.

    Args:
        net: a binary net, trained.
        name: stored in the model file; default the net's own.

    Raises:
        ConfigError: a fixed-point net, which a binary device cannot run.
    """
    layers = []
    side, channels = net.spec.side, net.spec.channels
    for layer in fold(net):
        if layer.kind == "conv":
            assert layer.thresholds is not None
            spec = BinaryLayer.conv(
                layer.weights,
                layer.thresholds,
                layer.inverted,
                padding=layer.padding,
                pool=layer.pool == 2,
            )
            side //= layer.pool
        else:
            spec = BinaryLayer.dense(
                layer.weights,
                layer.thresholds,
                layer.inverted,
                input_shape=(side, side, channels),
            )
            side = 1
        channels = len(layer.weights)
        layers.append(spec)
    shape = (net.spec.side, net.spec.side, net.spec.channels)
    return BinaryNet(name or net.spec.name, layers, shape, class_names=cifar10.CLASSES)
