"""Thresholds of a trained binary net, set anew for a memory that makes write errors.

Thresholds are trained without errors. Errors in a layer's input pull its sums towards 0, and an OR
over a window of noisy bits is 1 too often. So under errors a channel's bit is 1 more or less often
than the net was trained for, and differs from the error-free bit more often than it must.
Calibration moves the threshold of each channel to where its bit, before it is written, differs
least from the error-free one and is 1 about as often. It goes layer after layer, with the errors
of the earlier layers in place, on pictures without labels. Weights and the file's size stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from mtjkit_core.geometry import AVERAGES
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from numpy.typing import NDArray

from mtjkit_host.simulate import draws
from mtjkit_host.simulate.binary_numpy import NumpyLayer, unpack_maps, with_crc
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.simulator import open_simulator

PICTURES = 300
"""Enough to set thresholds: with 1,000 the loss is the same within its scatter."""

_BALANCE = 0.5
"""What a bit that is 1 too often, or too seldom, weighs beside a bit that differs. On Binary at
full size with 10 % `flip`, 1,500 test pictures: 0 leaves 77.0 % right, 0.3 78.8, 1 78.4, 100
77.1."""

_TOGETHER = 16  # channels whose sums are copied together: a cache line of int32
_BLOCK = 128  # pictures whose sums are floats at the same time


def calibrate(
    model: Model,
    inputs: NDArray[np.int8],
    errors: WriteErrors,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Model:
    """Set a net's thresholds for a memory with errors.

    A channel whose bit is the same on all pictures keeps its threshold, and so do the last layer
    and one before an average.

    Args:
        model: the net as it was trained.
        inputs: int8 (n, height, width, channels), pictures like those that it will see.
        errors: the error process of the feature maps.
        progress: told of each layer: how many are done, and of how many.

    Returns:
        The net with other thresholds.

    Raises:
        ConfigError: there is no picture, or the limits are those of another number of layers.
    """
    if not len(inputs):
        raise ConfigError("calibration takes at least one picture")
    errors.check_layers(len(model.layers))
    indices = np.arange(len(inputs), dtype=np.uint32)
    trace: list[Words] = []
    open_simulator(model).run(inputs, indices, trace=trace)
    clean = unpack_maps(model, trace)
    del trace
    data = np.frombuffer(model.data, np.uint8).copy()
    halves = [np.zeros((len(inputs), words), np.uint32) for words in model.half_words]
    source: NDArray[np.int8] | Words = inputs
    for layer in model.layers[:-1]:
        arrays = NumpyLayer(model, layer)
        if layer.output == AVERAGES:  # not in the memory; the last layer's numbers hang on it
            source = arrays.outputs(source)
            progress(layer.index + 1, len(model.layers) - 1)
            continue
        cells = halves[layer.index & 1][:, : layer.map_words]
        bits = clean[layer.index].reshape(len(inputs), -1, layer.out_channels).astype(np.bool_)
        whole = np.int16 if arrays.largest_sum < 1 << 15 else np.int32
        sums = np.concatenate(
            [
                arrays.pooled_sums(source[at : at + _BLOCK], arrays.inverted).astype(whole)
                for at in range(0, len(inputs), _BLOCK)
            ]
        )
        thresholds = _thresholds(
            sums.reshape(-1, layer.out_channels), bits.reshape(-1, layer.out_channels), arrays
        )
        data[layer.thresholds_at :][: 4 * layer.out_channels].view("<i4")[:] = thresholds
        intended = arrays.pack(arrays.stored(sums, thresholds))
        draws.write(cells, intended, arrays.lanes, errors, indices, layer.index)
        source = cells
        progress(layer.index + 1, len(model.layers) - 1)
    return Model(with_crc(data))


def _thresholds(
    sums: NDArray[np.integer[Any]], clean: NDArray[np.bool_], arrays: NumpyLayer
) -> NDArray[np.int32]:
    """The best threshold of each channel, (channels,).

    Args:
        sums: what the bits hang on under errors, (n, channels).
        clean: the bits without errors, (n, channels).
        arrays: the layer.
    """
    low, span = int(sums.min()), int(sums.max()) - int(sums.min()) + 1
    thresholds = arrays.thresholds.astype(np.int32)
    for first in range(0, sums.shape[1], _TOGETHER):
        some = slice(first, first + _TOGETHER)
        part = np.ascontiguousarray(sums[:, some].T, np.int32)
        rows = 2 * (part - low) + clean[:, some].T
        for channel, row in enumerate(rows, first):
            counts = np.bincount(row, minlength=2 * span).reshape(span, 2)
            zeros, ones = (_below(counts[:, bit]) for bit in (0, 1))
            if not zeros[-1] or not ones[-1]:
                continue
            # At each threshold: error-free zeros that become 1, error-free ones that become 0.
            inverted = arrays.inverted[channel] ^ arrays.signs[channel]
            up = zeros if inverted else zeros[-1] - zeros
            down = ones[-1] - ones if inverted else ones
            cost = up + down + _BALANCE * np.abs(up - down)
            best = np.flatnonzero(cost == cost.min())
            thresholds[channel] = low + (int(best[0]) + int(best[-1]) + 1) // 2
    return thresholds


def _below(counts: NDArray[np.intp]) -> NDArray[np.int64]:
    """How many values lie below 0, 1, ... span, where `counts` (span,) counts each: (span + 1,)."""
    below = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=below[1:])
    return below
