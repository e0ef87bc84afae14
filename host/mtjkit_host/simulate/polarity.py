"""The sign with which a channel is stored, chosen so that fewer ones are written.

A channel may be stored inverted: its bit is the other one, and the weights of the next layer that
read it are negated. No score changes. Cells are erased to 0 before an image, so a channel that is
mostly 0 toggles less, and every scheme that writes only bits that differ, or ends a pulse when the
bit has switched, pays less. It costs nothing on the device.

A pooled channel keeps its sign, because its bits are ORed after their inversion, and so does one
whose next layer pads with -1 or 1, and one that is averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import BITS, LayerShape
from mtjkit_core.model import Model
from mtjkit_export.files import check_writable, same_file, write_atomically
from mtjkit_export.formats.mtjb_reader import load
from numpy.typing import NDArray

from mtjkit_host.datasets.images import load_images, to_input
from mtjkit_host.simulate.binary_numpy import with_crc
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
    data = np.frombuffer(model.data, np.uint8).copy()
    inverted, free = [], []
    for layer, after, bits in zip(model.layers[:-1], model.layers[1:], maps, strict=True):
        may = _may_invert(layer, after, data)
        shares = bits.reshape(-1, layer.out_channels).mean(axis=0) if may.any() else np.zeros(1)
        chosen = may & (shares > 0.5)
        if chosen.any():
            _invert(data, layer, after, chosen)
        inverted.append(int(chosen.sum()))
        free.append(int(may.sum()))
    made = Model(with_crc(data))
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
    shares = [f"{100 * n / max(1, made.written):.1f} %" for n in (*made.ones, *made.toggled)]
    return made.model, (
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


def _may_invert(layer: LayerShape, after: LayerShape, data: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of a hidden layer's channels may have the other sign, (channels,)."""
    channels = np.ones(layer.out_channels, np.bool_)
    if layer.output != BITS or layer.pool_height * layer.pool_width > 1:
        return ~channels
    if after.pad_value and after.kernel_height and _pads(after):
        return ~channels
    if after.cells > 1:  # -128 has no negative
        lowest = (_octets(data, after) == -128).reshape(-1, layer.out_channels).any(axis=0)
        channels &= ~lowest
    return channels


def _pads(layer: LayerShape) -> bool:
    """Whether some window of the layer reaches beyond its map."""
    bottom = (layer.out_height - 1) * layer.stride_y + layer.kernel_height - layer.pad_top
    right = (layer.out_width - 1) * layer.stride_x + layer.kernel_width - layer.pad_left
    beyond = bottom > layer.in_height or right > layer.in_width
    return bool(layer.pad_top or layer.pad_left or beyond)


def _invert(
    data: NDArray[np.uint8], layer: LayerShape, after: LayerShape, chosen: NDArray[np.bool_]
) -> None:
    """Give channels the other sign: in the layer's inversions, and in the next one's weights."""
    masks = data[layer.inverted_at :][: 4 * layer.out_words].view("<u4")
    masks ^= _packed(chosen)
    if after.cells > 1:
        octets = _octets(data, after).reshape(-1, layer.out_channels)
        octets[:, chosen] *= -1
        return
    words = data[after.weights_at :][: 4 * after.weight_words].view("<u4")
    runs = words.reshape(-1, after.run_words)
    if after.groups == 1:  # a run is one tap of all channels
        runs ^= _packed(chosen)
        return
    # A run is an output's whole window, of its group's channels.
    group = np.arange(after.out_channels) // (after.out_channels // after.groups)
    by_group = chosen.reshape(after.groups, -1)[group]
    runs ^= _packed(np.tile(by_group, (1, after.kernel_height * after.kernel_width)))


def _octets(data: NDArray[np.uint8], layer: LayerShape) -> NDArray[np.int8]:
    """A layer's int8 weights, (outputs, weights), in place."""
    rows = data[layer.weights_at :][: 4 * layer.weight_words].view(np.int8)
    return rows.reshape(layer.out_channels, -1)[:, : layer.fan_in]


def _packed(bits: NDArray[np.bool_]) -> Words:
    """Bits (..., n) as words, (..., ceil(n / 32)), padding 0."""
    spare = [(0, 0)] * (bits.ndim - 1) + [(0, -bits.shape[-1] % 32)]
    octets = np.packbits(np.pad(bits, spare), axis=-1, bitorder="little")
    return octets.view("<u4")
