"""The sign with which a channel is stored, chosen so that fewer ones are written.

A channel may be stored inverted: its bit is the other one, and the weights of the next layer that
read it are negated. No score changes. Cells are erased to 0 before an image, so a channel that is
mostly 0 toggles less, and every scheme that writes only bits that differ, or ends a pulse when the
bit has switched, pays less. It costs nothing on the device.

Where a layer pools, its bits are ORed after their inversion: the other sign is taken after the
pooling, and the file gets a sign mask. A channel keeps its sign if it is averaged, and if the next
layer pads with -1 or 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import AVERAGES, LayerShape
from mtjkit_core.model import Model
from mtjkit_export.files import check_writable, same_file, write_atomically
from mtjkit_export.formats.mtjb_arrays import decode
from mtjkit_export.formats.mtjb_reader import load
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.nets.binary import BinaryLayer
from numpy.typing import NDArray

from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.simulate.binary_numpy import pads_beyond
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.simulator import open_simulator

PICTURES = 300
"""Taken of a data set: enough to see which value a channel has more often."""


@dataclass(frozen=True)
class Polarity:
    """A net with other signs, and what that changes. Counts are of the pictures, without errors."""

    model: Model
    """The same net."""
    inverted: tuple[int, ...]
    """Of each hidden layer: how many channels are stored with the other sign."""
    free: tuple[int, ...]
    """Of each hidden layer: how many might have been."""
    written: int
    """Bits written."""
    ones: tuple[int, int]
    """Ones among them, before and after."""
    toggled: tuple[int, int]
    """Bits that toggle, before and after."""


def fewer_ones(model: Model, inputs: NDArray[np.int8]) -> Polarity:
    """Store each channel that is 1 on more than half of its cells with the other sign.

    Args:
        model: the net.
        inputs: int8 (n, height, width, channels), pictures like those that it will see.

    Raises:
        ConfigError: there is no picture.
    """
    if not len(inputs):
        raise ConfigError("to choose signs takes at least one picture")
    simulator = open_simulator(model)
    trace: list[Words] = []
    scores, before = simulator.run(inputs, trace=trace)
    maps = simulator.elements(trace)
    del trace
    net = decode(model)
    layers = list(net.layers)
    inverted, free = [], []
    for k, bits in enumerate(maps):
        shape, after = model.layers[k : k + 2]
        may = _may_invert(shape, after, layers[k + 1])
        shares = bits.reshape(-1, shape.out_channels).mean(axis=0) if may.any() else np.zeros(1)
        chosen = may & (shares > 0.5)
        layers[k], layers[k + 1] = _inverted(layers[k], layers[k + 1], chosen)
        inverted.append(int(chosen.sum()))
        free.append(int(may.sum()))
    made = Model(encode(replace(net, layers=layers)))
    same, counts = open_simulator(made).run(inputs)
    if not np.array_equal(same, scores):
        raise AssertionError("another sign changed a score")  # never: a check of this module
    totals = [rows.sum(axis=0).tolist() for rows in (before, counts)]
    return Polarity(
        made,
        tuple(inverted),
        tuple(free),
        totals[0][0],
        (totals[0][3], totals[1][3]),
        (totals[0][1], totals[1][1]),
    )


def with_fewer_ones(model: Model, data: str | Path) -> tuple[Model, str]:
    """`fewer_ones` on PICTURES pictures of a data set, and what that changes in words.

    Raises:
        ConfigError, FormatError: the pictures cannot be used.
    """
    made = fewer_ones(model, to_input(model, load_images(data, model, PICTURES).told().images))
    return made.model, described(made)


def described(made: Polarity) -> str:
    """What `fewer_ones` has changed, in words."""
    shares = [f"{100 * n / max(1, made.written):.1f} %" for n in (*made.ones, *made.toggled)]
    return (
        f"stored {sum(made.inverted):,} of {sum(made.free):,} channels with the other sign: "
        f"{shares[0]} -> {shares[1]} of the written bits are ones, "
        f"{shares[2]} -> {shares[3]} toggle"
    )


def export_with_fewer_ones(model: Path, output: str | Path, data: str | Path) -> str:
    """Write a model file anew, with the signs of `fewer_ones`; what was written, as text.

    Raises:
        ConfigError, FormatError: a file or the pictures cannot be used.
    """
    target = Path(output)
    if same_file(target, model):
        raise ConfigError(f"--output {target}: this would overwrite the model; name another file")
    check_writable(target)
    made, words = with_fewer_ones(load(model), data)
    write_atomically(target, bytes(made.data))
    return f"{words}\nwrote {target}"


def _may_invert(layer: LayerShape, after: LayerShape, weights: BinaryLayer) -> NDArray[np.bool_]:
    """Which of a hidden layer's channels may have the other sign, (channels,).

    Args:
        layer, after: its shape, and that of the next one.
        weights: the next one.
    """
    channels = np.ones(layer.out_channels, np.bool_)
    if layer.output == AVERAGES:
        return ~channels
    if after.pad_value and after.kernel_height and _pads(after):
        return ~channels
    if after.cells > 1:  # -128 has no negative
        channels &= (weights.weights > -128).all(axis=(0, 1, 2))
    return channels


def _pads(layer: LayerShape) -> bool:
    """Whether some window of the layer reaches beyond its map."""
    return any((layer.pad_top, layer.pad_left, *pads_beyond(layer)))


def _inverted(
    layer: BinaryLayer, after: BinaryLayer, chosen: NDArray[np.bool_]
) -> tuple[BinaryLayer, BinaryLayer]:
    """A layer whose chosen channels have the other sign, and the next one, which reads them."""
    if not chosen.any():
        return layer, after
    # Outputs of a group have weights for the channels of their group.
    by_group = np.where(chosen, -1, 1).astype(np.int8).reshape(after.groups, 1, 1, 1, -1)
    shape = after.weights.shape
    weights = after.weights.reshape(after.groups, -1, *shape[1:]) * by_group
    after = replace(after, weights=weights.reshape(shape))
    if layer.pool is None:
        inverted = chosen if layer.inverted is None else layer.inverted ^ chosen
        return replace(layer, inverted=inverted), after
    signs = chosen if layer.signs is None else layer.signs ^ chosen
    return replace(layer, signs=signs if signs.any() else None), after
