"""A graph, evaluated in numpy for one image: what an imported network is checked against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.importers import operators
from mtjkit_export.importers.graph import MAX_MADE, Array, Graph, Node, checked_size, refuse
from mtjkit_export.importers.weights import Weights, split

Grid = tuple[float, Array]
"""Step, and the offset of each element: what a linear operator reads is a multiple of the step,
plus the offset. So its sums are exact."""


def unrounded(weights: Mapping[str, Weights]) -> dict[str, Weights]:
    """The same weights before some were rounded to int8."""
    floats = {}
    for name, w in weights.items():
        numbers: Any = w.numbers if w.original is None else w.original
        factor = w.factor if w.original is None else np.ones(len(numbers))
        floats[name] = replace(w, numbers=numbers, factor=factor)
    return floats


class Evaluator:
    """Computes tensors of a graph."""

    def __init__(self, graph: Graph, grids: Mapping[str, Grid], weights: Mapping[str, Weights]):
        self.graph = graph
        self.grids = grids
        self.weights = weights

    def run(self, image: NDArray[np.float32], wanted: str) -> Array:
        """One tensor.

        Args:
            image: in the graph's input shape.
            wanted: the tensor's name.
        """
        values: dict[str, Array] = {**self.graph.constants, self.graph.input: image}
        for node in self.graph.nodes:
            if wanted in values:
                break
            given = [values[name] if name else None for name in node.inputs]
            if node.op == "Shape":
                result: Array = np.array(given[0].shape if given[0] is not None else [], np.int64)
            elif node.op == "Pad":
                result = pad(node, given)
            elif node.op in operators.LINEAR and node.output in self.weights:
                grid = self.grids.get(node.output)
                result = linear(node, given, self.weights[node.output], grid)
            elif node.op in operators.LINEAR:
                result = fold(node, given)
            elif node.op in ("Softmax", "LogSoftmax", "ArgMax", "TopK"):
                continue
            else:
                result = operators.run(node, given)
            values[node.output] = result
        return values[wanted]


def bias(node: Node, operands: list[Any]) -> Array | None:
    """What a linear operator adds to its sums; None for nothing."""
    return operands[2] if len(operands) > 2 else None


def linear(node: Node, operands: list[Any], weights: Weights, grid: Grid | None) -> Array:
    """Conv, MatMul or Gemm with weights that are factor x numbers.

    The sums of numbers x inputs are exact; factor, Gemm's alpha and the bias follow in this order,
    the sum rounded to float32 before the bias.
    """
    x = np.asarray(operands[0], np.float64)
    if grid is not None:
        step, offset = grid
        x = step * np.rint((x - offset) / step) + offset
    numbers = weights.numbers.astype(np.float64)
    if node.op == "Conv":
        kernel, strides, pads = operators.pool_window(
            Node(node.op, (), "", {**node.attributes, "kernel_shape": numbers.shape[2:]}), x.shape
        )
        half = len(pads) // 2
        x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:half], pads[half:], strict=True)])
        view = operators.windows_of(x, kernel, strides)[0]
        groups = int(node.attributes.get("group", 1))
        axes = (range(1, numbers.ndim), [0, *range(half, 2 * half)])
        rows = [
            np.concatenate(
                [
                    np.tensordot(n, v, axes=axes)
                    for n, v in zip(np.split(numbers, groups), np.split(row, groups), strict=True)
                ]
            )
            for row in np.moveaxis(view, 1, 0)  # row by row, since tensordot copies the windows
        ]
        sums = np.stack(rows, axis=1)[None]
        shape: tuple[int, ...] = (1, -1) + (1,) * half
    else:
        sums = x @ numbers.T
        shape = (-1,)
    return scaled(node, sums, weights.factor.reshape(shape), bias(node, operands), shape)


def scaled(node: Node, sums: Array, factor: Array, added: Array | None, shape: Any) -> Array:
    """Float32 values of exact sums: times the factor, then the bias."""
    result = (sums * factor).astype(np.float32)
    if node.op == "Gemm":
        result = np.float32(node.attributes.get("alpha", 1.0)) * result
    if added is not None:
        if node.op == "Gemm":
            added = np.float32(node.attributes.get("beta", 1.0)) * np.asarray(added)
            result = result + added
        else:
            result = result + np.asarray(added, np.float32).reshape(shape)
    return result


def pad(node: Node, operands: list[Any]) -> Array:
    """The operator Pad, on arrays of any kind, with a constant."""
    begins, ends, value = padding(node, operands)
    x = operands[0]
    shape = tuple(b + s + e for b, s, e in zip(begins, x.shape, ends, strict=True))
    checked_size(shape, str(node), MAX_MADE)
    return np.pad(x, list(zip(begins, ends, strict=True)), constant_values=value)


def padding(node: Node, operands: list[Any]) -> tuple[list[int], list[int], float]:
    """Elements before and after each axis, and their value.

    Raises:
        ConfigError: it repeats the edge, cuts, or does not fit the tensor.
    """
    if str(node.attributes.get("mode", "constant")) != "constant":
        raise refuse(f"{node} pads with {node.attributes['mode']}")
    given = node.attributes.get("pads") if len(operands) < 2 else operands[1]
    pads = [int(n) for n in np.asarray([] if given is None else given).reshape(-1)]
    ndim = getattr(operands[0], "index", operands[0]).ndim
    if len(pads) != 2 * ndim or min(pads) < 0 or max(pads) > 255:
        raise refuse(f"{node} has pads {pads}")
    if len(operands) > 2 and operands[2] is not None:
        value = float(np.asarray(operands[2]).reshape(-1)[0])
    else:
        value = float(node.attributes.get("value", 0.0))
    return pads[:ndim], pads[ndim:], value


def fold(node: Node, operands: list[Any]) -> Array:
    """A linear operator on constants."""
    if node.op == "Conv" or any(o is not None and o.ndim > 2 for o in operands[:2]):
        raise refuse(f"{node} computes weights")
    a, b = (np.asarray(o, np.float64) for o in operands[:2])
    if node.op == "Gemm":
        a = a.T if node.attributes.get("transA", 0) else a
        b = b.T if node.attributes.get("transB", 0) else b
    try:
        checked_size((*a.shape[:-1], *b.shape[1:]), str(node), MAX_MADE)
        return scaled(node, a @ b, np.ones(1), bias(node, operands), (1, -1))
    except ValueError as error:
        raise refuse(f"{node}: {error}") from None


def weight_matrix(node: Node, w: Array, binarize: bool, quantize: bool = False) -> Weights:
    """Weights of a linear operator, (out, in / groups, ...) or (out, in)."""
    if node.op == "MatMul" or (node.op == "Gemm" and not node.attributes.get("transB", 0)):
        if w.ndim != 2:
            raise refuse(f"{node} has weights of {w.ndim} dimensions")
        w = w.T
    if w.ndim != 2 and node.op != "Conv":
        raise refuse(f"{node} has weights of {w.ndim} dimensions")
    return split(w, node, binarize, quantize)
