"""A small graph of operators, which every reader gives: ONNX's names, one output for each node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError, FormatError
from numpy.typing import NDArray

from mtjkit_export.texts import brief

Array = NDArray[Any]

MAX_NODES = 4096
MAX_ELEMENTS = 1 << 27
"""Of one array: constants are folded, and nothing larger is made."""
MAX_MADE = 1 << 24
"""Of one array that a graph computes from constants."""
MAX_ALL_MADE = 1 << 28
"""Bytes of all of them."""
MAX_MAP = 1 << 23
"""Of one map between two layers."""
MAX_FILE = 1 << 29
"""Bytes of a file that is read."""
LONGEST_MESSAGE = 400


def refuse(what: str) -> ConfigError:
    """The error of a network that cannot become a model file."""
    return ConfigError(f"cannot be imported: {brief(what, LONGEST_MESSAGE)}")


@contextmanager
def fitting(node: Node | str) -> Iterator[None]:
    """Attributes and operands of a file may be anything: what Python says of them, as refusals."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise refuse(f"{node}: its operands or attributes do not fit ({error})") from None


def damaged(what: str) -> FormatError:
    """The error of a file that is not what its name says."""
    return FormatError(brief(what, LONGEST_MESSAGE))


@dataclass(frozen=True)
class Node:
    """One operator."""

    op: str
    """ONNX's name, or BipolarQuant, Quant, MultiThreshold."""
    inputs: tuple[str, ...]
    """Names of tensors; empty where an optional one is missing."""
    output: str
    """Name of the tensor that it makes."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """By ONNX's names."""
    name: str = ""
    """For messages; may be empty."""

    def __str__(self) -> str:
        return f"{self.op} {self.name or self.output!r}"


@dataclass(frozen=True)
class Graph:
    """A network as it was read, nodes in an order in which they can be computed."""

    nodes: tuple[Node, ...]
    """The operators."""
    constants: Mapping[str, Array]
    """Tensors whose values are known, by name."""
    input: str
    """Name of the input."""
    input_shape: tuple[int, ...]
    """With a batch of 1 in front."""
    output: str
    """Name of the scores."""
    class_names: tuple[str, ...] = ()
    """As the file has them; empty for none."""
    notes: tuple[str, ...] = ()
    """What the reader found worth saying, one line each."""
    input_scale: str = "unit"
    """What the network takes for a byte, where the user does not say: see `inputs.parse_scale`."""
    image_shape: tuple[int, int, int] | None = None
    """(height, width, channels) of the images that an input vector holds, where it is known."""
    known: tuple[Array, Array] | None = None
    """Images (n, height, width, channels), uint8, and their scores (n, classes), of the file."""


def checked_size(shape: tuple[int, ...], what: str, most: int = MAX_ELEMENTS) -> int:
    """Elements of a shape, refused before anything of that size is made."""
    count = 1
    for side in shape:
        count *= int(side)
    if count > most or any(side < 0 for side in shape):
        raise refuse(f"{what} has the shape {tuple(shape)}: at most {most} numbers")
    return count


class Builder:
    """Writes a graph node by node, for readers of files that hold layers."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.input_shape = input_shape
        self.last = "input"

    def constant(self, value: Any) -> str:
        """Name of a new constant; whole numbers stay whole, other ones are float32."""
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        name = f"constant{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, op: str, *operands: Any, name: str = "", **attributes: Any) -> str:
        """Append an operator on the last tensor and constants; its output is the last tensor."""
        inputs = (self.last, *(o if isinstance(o, str) else self.constant(o) for o in operands))
        output = f"tensor{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, output, attributes, name))
        self.last = output
        return output

    def graph(self, class_names: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> Graph:
        """The graph whose output is the last tensor."""
        nodes = tuple(self.nodes)
        return Graph(
            nodes, self.constants, "input", self.input_shape, self.last, class_names, notes
        )
