"""A lowered network beside the graph that it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.importers import evaluate
from mtjkit_export.importers.graph import Graph, refuse
from mtjkit_export.importers.maps import Map
from mtjkit_export.nets.binary import BinaryNet


@dataclass
class Lowered:
    """A network, and what is needed to check and to describe it."""

    net: BinaryNet
    """The network."""
    graph: Graph
    """What it was made of."""
    tensor: str
    """The tensor of the graph that the scores become."""
    scores: Map
    """What the tensor holds for each sum of the last layer."""
    class_bits: bool
    """Whether the last layer gives 1 and -1, not sums."""
    input_index: NDArray[np.int64]
    """(height, width, channels): place of each element in the graph's input, flattened."""
    table: NDArray[np.float32]
    """(channels, 256): what the graph takes for each byte."""
    evaluator: evaluate.Evaluator
    """Computes the graph as it was read."""
    original: evaluate.Evaluator | None = None
    """The graph with its float weights and input, where some were rounded to int8."""
    rounded: str = ""
    """What was, in words."""
    notes: list[str] = field(default_factory=list)
    """What is worth saying, one line each."""

    def feed(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """One image (height, width, channels), uint8 or int8, as the graph's input."""
        bytes_ = image.astype(np.int64) + (128 if image.dtype == np.int8 else 0)
        flat = np.empty(self.input_index.size, np.float32)
        flat[self.input_index] = self.table[np.arange(len(self.table)), bytes_]
        return flat.reshape(self.graph.input_shape)

    def unrounded(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """What the graph gives for one image with the weights of its file, (classes,)."""
        evaluator = self.original or self.evaluator
        result = evaluator.run(self.feed(image), self.tensor)
        return np.asarray(result, np.float32).reshape(-1)

    def expected(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """What the graph gives for one image, (classes,)."""
        result = self.evaluator.run(self.feed(image), self.tensor)
        return np.asarray(result, np.float32).reshape(-1)

    def values(self, scores: NDArray[np.int32]) -> NDArray[np.float32]:
        """What the graph gives for the model's scores, (n, classes) of both."""
        points = self.scores.source.points
        place = np.searchsorted(points, scores)
        if (points[np.minimum(place, len(points) - 1)] != scores).any():
            raise refuse("the check met a sum that cannot occur")
        parts = [
            np.take_along_axis(
                np.broadcast_to(self.scores.values(block), (block.stop - block.start, len(points))),
                place[:, block].T,
                axis=1,
            )
            for block in self.scores.blocks()
        ]
        return np.concatenate(parts).T
