"""From a graph to a `BinaryNet` that computes the same bits, or a refusal that names why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mtjkit_export.importers import evaluate, first_layer, layers, operators, pooling, scores
from mtjkit_export.importers.graph import MAX_ALL_MADE, MAX_NODES, Graph, Node, fitting, refuse
from mtjkit_export.importers.lowered import Lowered
from mtjkit_export.importers.maps import Map, apply
from mtjkit_export.importers.state import Options, State

__all__ = ["Lowered", "Options", "lower"]

DROPPED = {"Softmax": -1, "LogSoftmax": -1, "ArgMax": 0, "TopK": -1}
"""Operators after the scores that leave the prediction as it is, and the axis that each takes where
nobody says."""
HARMLESS = ("Identity", "Cast", "Dropout")


def lower(graph: Graph, options: Options | None = None) -> Lowered:
    """Turn a graph into a network.

    Raises:
        ConfigError: it has something that a model file cannot hold; the message names it.
    """
    options = options or Options()
    if len(graph.nodes) > MAX_NODES:
        raise refuse(f"the graph has {len(graph.nodes)} operators: at most {MAX_NODES}")
    if options.zero is not None:
        nodes = [
            replace(n, attributes={**n.attributes, "zero": options.zero}) if n.op == "Sign" else n
            for n in graph.nodes
        ]
        graph = replace(graph, nodes=tuple(nodes))
    return _walk(State(graph, options))


def _walk(state: State) -> Lowered:
    graph = state.graph
    first = first_layer.input_map(state)
    values: dict[str, Any] = {**graph.constants, graph.input: first}
    tensor = ""  # what the first dropped operator reads
    after: set[str] = set()
    made = 0
    for node in graph.nodes:
        missing = [name for name in node.inputs if name and name not in values]
        if missing:
            raise refuse(f"{node} reads {missing[0]!r}, which nothing computes")
        given = [values[name] if name else None for name in node.inputs]
        if given and isinstance(given[0], Map) and _is_dropped(node, given[0], graph.output):
            tensor = tensor or node.inputs[0]
            values[node.output] = given[0]
            after.add(node.output)
            state.dropped.append(node.op)
        elif after.intersection(node.inputs) and node.op not in (*operators.MOVES, *HARMLESS):
            raise refuse(f"{node} comes after {state.dropped[0]}, which the import drops")
        else:
            if after.intersection(node.inputs):
                after.add(node.output)
            with fitting(node):
                result = values[node.output] = _node(state, node, given)
            made += 0 if isinstance(result, Map) else result.nbytes
            if made > MAX_ALL_MADE:
                raise refuse(f"constants that the graph computes take {made >> 20} MB")
    found = values.get(tensor or graph.output)
    if not isinstance(found, Map):
        raise refuse("the output does not depend on the input")
    with fitting("the output"):
        return scores.finish(state, found, tensor or graph.output)


def _is_dropped(node: Node, x: Map, output: str) -> bool:
    if node.op == "Sigmoid":
        return node.output == output
    if node.op not in DROPPED:
        return False
    axis = int(node.attributes.get("axis", DROPPED[node.op]))
    if axis not in (-1, x.index.ndim - 1):
        raise refuse(f"{node} goes along axis {axis}, not along the classes")
    if not node.attributes.get("largest", 1):
        raise refuse(f"{node} takes the smallest score")
    return True


def _node(state: State, node: Node, given: list[Any]) -> Any:
    maps = [value for value in given if isinstance(value, Map)]
    if node.op == "Shape":
        return np.array(getattr(given[0], "index", given[0]).shape, np.int64)
    if not maps:
        if node.op == "Pad":
            return evaluate.pad(node, given)
        if node.op in operators.LINEAR:
            return evaluate.fold(node, given)
        return operators.run(node, given)
    if node.op in operators.LINEAR:
        return layers.linear(state, node, given)
    if node.op in operators.POOLS or node.op in operators.REDUCES:
        return pooling.pool(state, node, given[0], given[1:])
    x: Map = maps[0]
    if node.op in operators.MOVES and isinstance(given[0], Map) and len(maps) == 1:
        if any(x.padding[:4]):
            raise refuse(f"{node} comes between padding and a convolution")
        return replace(x, index=operators.run(node, [x.index, *given[1:]]))
    if node.op == "Pad":
        return _pad(node, given)
    if node.op in operators.ELEMENTWISE or node.op in operators.PER_CHANNEL:
        return apply(node, given)
    if node.op == "Concat":
        raise refuse(f"{node} joins two maps (a residual connection or a concatenation)")
    raise refuse(f"{node}: this operator is not supported")


def _pad(node: Node, given: list[Any]) -> Map:
    begins, ends, value = evaluate.padding(node, given)
    x: Map = given[0]
    spatial = len(begins) - 2
    if any(begins[:2] + ends[:2]) or not 1 <= spatial <= 2:
        raise refuse(f"{node} pads more than height and width")
    if any(x.padding[:4]):
        raise refuse(f"{node} pads what is padded")
    top, bottom = begins[2], ends[2]
    left, right = (begins[3], ends[3]) if spatial == 2 else (0, 0)
    return replace(x, padding=(top, left, bottom, right, value))
