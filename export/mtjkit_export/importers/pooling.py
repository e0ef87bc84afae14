"""Pooling: the OR of bits, the AND where values fall with the sum, and averages."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.importers import operators, thresholds
from mtjkit_export.importers.graph import Array, Node, refuse
from mtjkit_export.importers.maps import Map, Source, find_steps
from mtjkit_export.importers.state import Linear, Pooled, State


def pool(state: State, node: Node, x: Map, rest: list[Any]) -> Map:
    """Max or average pooling, before or after the sign, or a mean over height and width.

    Args:
        state: the layer before it gets the pooling.
        node: the operator.
        x: what it reads.
        rest: its other operands.

    Raises:
        ConfigError: it pools what a model file cannot pool.
    """
    axes = node.attributes.get("axes") if not rest or rest[0] is None else rest[0]
    if node.op in operators.REDUCES:
        wanted = sorted(int(a) % x.index.ndim for a in (axes if axes is not None else []))
        if wanted != list(range(2, x.index.ndim)):
            raise refuse(f"{node} reduces other axes than height and width together")
        node = replace(node, op=operators.REDUCES[node.op])
        flat = not node.attributes.get("keepdims", 1)
    else:
        flat = False
    if any(x.padding[:4]):
        raise refuse(f"{node} reads what is padded")
    if x.index.ndim not in (3, 4) or x.source.kind == "input":
        raise refuse(f"{node} pools the input or a vector")
    pooled = operators.pool(node, x.index)  # refuses what cannot be pooled; its shape counts
    kernel, strides, _ = operators.pool_window(node, x.index.shape)
    kernel, strides = [*kernel, 1][:2], [*strides, 1][:2]
    if math.prod(kernel) == x.source.positions:  # whatever the map was reshaped to
        kernel = list(x.source.shape[1:])
    elif (*x.index.shape[1:], 1)[:3] != x.source.shape:
        raise refuse(f"{node} pools a map whose shape was changed")
    if not np.array_equal(x.index.reshape(-1), np.arange(x.index.size)):
        raise refuse(f"{node} pools a map whose elements were moved")
    average = "Average" in node.op
    shape = pooled.shape[:2] if flat else pooled.shape
    index = np.arange(math.prod(pooled.shape)).reshape(shape)
    if kernel == [1, 1] and strides == [1, 1]:
        return replace(x, index=index)
    if isinstance(x.source.layer, Pooled) or x.source.layer.pool is not None:
        raise refuse(f"{node} pools what is pooled already")
    layer: Linear = x.source.layer
    if layer.dense:
        raise refuse(f"{node} pools a vector")
    window, steps = (kernel[0], kernel[1]), (strides[0], strides[1])
    if x.source.kind == "sums":
        found = find_steps(x)
        if found is None or found.zeros:
            if average:
                raise refuse(f"{node} averages sums before their sign")
            return _pool_sums(state, node, x, window, steps, index)
        x = thresholds.bits(state, x, node)
    if x.source is not state.last:
        raise refuse(f"{node} pools a map that another layer reads too")
    layer.pool, layer.pool_stride = window, steps
    layer.pooling = "average" if average else "max"
    return _pool_bits(state, x, layer, index)


def _pool_bits(state: State, x: Map, layer: Linear, index: Array) -> Map:
    table = x.table()
    shape = (x.channels, *_pooled_shape(x.source.shape[1:], layer))
    if layer.pooling == "average":
        count = math.prod(layer.pool or (1, 1))
        points = np.arange(-count, count + 1, 2)
        ones = (points + count) // 2
        low, high = table[:, :1].astype(np.float64), table[:, 1:].astype(np.float64)
        values = ((ones * high + (count - ones) * low) / count).astype(np.float32)
        source = Source("average", shape, points, layer)
    else:
        negated = table[:, 1] < table[:, 0]
        if negated.any():  # the maximum of their values is the AND of the bits
            _negate(state, layer, negated)
        values = np.where(negated[:, None], table[:, ::-1], table)
        source = Source("bits", shape, np.array([-1, 1]), layer)
    thresholds.set_pooling(state, layer)
    state.last = source
    return Map(source, index, lambda block, memo: values[block])


def _negate(state: State, layer: Linear, channels: NDArray[np.bool_]) -> None:
    spec = state.layers[-1]
    if spec.inverted is None:
        return
    state.layers[-1] = layer.stored = replace(spec, inverted=spec.inverted ^ channels)


def _pool_sums(
    state: State, node: Node, x: Map, window: tuple[int, int], steps: tuple[int, int], index: Array
) -> Map:
    """Max pooling before the sign: the OR of bits, or the AND, by how the values run."""
    layer: Linear = x.source.layer
    rising = np.zeros(x.channels, np.bool_)
    for block in x.blocks():
        values = np.broadcast_to(x.values(block), (block.stop - block.start, len(x.source.points)))
        up = (values[:, 1:] >= values[:, :-1]).all(axis=1)
        down = (values[:, 1:] <= values[:, :-1]).all(axis=1)
        if not (up | down).all():
            raise refuse(f"{node} pools values that neither rise nor fall with the sum")
        rising[block] = up
    layer.pool, layer.pool_stride = window, steps
    shape = (x.channels, *_pooled_shape(x.source.shape[1:], layer))
    source = replace(x.source, shape=shape, layer=Pooled(layer, rising))
    return Map(source, index, x.function, x.length, x.before)


def _pooled_shape(shape: tuple[int, ...], layer: Linear) -> tuple[int, int]:
    window, steps = layer.pool or (1, 1), layer.pool_stride or (1, 1)
    height, width = (
        (size - side) // step + 1 for size, side, step in zip(shape, window, steps, strict=True)
    )
    return height, width
