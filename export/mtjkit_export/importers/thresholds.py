"""From sums to bits: a layer's thresholds, and the layer as a model file stores it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.importers.graph import Node, refuse
from mtjkit_export.importers.maps import Map, Source, Steps, find_steps
from mtjkit_export.importers.state import Linear, Pooled, State
from mtjkit_export.nets.binary import BinaryLayer

ALWAYS, NEVER = -(2**31), 2**31 - 1


def bits(state: State, x: Map, node: Node | str) -> Map:
    """A map of bits from one of sums: its layer's thresholds are found and it is stored.

    Args:
        state: the layer is appended to its layers.
        x: a map of sums; any other one is given back.
        node: what reads it, for messages.

    Raises:
        ConfigError: the values are not bits, or the layer is read in two ways.
    """
    if x.source.kind != "sums":
        if state.last is None and x.source.kind == "input":
            state.last = x.source
        return x
    if x in state.stored:
        return state.stored[x]
    pooled = x.source.layer if isinstance(x.source.layer, Pooled) else None
    layer: Linear = x.source.layer if pooled is None else pooled.layer
    if layer.stored is not None:
        raise refuse(f"{node} reads a layer that is read elsewhere before its sign (a branch)")
    steps = _steps(state, x, layer)
    negate = np.zeros(x.channels, np.bool_)
    if pooled is not None:  # the maximum is the OR of bits that rise with the values, else AND
        negate = (steps.first != steps.second) & (pooled.rising != (steps.second > steps.first))
        if negate.any():
            state.notes.append(
                f"layer {len(state.layers)}: {int(negate.sum())} channels are stored negated, "
                "because they are pooled before a negative scale"
            )
    state.stored[x] = _store(state, layer, steps, x, negate)
    return state.stored[x]


def _steps(state: State, x: Map, layer: Linear) -> Steps:
    steps = find_steps(x)
    if steps is None:
        raise refuse(f"{layer.node} gives values of more than one bit")
    if steps.zeros:
        raise refuse(
            f"the sign after {layer.node} meets sums of exactly 0 in {steps.zeros} channels: "
            "--sign-of-zero says what they count as, plus or minus"
        )
    number = len(state.layers)
    if steps.margin < (state.margin or (np.inf,))[0]:
        state.margin = (steps.margin, number, steps.place)
    return steps


def _store(state: State, layer: Linear, steps: Steps, x: Map, negate: NDArray[np.bool_]) -> Map:
    """Append a layer whose bits are what the steps say, some of them negated."""
    first, second = steps.first.astype(np.float64), steps.second.astype(np.float64)
    moving = first != second
    inverted = second < first
    low, high = np.minimum(first, second), np.maximum(first, second)
    threshold = np.where(moving, np.clip(steps.threshold, ALWAYS, NEVER), ALWAYS)
    inverted = inverted ^ negate
    low, high = np.where(negate, high, low), np.where(negate, low, high)
    append(state, layer, threshold, inverted, last=False)
    if layer.pool is not None:
        set_pooling(state, layer)
    source = Source("bits", x.source.shape, np.array([-1, 1]), layer)
    state.last = source
    table = np.stack([low, high], axis=1).astype(np.float32)
    return Map(source, x.index, lambda block, memo: table[block], padding=x.padding)


def settle(state: State, x: Map) -> NDArray[np.float64]:
    """Store bits that never change for the channels whose values never do.

    Args:
        state: its last layer makes what the map depends on.
        x: a map of bits, or of averages of bits.

    Returns:
        The values of each channel, (channels, points). A constant channel has those of a channel
        that changes, of which it takes one: with an offset of its own where its value differs.
    """
    table = x.table().astype(np.float64)
    constant = (table == table[:, :1]).all(axis=1)
    if not constant.any():
        return table
    number = len(state.layers) - 1
    state.notes.append(f"layer {number}: {int(constant.sum())} channels are constant")
    spec = state.layers[number]
    if spec.thresholds is None or spec.inverted is None:
        raise refuse(f"layer {number} has no thresholds")
    value = table[constant, 0]
    if constant.all():
        size = np.abs(value).max() or 1.0
        like = np.linspace(-size, size, table.shape[1])
    else:
        like = np.sort(table[~constant][0])
    low = value == like[0]
    apart = np.where(low, 0, value - like[-1])
    table[constant] = like + apart[:, None]
    threshold, inverted = spec.thresholds.copy(), spec.inverted.copy()
    threshold[constant], inverted[constant] = ALWAYS, low
    layer: Linear = x.source.layer
    layer.stored = state.layers[number] = replace(spec, thresholds=threshold, inverted=inverted)
    return table


def append(state: State, layer: Linear, threshold: Any, inverted: Any, last: bool) -> None:
    """Append a layer as a model file stores it; the last one may have no thresholds."""
    w = layer.weights
    more: dict[str, Any] = {"weight_bits": 8} if w.bits == 8 else {}
    if layer.dense:
        channels, height, width = layer.in_shape
        rows = w.numbers.reshape(len(w.numbers), channels, height, width)
        if height * width > 1:
            more |= {"input_shape": (height, width, channels), "flatten": "chw"}
        spec = BinaryLayer.dense(rows.reshape(len(rows), -1), threshold, inverted, **more)
    else:
        if layer.groups != 1:
            more |= {"groups": layer.groups}
        if last:
            raise refuse(f"{layer.node}: the last layer is a convolution over several places")
        spec = BinaryLayer.conv(
            w.numbers, threshold, inverted, stride=layer.stride, padding=layer.padding,
            pad_value=layer.pad_value, **more,
        )  # fmt: skip
    layer.stored = spec
    state.layers.append(spec)


def set_pooling(state: State, layer: Linear) -> None:
    """Give the layer that was appended last its pooling."""
    more: dict[str, Any] = {} if layer.pooling == "max" else {"pooling": layer.pooling}
    spec = state.layers[-1]
    spec = replace(spec, pool=layer.pool, pool_stride=layer.pool_stride, **more)
    layer.stored = spec
    state.layers[-1] = spec
