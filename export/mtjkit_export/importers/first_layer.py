"""The input: bytes, which of them are the first layer's channels, and the rule of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from mtjkit_core.errors import ConfigError

from mtjkit_export.importers.graph import Array, Node, checked_size, refuse
from mtjkit_export.importers.inputs import code, rule_for
from mtjkit_export.importers.maps import Map, Source
from mtjkit_export.importers.state import Input, Linear, State
from mtjkit_export.nets.pixels import PixelTables

MAX_INPUTS = 1 << 20


def input_map(state: State) -> Map:
    """The graph's input: a vector, samples, or an image, channels first or last."""
    shape = state.graph.input_shape
    if not 2 <= len(shape) <= 4 or shape[0] != 1 or min(shape) < 1:
        raise refuse(f"the input has the shape {shape}: a batch of vectors or images")
    size = checked_size(shape, "the input", MAX_INPUTS)
    places = np.arange(size)
    if len(shape) == 2:
        source_shape = (size, 1, 1)
        index = places.reshape(shape)
    elif len(shape) == 3:
        source_shape = (shape[1], shape[2], 1)
        index = places.reshape(shape)
    elif shape[1] > 4 >= shape[3]:
        source_shape = (shape[3], shape[1], shape[2])
        index = places.reshape(source_shape).transpose(1, 2, 0)[None]
    else:
        source_shape = shape[1:]  # type: ignore[assignment]
        index = places.reshape(shape)
    table = state.scale.values(source_shape[0])
    source = Source("input", source_shape, np.arange(256))
    state.places, state.table = index, table
    return Map(source, index, lambda block, memo: table[block])


def read_input(
    state: State, x: Map, index: Array, layer: Linear, node: Node
) -> tuple[float, Array, Array]:
    """Read the input: the first layer says which of its elements are channels.

    Returns:
        Step, offset and sign of each channel: what the layer reads is step x sign x q + offset.
    """
    table = x.table()
    source = x.source
    size = source.shape[0] * source.positions
    if len(np.unique(index)) != size or index.size != size:
        raise refuse(f"{node} reads a part of the input")
    if layer.dense and state.shape is not None and source.positions == 1:
        height, width, channels = state.shape
        if height * width * channels != size:
            raise ConfigError(f"--shape {state.shape}: the network takes {size} values")
        # A vector of an image's values, in the order of torch or of rows of pixels.
        index = np.arange(size).reshape(height, width, channels).transpose(2, 0, 1)
        numbers = layer.weights.numbers.reshape(-1, size)[:, index.reshape(-1)]
        layer.weights = replace(layer.weights, numbers=numbers.reshape(-1, *index.shape))
    layer.in_shape = index.shape
    channel = index // source.positions
    tables = table[channel.reshape(len(index), -1)]
    if (tables != tables[:, :1]).any():
        raise refuse(f"{node}: the input's values differ within a channel")
    raw = state.scale.kind == "int8"
    coded = code(tables[:, 0], raw, state.options.quantize)
    if coded.rounded:
        state.rounded.append("the input's values")
        state.rounded_grids.add(node.output)
    rule = rule_for(coded, raw)
    vector = layer.dense and source.positions == 1 and 1 < len(index) <= 1024
    if isinstance(rule, PixelTables) and vector and (tables[:, 0] == tables[0, 0]).all():
        # A row of pixels of one channel has one table instead of one for each value.
        index = index.reshape(1, 1, -1)
        layer.in_shape = index.shape
        numbers = layer.weights.numbers
        layer.weights = replace(layer.weights, numbers=numbers.reshape(len(numbers), *index.shape))
        coded = replace(coded, q=coded.q[:1], offset=coded.offset[:1])
        rule, channel = PixelTables(coded.q.astype(np.int8)), channel.reshape(1, -1)
    firsts = state.table[channel.reshape(len(index), -1)]
    if (firsts != firsts[:, :1]).any():
        raise refuse(f"{node}: the input's scale differs within a channel")
    first = firsts[:, 0]
    offset_at = np.empty(size)
    offset_at[index] = coded.offset[:, None, None]
    state.input = Input(
        rule,
        index.transpose(1, 2, 0),
        first,
        offset_at,
        "+-1" if coded.bits else "int8",
        int(np.abs(coded.q).max()),
    )
    return coded.step, coded.offset, np.ones(len(index), np.int64)
