"""What is known of a network while its graph is read: layers so far, and the last one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.importers.evaluate import Grid
from mtjkit_export.importers.graph import Graph, Node
from mtjkit_export.importers.inputs import InputScale, parse_scale
from mtjkit_export.importers.maps import Map, Source
from mtjkit_export.importers.weights import Weights
from mtjkit_export.nets.binary import BinaryLayer
from mtjkit_export.nets.pixels import PixelRule, PixelTables


@dataclass(frozen=True)
class Options:
    """How to read what a file does not say."""

    name: str = "imported"
    """The model's."""
    scale: InputScale | None = None
    """What the graph takes for a byte; None for what the file says, or p / 255."""
    zero: float | None = None
    """What a sign of exactly 0 counts as, -1 or 1; None to refuse networks where it occurs."""
    binarize: bool = False
    """Take the signs of weights that are not binarized."""
    quantize: bool = False
    """Round the input's values, and float weights of the first and the last layer, to int8."""
    shape: tuple[int, int, int] | None = None
    """(height, width, channels) of the images, for a network that takes a vector."""
    class_names: tuple[str, ...] = ()
    """Used in the place of the file's; empty for those."""


@dataclass
class Linear:
    """A convolution or dense layer whose sums wait for their thresholds."""

    node: Node
    """The operator, for messages."""
    dense: bool
    """Whether it is a dense layer."""
    weights: Weights
    """Signs of the reading are in them."""
    stride: tuple[int, int] = (1, 1)
    """Down and across."""
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, left, bottom, right."""
    pad_value: int = 0
    """What the padding holds: -1, 0 or 1."""
    groups: int = 1
    """Of channels."""
    in_shape: tuple[int, int, int] = (1, 1, 1)
    """(height, width, channels) of its input."""
    pool: tuple[int, int] | None = None
    """(height, width) of the pooling window; None without pooling."""
    pool_stride: tuple[int, int] | None = None
    """Down and across."""
    pooling: str = "max"
    """"max", or "average"."""
    stored: BinaryLayer | None = None
    """The layer of the model file, once it is known."""
    step: float = 1.0
    """What it reads is step x whole number + offset."""
    added: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    """(out,): what the offsets add to each sum."""


@dataclass(frozen=True)
class Pooled:
    """Sums of a layer that are pooled before their sign."""

    layer: Linear
    """The layer."""
    rising: NDArray[np.bool_]
    """(channels,): whether the pooled values rise with the sum."""


@dataclass(frozen=True)
class Input:
    """The input as the first layer reads it."""

    rule: PixelRule | PixelTables | None
    """How bytes become the input; None for int8."""
    index: NDArray[np.int64]
    """(height, width, channels): which element of the graph's input, channel first, each one is."""
    table: NDArray[np.float32]
    """(channels, 256): what the graph takes for each byte."""
    offset: NDArray[np.float64]
    """Of each element of the graph's input, channel first."""
    kind: str
    """"int8" or "+-1"."""
    most: int
    """The largest absolute value."""


class State:
    """Layers so far, maps that are stored, and what is worth telling."""

    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph = graph
        self.options = options
        self.scale = options.scale or parse_scale(graph.input_scale)
        self.shape = options.shape or graph.image_shape
        self.places: NDArray[np.int64] = np.zeros(0, np.int64)
        """Of the input's elements, channel first, in the graph's shape."""
        self.table: NDArray[np.float32] = np.zeros((0, 256), np.float32)
        """(channels, 256): what the graph takes for each byte."""
        self.input: Input | None = None
        """None until a layer reads it."""
        self.layers: list[BinaryLayer] = []
        self.stored: dict[Map, Map] = {}
        """Maps of sums, and of the bits that they became."""
        self.last: Source | None = None
        """What the next layer must read: a network is one row of layers."""
        self.grids: dict[str, Grid] = {}
        self.weights: dict[str, Weights] = {}
        self.notes: list[str] = list(graph.notes)
        self.dropped: list[str] = []
        self.rounded: list[str] = []
        """What was rounded to int8, in words."""
        self.rounded_grids: set[str] = set()
        """Tensors that are sums of rounded inputs."""
        self.margin: tuple[float, int, int] | None = None
        """The smallest one, its layer and channel."""
