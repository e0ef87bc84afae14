"""What each layer of a binary net writes where nothing fails: the counts of MEMORY.md by layer."""

from __future__ import annotations

import numpy as np
from mtjkit_core.geometry import AVERAGES
from mtjkit_core.model import Model
from mtjkit_core.write_errors import COUNTS, FLIP, NO_ERRORS, WriteErrors
from numpy.typing import NDArray

from mtjkit_host.simulate import draws
from mtjkit_host.simulate.draws import Words
from mtjkit_host.simulate.simulator import BATCH, open_simulator


def map_counts(
    model: Model, inputs: NDArray[np.int8], errors: WriteErrors = NO_ERRORS
) -> NDArray[np.int64]:
    """Bits of each hidden layer's feature map.

    Args:
        model: the net.
        inputs: int8 pictures, (n, height, width, channels).
        errors: says what cells hold before each image: 0 everywhere, or random bits.

    Returns:
        (hidden layers, 5): mtjkit_core.write_errors.COUNTS of all pictures; zeros where a layer's
        output is averages, which are never in the memory.
    """
    simulator = open_simulator(model)
    totals = np.zeros((len(model.layers) - 1, len(COUNTS)), np.int64)
    for at in range(0, len(inputs), BATCH):
        trace: list[Words] = []
        simulator.run(inputs[at : at + BATCH], trace=trace)
        indices = np.arange(at, at + len(trace[0]), dtype=np.uint32)
        halves = draws.halves_before(errors, indices, model.half_words)
        for layer, new in zip(model.layers, trace, strict=False):
            if layer.output != AVERAGES:
                cells = halves[layer.index & 1][:, : layer.map_words]
                lanes = draws.lane_masks(layer.map_words, layer.out_channels)
                totals[layer.index] += _stored(cells, new, lanes)
    return totals


def weight_counts(model: Model) -> NDArray[np.int64]:
    """Bits of each layer's weights, written once over erased cells, (layers, 5): COUNTS."""
    rows = []
    for layer in model.layers:
        words = np.frombuffer(model.data, "<u4", layer.weight_words, layer.weights_at)[None]
        lanes = draws.lane_masks(layer.weight_words, layer.run_bits)
        rows.append(_stored(np.zeros_like(words), words, lanes))
    return np.array(rows)


def _stored(cells: Words, new: Words, lanes: Words) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = draws.store(cells, new, lanes, np.zeros_like(new), FLIP).sum(axis=0)
    return counts
