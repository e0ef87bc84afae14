"""The last layer: scores, class bits, scale and offset of each class, one score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mtjkit_export.importers import evaluate, thresholds
from mtjkit_export.importers.graph import Array, refuse
from mtjkit_export.importers.lowered import Lowered
from mtjkit_export.importers.maps import Map, find_steps
from mtjkit_export.importers.state import Linear, Pooled, State
from mtjkit_export.nets.binary import BinaryNet


def finish(state: State, x: Map, tensor: str) -> Lowered:
    """Store the last layer and describe the network.

    Args:
        state: all layers before the last one are stored.
        x: the graph's output, or what the first dropped operator reads.
        tensor: its name.

    Raises:
        ConfigError: the output is neither scores, nor bits, nor one score of a dense layer.
    """
    options = state.options
    if state.input is None or any(x.padding[:4]) or x.source.kind == "input":
        raise refuse("the network has no layer with weights after its last operator")
    if isinstance(x.source.layer, Pooled):
        raise refuse("the last layer is pooled")
    order = x.index.reshape(-1)
    if x.source.kind == "average" or not np.array_equal(order, np.arange(len(order))):
        raise refuse("the output is not a vector of scores in the order of the last layer")
    layer: Linear = x.source.layer
    class_bits = x.source.kind == "bits"
    more: dict[str, Any] = {}
    if not class_bits:
        if x.source.positions != 1 or not layer.dense:
            raise refuse(f"{layer.node}: the last layer is not dense over its whole map")
        steps = find_steps(x) if len(x.source.points) > 2 else None
        if steps is not None and not steps.zeros and steps.constant < x.channels:
            x = thresholds.bits(state, x, "the output")
            class_bits = True
        else:
            thresholds.append(state, layer, None, None, last=True)
            more = _tail(state, x)
    elif not layer.dense:
        raise refuse(f"{layer.node}: the last layer is not dense over its whole map")
    if class_bits:
        table = thresholds.settle(state, x)
        if (table != table[0]).any():
            raise refuse("class bits whose values differ from class to class")
        if table[0, 0] > table[0, 1]:
            raise refuse("class bits that are negated after the last layer")
        x = replace(x, source=replace(x.source, points=np.array([-1, 1])))
    names = options.class_names or state.graph.class_names
    net = BinaryNet(
        options.name,
        state.layers,
        input_shape=state.input.index.shape,
        pixel_rule=state.input.rule,
        class_names=names,
        inputs=state.input.kind,
        **more,
    )
    if state.dropped:
        state.notes.append(f"dropped after the scores: {', '.join(state.dropped)}")
    for number, spec in enumerate(state.layers):
        if spec.inverted is not None and spec.inverted.any():
            state.notes.append(
                f"layer {number}: {int(spec.inverted.sum())} of {len(spec.weights)} channels "
                "are inverted"
            )
    if state.margin is not None:
        margin, number, channel = state.margin
        state.notes.append(
            f"smallest margin of a threshold: {margin:.3g} of the step between two sums "
            f"(layer {number}, channel {channel})"
        )
    evaluator = evaluate.Evaluator(state.graph, state.grids, state.weights)
    original = None
    if state.rounded:
        grids = {key: grid for key, grid in state.grids.items() if key not in state.rounded_grids}
        original = evaluate.Evaluator(state.graph, grids, evaluate.unrounded(state.weights))
    places = np.argsort(state.places.reshape(-1))[state.input.index]
    return Lowered(
        net,
        state.graph,
        tensor,
        x,
        class_bits,
        places,
        state.input.table,
        evaluator,
        original,
        " and ".join(dict.fromkeys(state.rounded)),
        state.notes,
    )


def _tail(state: State, x: Map) -> dict[str, Any]:
    """Scale and offset of each class; what leaves all predictions as they are is left out."""
    points = x.source.points.astype(np.float64)
    if len(points) == 1:
        raise refuse("all weights of the last layer are 0: every image has the same scores")
    scale, offset = np.empty(x.channels), np.empty(x.channels)
    for block in x.blocks():
        values = np.broadcast_to(
            np.asarray(x.values(block), np.float64), (block.stop - block.start, len(points))
        )
        if not np.isfinite(values).all():
            raise refuse("scores that are not finite numbers")
        slope = (values[:, -1] - values[:, 0]) / (points[-1] - points[0])
        start = values[:, 0] - slope * points[0]
        error = np.abs(slope[:, None] * points + start[:, None] - values).max(axis=1)
        size = np.abs(values).max(axis=1)
        if x.channels == 1 and (np.diff(values[0]) * slope[0] >= 0).all():
            return _one_score(state, values[0], points)
        if (error > 2e-6 * size).any():
            raise refuse("scores that are not scale x sum + offset of the last layer")
        scale[block], offset[block] = slope, start
    same = (np.abs(scale - scale[0]) <= 1e-6 * abs(scale[0])).all()
    spread = np.abs(offset - offset[0]).max()
    if same and scale[0] > 0 and spread <= 2e-6 * np.abs(scale[0] * points[-1]):
        if scale[0] != 1 or offset[0] != 0:
            state.notes.append("one positive scale of all scores is left out")
        return {}
    state.notes.append("a scale and an offset for each class are stored")
    return {"scale": scale.astype(np.float32), "offset": offset.astype(np.float32)}


def _one_score(state: State, values: Array, points: Array) -> dict[str, Any]:
    """One score whose sign decides, stored so that the decision is exact for every sum."""
    yes = values >= 0
    if yes.all() or not yes.any():
        raise refuse("the only score decides nothing: one class for every sum")
    rising = bool(yes[-1])
    at = points[(yes if rising else ~yes).argmax()]
    state.notes.append("one score: its sign decides")
    scale, offset = (1.0, -at) if rising else (-1.0, at - 0.5)
    if (scale, offset) == (1.0, 0.0):
        return {"by_sign": True}
    return {
        "by_sign": True,
        "scale": np.array([scale], np.float32),
        "offset": np.array([offset], np.float32),
    }
