"""From a graph to a `BinaryNet` that computes the same bits, or a refusal that names why not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_export.importers import evaluate, operators
from mtjkit_export.importers.graph import MAX_NODES, Array, Graph, Node, checked_size, refuse
from mtjkit_export.importers.inputs import InputScale, code, parse_scale, rule_for
from mtjkit_export.importers.maps import Map, Source, Steps, apply, find_steps
from mtjkit_export.importers.weights import Weights
from mtjkit_export.nets.binary import BinaryLayer, BinaryNet, PixelTables

DROPPED = ("Softmax", "LogSoftmax", "ArgMax", "TopK")
ALWAYS, NEVER = -(2**31), 2**31 - 1


@dataclass(frozen=True)
class Options:
    """How to read what a file does not say."""

    name: str = "imported"
    scale: InputScale | None = None
    """What the graph takes for a byte; None for what the file says, or p / 255."""
    zero: float | None = None
    """What a sign of exactly 0 counts as, -1 or 1; None to refuse networks where it occurs."""
    binarize: bool = False
    """Take the signs of weights that are not binarized."""
    shape: tuple[int, int, int] | None = None
    """(height, width, channels) of the images, for a network that takes a vector."""
    class_names: tuple[str, ...] = ()


@dataclass
class Linear:
    """A convolution or dense layer whose sums wait for their thresholds."""

    node: Node
    dense: bool
    weights: Weights
    """Signs of the reading are in them."""
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    groups: int = 1
    in_shape: tuple[int, int, int] = (1, 1, 1)
    pool: tuple[int, int] | None = None
    pool_stride: tuple[int, int] | None = None
    pooling: str = "max"
    """"max", or "average"."""
    stored: BinaryLayer | None = None


@dataclass
class Lowered:
    """A network, and what is needed to check it and to tell of it."""

    net: BinaryNet
    graph: Graph
    tensor: str
    """The tensor of the graph that the scores become."""
    scores: Map
    """What the tensor holds for each sum of the last layer."""
    class_bits: bool
    input_index: NDArray[np.int64]
    """(height, width, channels): place of each element in the graph's input, flattened."""
    table: NDArray[np.float32]
    """(channels, 256): what the graph takes for each byte."""
    evaluator: evaluate.Evaluator
    notes: list[str] = field(default_factory=list)

    def feed(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """One image (height, width, channels), uint8 or int8, as the graph's input."""
        bytes_ = image.astype(np.int64) + (128 if image.dtype == np.int8 else 0)
        flat = np.empty(self.input_index.size, np.float32)
        flat[self.input_index] = self.table[np.arange(len(self.table)), bytes_]
        return flat.reshape(self.graph.input_shape)

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
    return _Lowering(graph, options).run()


class _Lowering:
    def __init__(self, graph: Graph, options: Options) -> None:
        self.graph = graph
        self.options = options
        self.scale = options.scale or parse_scale(graph.input_scale)
        self.shape = options.shape or graph.image_shape
        self.layers: list[BinaryLayer] = []
        self.stored: dict[int, Map] = {}
        self.last: Source | None = None
        self.notes: list[str] = list(graph.notes)
        self.grids: dict[str, evaluate.Grid] = {}
        self.weights: dict[str, Weights] = {}
        self.dropped: list[str] = []
        self.margin: tuple[float, int, int] | None = None
        self.input: Any = None

    # Reading the graph

    def run(self) -> Lowered:
        graph = self.graph
        first = self._input()
        values: dict[str, Any] = {**graph.constants, graph.input: first}
        tensor = ""  # what the first dropped operator reads
        for node in graph.nodes:
            missing = [name for name in node.inputs if name and name not in values]
            if missing:
                raise refuse(f"{node} reads {missing[0]!r}, which nothing computes")
            given = [values[name] if name else None for name in node.inputs]
            last = node.op == "Sigmoid" and node.output == graph.output
            if given and isinstance(given[0], Map) and (node.op in DROPPED or last):
                tensor = tensor or node.inputs[0]
                values[node.output] = given[0]
                self.dropped.append(node.op)
            else:
                values[node.output] = self._node(node, given)
        result = values.get(tensor or graph.output)
        if not isinstance(result, Map):
            raise refuse("the output does not depend on the input")
        return self._finish(result, tensor or graph.output)

    def _node(self, node: Node, given: list[Any]) -> Any:
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
            return self._linear(node, given)
        if node.op in operators.POOLS or node.op == "ReduceMean":
            return self._pool(node, given[0], given[1:])
        x: Map = maps[0]
        if node.op in operators.MOVES and isinstance(given[0], Map) and len(maps) == 1:
            if any(x.padding[:4]):
                raise refuse(f"{node} comes between padding and a convolution")
            return replace(x, index=operators.run(node, [x.index, *given[1:]]))
        if node.op == "Pad":
            return self._pad(node, given)
        if node.op in operators.ELEMENTWISE or node.op in operators.PER_CHANNEL:
            return apply(node, given)
        if node.op == "Concat":
            raise refuse(f"{node} joins two maps (a residual connection or a concatenation)")
        raise refuse(f"{node}: this operator is not supported")

    def _input(self) -> Map:
        shape = self.graph.input_shape
        if not 2 <= len(shape) <= 4 or shape[0] != 1 or min(shape) < 1:
            raise refuse(f"the input has the shape {shape}: a batch of vectors or images")
        size = checked_size(shape, "the input")
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
        if size > 1 << 24:
            raise refuse(f"the input has {size} values")
        table = self.scale.values(source_shape[0])
        source = Source("input", source_shape, np.arange(256))
        self.first_index, self.first_table = index, table
        return Map(source, index, lambda block, memo: table[block])

    def _pad(self, node: Node, given: list[Any]) -> Map:
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

    # Layers

    def _linear(self, node: Node, given: list[Any]) -> Map:
        x, w = given[0], given[1]
        if (
            not isinstance(x, Map)
            or isinstance(w, Map)
            or len([g for g in given if isinstance(g, Map)]) > 1
        ):
            raise refuse(f"{node} has weights that are no constants")
        if node.op == "Gemm" and node.attributes.get("transA", 0):
            raise refuse(f"{node} transposes its input")
        weights = evaluate.weight_matrix(node, np.asarray(w), self.options.binarize)
        self.weights[node.output] = weights
        x = self._bits(x, node)
        if x.source is not self.last:
            raise refuse(f"{node} reads a map that another layer reads too (a branch)")
        if node.op == "Conv":
            layer, in_index, out = self._conv(node, x, weights)
        else:
            layer, in_index, out = self._dense(node, x, weights)
        return self._sums(node, x, layer, in_index, out, evaluate.bias(node, given))

    def _conv(self, node: Node, x: Map, w: Weights) -> tuple[Linear, Array, tuple[int, ...]]:
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
        self._read(layer, x, index[0], value, node)
        return layer, index, out

    def _dense(self, node: Node, x: Map, w: Weights) -> tuple[Linear, Array, tuple[int, ...]]:
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
        self._read(layer, x, np.arange(flat.size).reshape(source.shape), 0.0, node)
        return layer, flat, (*index.shape[:-1], len(numbers))

    def _read(self, layer: Linear, x: Map, index: Array, value: float, node: Node) -> None:
        """Take in what the layer reads: signs into its weights, step and offset, padding."""
        source = x.source
        if source.kind == "input":
            step, offset, sign = self._code(x, index, layer, node)
        else:
            if not np.array_equal(index.reshape(-1), np.arange(index.size)) or index.size != (
                source.shape[0] * source.positions
            ):
                raise refuse(f"{node} reads a map whose elements were moved")
            step, offset, sign = _affine(x, node)
            layer.in_shape = source.shape
        channels = layer.in_shape[0]
        w = layer.weights.numbers
        groups, out = layer.groups, len(w)
        shape = (groups, out // groups, channels // groups, *w.shape[2:])
        flips = sign.reshape(groups, 1, -1, 1, 1)
        numbers = (w.reshape(shape) * flips).reshape(w.shape)
        offsets = offset.reshape(groups, 1, -1, 1, 1)
        added = (w.reshape(shape) * offsets).sum(axis=(2, 3, 4)).reshape(-1)
        layer.weights = replace(layer.weights, numbers=numbers.astype(np.int8))
        self.reading = (step, added)
        if any(layer.padding):
            taps = (value - offset) / (step * sign)
            if not (taps == taps[0]).all() or taps[0] != np.rint(taps[0]):
                raise refuse(f"{node} pads with {value:g}, which is no value that the map can hold")
            limit = 128 if source.kind == "input" else 1
            if not -limit <= taps[0] <= limit - (source.kind == "input"):
                raise refuse(f"{node} pads with {value:g}, beyond the values of the map")
            layer.pad_value = int(taps[0])
        places = x.channel_of()
        full = offset[places] if source.kind != "input" else self.input_offset[x.index]
        if any(x.padding[:4]):
            top, left, bottom, right, outside = x.padding
            around = [(0, 0), (0, 0), (top, bottom), (left, right)][: full.ndim]
            full = np.pad(full, around, constant_values=outside)
        self.grids[node.output] = (step, full)

    def _code(self, x: Map, index: Array, layer: Linear, node: Node) -> tuple[float, Array, Array]:
        """Read the input: the first layer says which of its elements are channels."""
        table = x.table()
        source = x.source
        size = source.shape[0] * source.positions
        if len(np.unique(index)) != size or index.size != size:
            raise refuse(f"{node} reads a part of the input")
        if layer.dense and self.shape is not None and source.positions == 1:
            height, width, channels = self.shape
            if height * width * channels != size:
                raise ConfigError(f"--shape {self.shape}: the network takes {size} values")
            # A vector of an image's values, in the order of torch or of rows of pixels.
            index = np.arange(size).reshape(height, width, channels).transpose(2, 0, 1)
            numbers = layer.weights.numbers.reshape(-1, size)[:, index.reshape(-1)]
            layer.weights = replace(layer.weights, numbers=numbers.reshape(-1, *index.shape))
        layer.in_shape = index.shape
        channel = index // source.positions
        tables = table[channel.reshape(len(index), -1)]
        if (tables != tables[:, :1]).any():
            raise refuse(f"{node}: the input's values differ within a channel")
        raw = self.scale.kind == "int8"
        coded = code(tables[:, 0], raw)
        rule = rule_for(coded, raw)
        vector = layer.dense and source.positions == 1 and 1 < len(index) <= 1024
        if isinstance(rule, PixelTables) and vector and (tables[:, 0] == tables[0, 0]).all():
            # A row of pixels of one channel has one table instead of one for each value.
            index = index.reshape(1, 1, -1)
            layer.in_shape = index.shape
            numbers = layer.weights.numbers
            layer.weights = replace(
                layer.weights, numbers=numbers.reshape(len(numbers), *index.shape)
            )
            coded = replace(coded, q=coded.q[:1], offset=coded.offset[:1])
            rule, channel = PixelTables(coded.q.astype(np.int8)), channel.reshape(1, -1)
        firsts = self.first_table[channel.reshape(len(index), -1)]
        if (firsts != firsts[:, :1]).any():
            raise refuse(f"{node}: the input's scale differs within a channel")
        first = firsts[:, 0]
        offset_at = np.empty(size)
        offset_at[index] = coded.offset[:, None, None]
        self.input_offset = offset_at
        self.input = (rule, index.transpose(1, 2, 0), first)
        self.input_kind = "+-1" if coded.bits else "int8"
        low = max(abs(int(coded.q.min())), abs(int(coded.q.max())))
        self.most = low
        return coded.step, coded.offset, np.ones(len(index), np.int64)

    def _sums(
        self, node: Node, x: Map, layer: Linear, index: Array, out: tuple[int, ...], bias: Any
    ) -> Map:
        """The map of a layer's sums, of which the first operators are its factor and its bias."""
        del index
        step, added = self.reading
        numbers = layer.weights.numbers
        taps = int(np.abs(numbers.reshape(len(numbers), -1).astype(np.int64)).sum(axis=1).max())
        kind = x.source.kind
        most = int(np.abs(x.source.points).max()) if kind != "input" else self.most
        odd = kind == "bits" or (kind == "input" and self.input_kind == "+-1")
        regular = (
            odd
            and layer.weights.bits == 1
            and (not any(layer.padding) or layer.pad_value in (-1, 1))
        )
        if any(layer.padding):
            most = max(most, abs(layer.pad_value))
        limit = taps * most
        if limit >= 1 << 30:
            raise refuse(f"{node} has sums up to {limit}")
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
            return (
                evaluate.scaled(node, sums, factor[block], own, (-1, 1))
                if (node.op == "Conv" or own is None)
                else evaluate.scaled(node, sums, factor[block], own[:, None], (-1, 1))
            )

        return Map(source, np.arange(math.prod(out)).reshape(out), function)

    def _bits(self, x: Map, node: Node | str) -> Map:
        """A map of bits from one of sums: its layer's thresholds are found and it is stored."""
        if x.source.kind != "sums":
            if self.last is None and x.source.kind == "input":
                self.last = x.source
            return x
        if id(x) in self.stored:
            return self.stored[id(x)]
        pooled = x.source.layer if isinstance(x.source.layer, _Pooled) else None
        layer: Linear = x.source.layer if pooled is None else pooled.layer
        if layer.stored is not None:
            raise refuse(f"{node} reads a layer that is read elsewhere before its sign (a branch)")
        steps = self._steps(x, layer)
        negate = np.zeros(x.channels, np.bool_)
        if pooled is not None:  # the maximum is the OR of bits that rise with the values, else AND
            negate = (steps.first != steps.second) & (pooled.rising != (steps.second > steps.first))
            if negate.any():
                self.notes.append(
                    f"layer {len(self.layers)}: {int(negate.sum())} channels are stored negated, "
                    "because they are pooled before a negative scale"
                )
        bits = self._store(layer, steps, x, negate)
        self.stored[id(x)] = bits
        return bits

    def _steps(self, x: Map, layer: Linear) -> Steps:
        steps = find_steps(x)
        if steps is None:
            raise refuse(f"{layer.node} gives values of more than one bit")
        if steps.zeros:
            raise refuse(
                f"the sign after {layer.node} meets sums of exactly 0 in {steps.zeros} channels: "
                "--sign-of-zero says what they count as, plus or minus"
            )
        number = len(self.layers)
        if steps.margin < (self.margin or (np.inf,))[0]:
            self.margin = (steps.margin, number, steps.place)
        if steps.constant:
            self.notes.append(f"layer {number}: {steps.constant} channels are constant")
        return steps

    def _store(self, layer: Linear, steps: Steps, x: Map, negate: NDArray[np.bool_]) -> Map:
        """Append a layer whose bits are what the steps say, some of them negated."""
        first, second = steps.first.astype(np.float64), steps.second.astype(np.float64)
        moving = first != second
        inverted = second < first
        low, high = np.minimum(first, second), np.maximum(first, second)
        threshold = np.clip(steps.threshold, ALWAYS, NEVER)
        size = float(np.abs(first).max())
        pairs = set(zip(low[moving], high[moving], strict=True)) or {(-size, size)}
        for c in np.flatnonzero(~moving):
            fits = [pair for pair in sorted(pairs) if first[c] in pair]
            if not fits:
                raise refuse(f"a channel after {layer.node} is constant at {first[c]:g}")
            low[c], high[c] = fits[0]
            threshold[c] = ALWAYS
            inverted[c] = first[c] == low[c]
        inverted = inverted ^ negate
        low, high = np.where(negate, high, low), np.where(negate, low, high)
        self._append(layer, threshold, inverted, last=False)
        if layer.pool is not None:
            self._pooled(layer)
        source = Source("bits", x.source.shape, np.array([-1, 1]), layer)
        self.last = source
        table = np.stack([low, high], axis=1).astype(np.float32)
        return Map(source, x.index, lambda block, memo: table[block])

    def _append(self, layer: Linear, threshold: Any, inverted: Any, last: bool) -> None:
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
        self.layers.append(spec)

    def _pooled(self, layer: Linear) -> None:
        more: dict[str, Any] = {} if layer.pooling == "max" else {"pooling": layer.pooling}
        spec = self.layers[-1]
        spec = replace(spec, pool=layer.pool, pool_stride=layer.pool_stride, **more)
        layer.stored = spec
        self.layers[-1] = spec

    # Pooling

    def _pool(self, node: Node, x: Map, rest: list[Any]) -> Map:
        axes = node.attributes.get("axes") if not rest or rest[0] is None else rest[0]
        if node.op == "ReduceMean":
            wanted = sorted(int(a) % x.index.ndim for a in (axes if axes is not None else []))
            if wanted != list(range(2, x.index.ndim)):
                raise refuse(f"{node} takes a mean over other axes than height and width")
            node = replace(node, op="GlobalAveragePool")
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
        if not np.array_equal(x.index.reshape(-1), np.arange(x.index.size)):
            raise refuse(f"{node} pools a map whose elements were moved")
        average = "Average" in node.op
        shape = pooled.shape[:2] if flat else pooled.shape
        index = np.arange(math.prod(pooled.shape)).reshape(shape)
        if kernel == [1, 1] and strides == [1, 1]:
            return replace(x, index=index)
        if isinstance(x.source.layer, _Pooled) or x.source.layer.pool is not None:
            raise refuse(f"{node} pools what is pooled already")
        layer: Linear = x.source.layer
        if layer.dense:
            raise refuse(f"{node} pools a vector")
        window, steps = (kernel[0], kernel[1]), (strides[0], strides[1])
        if x.source.kind == "sums":
            found = find_steps(x)
            if found is None or found.zeros or found.constant == x.channels:
                if average:
                    raise refuse(f"{node} averages sums before their sign")
                return self._pool_sums(node, x, window, steps, index)
            x = self._bits(x, node)
        if x.source is not self.last:
            raise refuse(f"{node} pools a map that another layer reads too")
        layer.pool, layer.pool_stride = window, steps
        layer.pooling = "average" if average else "max"
        return self._pool_bits(x, layer, index)

    def _pool_bits(self, x: Map, layer: Linear, index: Array) -> Map:
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
                self._negate(layer, negated)
            values = np.where(negated[:, None], table[:, ::-1], table)
            source = Source("bits", shape, np.array([-1, 1]), layer)
        self._pooled(layer)
        self.last = source
        return Map(source, index, lambda block, memo: values[block])

    def _negate(self, layer: Linear, channels: NDArray[np.bool_]) -> None:
        spec = self.layers[-1]
        if spec.inverted is None:
            return
        self.layers[-1] = layer.stored = replace(spec, inverted=spec.inverted ^ channels)

    def _pool_sums(
        self, node: Node, x: Map, window: tuple[int, int], steps: tuple[int, int], index: Array
    ) -> Map:
        """Max pooling before the sign: the OR of bits, or the AND, by how the values run."""
        layer: Linear = x.source.layer
        rising = np.zeros(x.channels, np.bool_)
        for block in x.blocks():
            values = np.broadcast_to(
                x.values(block), (block.stop - block.start, len(x.source.points))
            )
            up = (values[:, 1:] >= values[:, :-1]).all(axis=1)
            down = (values[:, 1:] <= values[:, :-1]).all(axis=1)
            if not (up | down).all():
                raise refuse(f"{node} pools values that neither rise nor fall with the sum")
            rising[block] = up
        layer.pool, layer.pool_stride = window, steps
        shape = (x.channels, *_pooled_shape(x.source.shape[1:], layer))
        source = replace(x.source, shape=shape, layer=_Pooled(layer, rising))
        return Map(source, index, x.function, x.length, x.before)

    # The end

    def _finish(self, x: Map, tensor: str) -> Lowered:
        options = self.options
        if any(x.padding[:4]) or x.source.kind == "input":
            raise refuse("the network has no layer with weights after its last operator")
        if isinstance(x.source.layer, _Pooled):
            raise refuse("the last layer is pooled")
        order = x.index.reshape(-1)
        if x.source.kind == "average" or not np.array_equal(order, np.arange(len(order))):
            raise refuse("the output is no vector of scores in the order of the last layer")
        layer: Linear = x.source.layer
        class_bits = x.source.kind == "bits"
        more: dict[str, Any] = {}
        if not class_bits:
            if x.source.positions != 1 or not layer.dense:
                raise refuse(f"{layer.node}: the last layer is not dense over its whole map")
            steps = find_steps(x) if len(x.source.points) > 2 else None
            if steps is not None and not steps.zeros and steps.constant < x.channels:
                x = self._bits(x, "the output")
                class_bits = True
            else:
                self._append(layer, None, None, last=True)
                more = self._tail(x)
        elif not layer.dense:
            raise refuse(f"{layer.node}: the last layer is not dense over its whole map")
        if class_bits:
            table = x.table()
            if (table[:, 0] > table[:, 1]).any():
                raise refuse("class bits that are negated after the last layer")
            x = replace(x, source=replace(x.source, points=np.array([-1, 1])))
        rule, index, first = self.input
        shape = index.shape
        names = options.class_names or self.graph.class_names
        net = BinaryNet(
            options.name, self.layers, input_shape=shape, pixel_rule=rule, class_names=names,
            inputs=self.input_kind, **more,
        )  # fmt: skip
        if self.dropped:
            self.notes.append(f"dropped after the scores: {', '.join(self.dropped)}")
        for number, spec in enumerate(self.layers):
            if spec.inverted is not None and spec.inverted.any():
                self.notes.append(
                    f"layer {number}: {int(spec.inverted.sum())} of {len(spec.weights)} channels "
                    "are inverted"
                )
        if self.margin is not None:
            margin, number, channel = self.margin
            self.notes.append(
                f"smallest margin of a threshold: {margin:.3g} of the step between two sums "
                f"(layer {number}, channel {channel})"
            )
        evaluator = evaluate.Evaluator(self.graph, self.grids, self.weights)
        inverse = np.argsort(self.first_index.reshape(-1))
        return Lowered(
            net, self.graph, tensor, x, class_bits, inverse[index], first, evaluator, self.notes,
        )  # fmt: skip

    def _tail(self, x: Map) -> dict[str, Any]:
        """Scale and offset of each class; what leaves all predictions as they are is left out."""
        points = x.source.points.astype(np.float64)
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
                return self._one_score(values[0], points)
            if (error > 2e-6 * size).any():
                raise refuse("scores that are no scale x sum + offset of the last layer")
            scale[block], offset[block] = slope, start
        same = (np.abs(scale - scale[0]) <= 1e-6 * abs(scale[0])).all()
        spread = np.abs(offset - offset[0]).max()
        if same and scale[0] > 0 and spread <= 2e-6 * np.abs(scale[0] * points[-1]):
            if scale[0] != 1 or offset[0] != 0:
                self.notes.append("one positive scale of all scores is left out")
            return {}
        self.notes.append("a scale and an offset for each class are stored")
        return {"scale": scale.astype(np.float32), "offset": offset.astype(np.float32)}

    def _one_score(self, values: Array, points: Array) -> dict[str, Any]:
        """One score whose sign decides, stored so that the decision is exact for every sum."""
        yes = values >= 0
        if yes.all() or not yes.any():
            raise refuse("the only score decides nothing: one class for every sum")
        rising = bool(yes[-1])
        at = points[(yes if rising else ~yes).argmax()]
        self.notes.append("one score: its sign decides")
        scale, offset = (1.0, -at) if rising else (-1.0, at - 0.5)
        if (scale, offset) == (1.0, 0.0):
            return {"by_sign": True}
        return {
            "by_sign": True,
            "scale": np.array([scale], np.float32),
            "offset": np.array([offset], np.float32),
        }


@dataclass(frozen=True)
class _Pooled:
    """Sums of a layer that are pooled before their sign."""

    layer: Linear
    rising: NDArray[np.bool_]
    """(channels,): whether the pooled values rise with the sum."""


def _pooled_shape(shape: tuple[int, ...], layer: Linear) -> tuple[int, int]:
    window, steps = layer.pool or (1, 1), layer.pool_stride or (1, 1)
    height, width = (
        (size - side) // step + 1 for size, side, step in zip(shape, window, steps, strict=True)
    )
    return height, width


def _affine(x: Map, node: Node) -> tuple[float, Array, Array]:
    """Step, offsets and signs of a map of bits or averages: step x sign x number + offset."""
    table, points = x.table().astype(np.float64), x.source.points
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
