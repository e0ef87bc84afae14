"""Convolutions and dense layers: what they read, and the map of their sums."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from mtjkit_export.importers import evaluate, first_layer, operators, thresholds
from mtjkit_export.importers.graph import MAX_MAP, Array, Node, checked_size, refuse
from mtjkit_export.importers.maps import Map, Source
from mtjkit_export.importers.state import Linear, State
from mtjkit_export.importers.weights import Weights

MAX_SUM = 1 << 24


def linear(state: State, node: Node, given: list[Any]) -> Map:
    """A convolution or matrix product with constants: the map of its sums.

    Raises:
        ConfigError: it computes its weights, or reads what no layer of a model file can read.
    """
    x, w = given[0], given[1]
    if (
        not isinstance(x, Map)
        or isinstance(w, Map)
        or len([g for g in given if isinstance(g, Map)]) > 1
    ):
        raise refuse(f"{node} has weights that are not constants")
    if node.op == "Gemm" and node.attributes.get("transA", 0):
        raise refuse(f"{node} transposes its input")
    weights = evaluate.weight_matrix(
        node, np.asarray(w), state.options.binarize, state.options.quantize
    )
    state.weights[node.output] = weights
    if weights.original is not None:
        state.rounded.append("float weights")
    if weights.residue:
        state.notes.append(
            f"{node}: its weights are -x and +x up to float32's rounding, and are taken as these"
        )
    x = thresholds.bits(state, x, node)
    if x.source is not state.last:
        raise refuse(f"{node} reads a map that another layer reads too (a branch)")
    if node.op == "Conv":
        layer, out = _conv(state, node, x, weights)
    else:
        layer, out = _dense(state, node, x, weights)
    return _sums(state, node, x, layer, out, evaluate.bias(node, given))


def _conv(state: State, node: Node, x: Map, w: Weights) -> tuple[Linear, tuple[int, ...]]:
    index, numbers = x.index, w.numbers
    spatial = index.ndim - 2
    if index.shape[0] != 1 or spatial not in (1, 2) or numbers.ndim != index.ndim:
        raise refuse(f"{node} has weights {numbers.shape} over a tensor of {index.shape}")
    groups = int(node.attributes.get("group", 1))
    if groups < 1 or numbers.shape[1] * groups != index.shape[1] or len(numbers) % groups:
        raise refuse(f"{node} has weights {numbers.shape} over a tensor of {index.shape}")
    attributes = {**node.attributes, "kernel_shape": numbers.shape[2:]}
    kernel, strides, pads = operators.pool_window(
        Node("Conv", (), node.output, attributes, node.name), index.shape
    )
    begins, ends, value = pads[:spatial], pads[spatial:], 0.0
    before = x.padding
    if any(before[:4]):
        if any(pads):
            raise refuse(f"{node} pads what is padded")
        begins, ends, value = list(before[0:2]), list(before[2:4]), before[4]
    if spatial == 1:
        numbers = numbers[..., None]
        index = index[..., None]
        kernel, strides = [*kernel, 1], [*strides, 1]
        begins, ends = [begins[0], 0], [ends[0], 0]
    shape = index.shape[1:]
    sums = [
        (size + b + e - k) // s + 1
        for size, b, e, k, s in zip(shape[1:], begins, ends, kernel, strides, strict=True)
    ]
    if min(sums) < 1:
        raise refuse(f"{node} has a kernel of {kernel} over a map of {list(shape[1:])}")
    out = (1, len(numbers), *sums[:spatial])
    whole = kernel == list(shape[1:]) and not any(begins + ends) and groups == 1
    pads4 = (begins[0], begins[1], ends[0], ends[1])
    layer = Linear(node, whole, replace(w, numbers=numbers), (strides[0], strides[1]), pads4,
                   groups=groups, in_shape=shape)  # fmt: skip
    _read(state, layer, x, index[0], value, node)
    return layer, out


def _dense(state: State, node: Node, x: Map, w: Weights) -> tuple[Linear, tuple[int, ...]]:
    if any(x.padding[:4]):
        raise refuse(f"{node} reads what is padded")
    index, numbers = x.index, w.numbers
    if index.size != numbers.shape[1] or index.shape[-1] != index.size:
        raise refuse(f"{node} has weights for {numbers.shape[1]} inputs over {index.shape}")
    flat = index.reshape(-1)
    source = x.source
    layer = Linear(node, True, w, in_shape=source.shape)
    if len(np.unique(flat)) != source.shape[0] * source.positions:
        raise refuse(f"{node} reads a part of a map")
    rows = np.empty_like(numbers)
    rows[:, flat] = numbers
    layer.weights = replace(w, numbers=rows.reshape(len(rows), *source.shape))
    _read(state, layer, x, np.arange(flat.size).reshape(source.shape), 0.0, node)
    return layer, (*index.shape[:-1], len(numbers))


def _read(state: State, layer: Linear, x: Map, index: Array, value: float, node: Node) -> None:
    """Take in what the layer reads: signs into its weights, step and offset, padding."""
    source = x.source
    if source.kind == "input":
        step, offset, sign = first_layer.read_input(state, x, index, layer, node)
    else:
        size = source.shape[0] * source.positions
        moved = not np.array_equal(index.reshape(-1), np.arange(index.size)) or index.size != size
        if moved or (index.shape != source.shape and not layer.dense):
            raise refuse(f"{node} reads a map whose elements were moved")
        step, offset, sign = _affine(thresholds.settle(state, x), x.source.points, node)
        layer.in_shape = source.shape
        if layer.dense:  # also where a kernel spans a map that was flattened before
            numbers = layer.weights.numbers
            layer.weights = replace(
                layer.weights, numbers=numbers.reshape(len(numbers), *source.shape)
            )
    channels = layer.in_shape[0]
    w = layer.weights.numbers
    groups, out = layer.groups, len(w)
    shape = (groups, out // groups, channels // groups, *w.shape[2:])
    flips = sign.reshape(groups, 1, -1, 1, 1)
    numbers = (w.reshape(shape) * flips).reshape(w.shape)
    offsets = offset.reshape(groups, 1, -1, 1, 1)
    added = (w.reshape(shape) * offsets).sum(axis=(2, 3, 4)).reshape(-1)
    layer.weights = replace(layer.weights, numbers=numbers.astype(np.int8))
    layer.step, layer.added = step, added
    if any(layer.padding):
        taps = (value - offset) / (step * sign)
        if not (taps == taps[0]).all() or taps[0] != np.rint(taps[0]):
            raise refuse(f"{node} pads with {value:g}, which the map cannot hold")
        limit = 128 if source.kind == "input" else 1
        if not -limit <= taps[0] <= limit - (source.kind == "input"):
            raise refuse(f"{node} pads with {value:g}, beyond the values of the map")
        layer.pad_value = int(taps[0])
    places = x.channel_of()
    full = (
        offset[places]
        if state.input is None or source.kind != "input"
        else (state.input.offset[x.index])
    )
    if any(x.padding[:4]):
        top, left, bottom, right, outside = x.padding
        around = [(0, 0), (0, 0), (top, bottom), (left, right)][: full.ndim]
        full = np.pad(full, around, constant_values=outside)
    state.grids[node.output] = (step, full)


def _sums(state: State, node: Node, x: Map, layer: Linear, out: tuple[int, ...], bias: Any) -> Map:
    """The map of a layer's sums, of which the first operators are its factor and its bias."""
    step, added = layer.step, layer.added
    numbers = layer.weights.numbers
    checked_size(out, str(node), MAX_MAP)
    taps = int(np.abs(numbers.reshape(len(numbers), -1).astype(np.int64)).sum(axis=1).max())
    odd = x.source.kind == "bits"
    most = int(np.abs(x.source.points).max())
    if x.source.kind == "input" and state.input is not None:
        odd, most = state.input.kind == "+-1", state.input.most
    regular = (
        odd and layer.weights.bits == 1 and (not any(layer.padding) or layer.pad_value in (-1, 1))
    )
    if any(layer.padding):
        most = max(most, abs(layer.pad_value))
    limit = taps * most
    if limit > MAX_SUM:
        raise refuse(f"{node} has sums up to {limit}: at most {MAX_SUM}, since all are tried")
    points = np.arange(-limit, limit + 1, 2 if regular else 1)
    spatial = [*out[2:], 1, 1][:2] if node.op == "Conv" else [1, 1]
    source = Source("sums", (len(numbers), spatial[0], spatial[1]), points, layer)
    factor = layer.weights.factor[:, None]
    constant = None
    if bias is not None:
        if isinstance(bias, Map) or np.asarray(bias).size not in (1, len(numbers)):
            raise refuse(f"{node} has a bias that is not one constant for each output")
        constant = np.broadcast_to(np.asarray(bias, np.float32).reshape(-1), len(numbers))

    def function(block: slice, memo: dict[int, Array]) -> Array:
        del memo
        sums = step * points + added[block, None]
        own = None if constant is None else constant[block]
        if own is not None and node.op != "Conv":
            own = own[:, None]
        return evaluate.scaled(node, sums, factor[block], own, (-1, 1))

    return Map(source, np.arange(math.prod(out)).reshape(out), function)


def _affine(table: Array, points: Array, node: Node) -> tuple[float, Array, Array]:
    """Step, offsets and signs of values (channels, points): step x sign x number + offset."""
    slope = (table[:, -1] - table[:, 0]) / (points[-1] - points[0])
    step = float(np.float32(np.abs(slope[0]))) if len(points) > 2 else float(abs(slope[0]))
    if (
        step == 0
        or not np.isfinite(table).all()
        or (np.abs(np.abs(slope) - step) > 1e-6 * step).any()
        or (len(points) == 2 and (np.abs(slope) != step).any())
    ):
        raise refuse(f"{node} reads channels of different scales")
    sign = np.where(slope < 0, -1, 1)
    offset = (table[:, -1] + table[:, 0]) / 2 - slope * (points[-1] + points[0]) / 2
    if (np.abs((step * sign)[:, None] * points + offset[:, None] - table) > 1e-5 * step).any():
        raise refuse(f"{node} reads averages that are not scaled alone")
    return step, offset, sign
