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

from mtjkit_host.simulate.binary_numpy import with_crc
from mtjkit_host.simulate.draws import Words, halves_before
from mtjkit_host.simulate.simulator import open_simulator
from mtjkit_host.simulate.sums import LayerSums, Sums

PICTURES = 300
"""Enough to set thresholds: with 1,000 the loss is the same within its scatter."""

_BALANCE = 0.5
"""What a bit that is 1 too often, or too seldom, weighs beside a bit that differs. On Binary at
full size with 10 % `flip`, 1,500 test pictures: 0 leaves 77.0 % right, 0.3 78.8, 1 78.4, 100
77.1."""


def calibrate(
    model: Model,
    inputs: NDArray[np.int8],
    errors: WriteErrors,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Model:
    """Set a net's thresholds for a memory with errors: see Calibration."""
    return Calibration(model, inputs).model_for(errors, progress)


class Calibration:
    """A net and the pictures that set its thresholds, for one memory after the other.

    What errors cannot change is computed once: the error-free maps, and the first layer's map
    before its errors.

    Args:
        model: the net as it was trained.
        inputs: int8 (n, height, width, channels), pictures like those that it will see.

    Raises:
        ConfigError: there is no picture.
    """

    def __init__(self, model: Model, inputs: NDArray[np.int8]) -> None:
        if not len(inputs):
            raise ConfigError("calibration takes at least one picture")
        self._model = model
        self._inputs = inputs
        self._indices = np.arange(len(inputs), dtype=np.uint32)
        simulator = open_simulator(model)
        self._clean: list[Words] = []
        simulator.run(inputs, self._indices, trace=self._clean)
        native = simulator.engine == "native"
        self._layers = [LayerSums(model, layer, native) for layer in model.layers[:-1]]
        self._first: tuple[NDArray[np.int32], Words] | None = None

    def model_for(
        self,
        errors: WriteErrors,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> Model:
        """The net with thresholds for these errors.

        A channel whose bit is the same on all pictures keeps its threshold, and so do the last
        layer and one before an average.

        Args:
            errors: the error process of the feature maps, and what its cells hold before an image.
            progress: told of each layer: how many are done, and of how many.

        Raises:
            ConfigError: the limits are those of another number of layers.
        """
        model = self._model
        errors.check_layers(len(model.layers))
        data = np.frombuffer(model.data, np.uint8).copy()
        halves = halves_before(errors, self._indices, model.half_words)
        source: NDArray[np.int8] | Words = self._inputs
        for layer, sums in zip(model.layers, self._layers, strict=False):
            progress(layer.index, len(self._layers))
            if layer.output == AVERAGES:  # not in the memory; the last layer hangs on its numbers
                source = sums.arrays.outputs(source)
                continue
            if layer.index or self._first is None:
                thresholds, intended = self._set(sums, source, self._clean[layer.index])
                if not layer.index:
                    self._first = thresholds, intended
            else:
                thresholds, intended = self._first
            data[layer.thresholds_at :][: 4 * layer.out_channels].view("<i4")[:] = thresholds
            cells = halves[layer.index & 1][:, : layer.map_words]
            sums.write(cells, intended, errors, self._indices)
            source = cells
        progress(len(self._layers), len(self._layers))
        return Model(with_crc(data))

    @staticmethod
    def _set(
        layer: LayerSums, source: NDArray[Any], clean: Words
    ) -> tuple[NDArray[np.int32], Words]:
        """A layer's thresholds, (channels,), and its maps with them, (n, map_words)."""
        sums = layer.pooled(source)
        thresholds = _thresholds(layer, sums, clean)
        return thresholds, layer.arrays.pack(layer.arrays.stored(sums, thresholds))


def _thresholds(layer: LayerSums, sums: Sums, clean: Words) -> NDArray[np.int32]:
    """The best threshold of each channel, (channels,).

    Args:
        layer: the layer.
        sums: what its bits hang on under errors, (n, map_height, map_width, channels).
        clean: its maps without errors, (n, map_words).
    """
    arrays, low = layer.arrays, int(sums.min())
    thresholds = arrays.thresholds.astype(np.int32)
    for first, counts in layer.histograms(sums, clean):
        some = slice(first, first + len(counts))
        # At each threshold: how many sums lie below it, of error-free zeros and ones.
        below = np.zeros((len(counts), counts.shape[1] + 1, 2), np.int64)
        np.cumsum(counts, axis=1, out=below[:, 1:])
        zeros, ones = below[..., 0], below[..., 1]
        inverted = (arrays.inverted ^ arrays.signs)[some, None]
        up = np.where(inverted, zeros, zeros[:, -1:] - zeros)  # zeros that become 1
        down = np.where(inverted, ones[:, -1:] - ones, ones)
        cost = up + down + _BALANCE * np.abs(up - down)
        best = cost == cost.min(axis=1, keepdims=True)
        edges = best.argmax(axis=1) + (best.shape[1] - 1 - best[:, ::-1].argmax(axis=1))
        varies = (zeros[:, -1] > 0) & (ones[:, -1] > 0)
        thresholds[some] = np.where(varies, low + (edges + 1) // 2, thresholds[some])
    return thresholds
