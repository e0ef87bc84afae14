"""ONNX files: QONNX's, Brevitas's and FINN's operators, and plain signs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mtjkit_export.files import file_errors
from mtjkit_export.importers.graph import (
    MAX_FILE,
    MAX_NODES,
    Array,
    Graph,
    Node,
    checked_size,
    damaged,
    refuse,
)
from mtjkit_export.needs import needs
from mtjkit_export.texts import brief

DOMAINS = (
    "",
    "ai.onnx",
    "onnx.brevitas",
    "qonnx.custom_op.general",
    "finn.custom_op.general",
    "finn",
)
NEVER = {
    "Loop": "a loop",
    "If": "a branch that is chosen while it computes",
    "Scan": "a loop",
    "SequenceMap": "a loop",
}


def read_onnx(path: str | os.PathLike[str]) -> Graph:
    """Read a graph.

    Raises:
        ConfigError: the file cannot be read, onnx is missing, or the graph holds what is not
            supported.
        FormatError: the file is damaged.
    """
    with file_errors(path, "read"):
        size = os.path.getsize(path)
        if size > MAX_FILE:
            raise refuse(f"{path} has more than {MAX_FILE >> 20} MB")
        with open(path, "rb") as file:
            data = file.read(size)  # which a device without an end has none of
    return graph_of(data, str(path), Path(path).parent)


def graph_of(data: bytes, what: str, folder: Path | None = None) -> Graph:
    """Read the bytes of an ONNX file.

    Args:
        data: the bytes.
        what: what messages call them.
        folder: where files of weights may lie beside it; None for nowhere.

    Raises:
        ConfigError, FormatError: see `read_onnx`.
    """
    with needs("import"):
        import onnx
        from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, RecursionError, ValueError):
        raise damaged(f"{what}: damaged, or not an ONNX file") from None
    if not model.graph.node:
        raise damaged(f"{what}: an ONNX file without operators")
    return _Reader(model, onnx, folder).graph()


class _Reader:
    def __init__(self, model: Any, onnx: Any, folder: Path | None) -> None:
        self.model = model
        self.onnx = onnx
        self.folder = folder

    def graph(self) -> Graph:
        graph = self.model.graph
        if len(graph.node) > MAX_NODES:
            raise refuse(f"the graph has {len(graph.node)} operators: at most {MAX_NODES}")
        if self.model.functions:
            raise refuse("the file defines functions of its own")
        if graph.sparse_initializer:
            raise refuse("the file has sparse weights")
        constants: dict[str, Array] = {}
        total = 0
        for tensor in graph.initializer:
            total += checked_size(tuple(tensor.dims), f"initializer {tensor.name!r}")
            checked_size((total,), "all initializers")
            constants[tensor.name] = self._array(tensor, tensor.name)
        inputs = [value for value in graph.input if value.name not in constants]
        if len(inputs) != 1:
            raise refuse(f"the graph has {len(inputs)} inputs: one is needed")
        if not graph.output:
            raise refuse("the graph has no output")
        nodes = []
        for proto in graph.node:
            node = self._node(proto, constants)
            if node is not None:
                nodes += node
        shape, batch = _shape(inputs[0])
        nodes = _for_one_image(nodes, constants, batch)
        output = graph.output[0].name
        kind = inputs[0].type.tensor_type.elem_type
        scale = {self.onnx.TensorProto.UINT8: "bytes", self.onnx.TensorProto.INT8: "int8"}
        notes = []
        if len(graph.output) > 1:
            others = ", ".join(repr(value.name) for value in graph.output[1:])
            notes.append(brief(f"the first output is taken, {output!r}, and not {others}", 200))
        return Graph(
            tuple(_needed(nodes, output)), constants, inputs[0].name, shape, output,
            notes=tuple(notes), input_scale=scale.get(kind, "unit"),
        )  # fmt: skip

    def _node(self, proto: Any, constants: dict[str, Array]) -> list[Node] | None:
        name = f"{proto.op_type} {proto.name or (proto.output[0] if proto.output else '')!r}"
        if proto.op_type in NEVER:
            raise refuse(f"{name} is {NEVER[proto.op_type]}")
        if proto.domain not in DOMAINS:
            raise refuse(f"{name} is of the domain {proto.domain!r}")
        if not proto.output:
            raise refuse(f"{name} has no output")
        attributes = {a.name: self._attribute(a, name) for a in proto.attribute}
        if proto.op_type == "Constant":
            value = next(
                (attributes[k] for k in ("value", "value_float", "value_floats", "value_int",
                                         "value_ints") if k in attributes), None
            )  # fmt: skip
            if value is None:
                raise refuse(f"{name} holds no number")
            array = np.asarray(value)
            constants[proto.output[0]] = (
                array.astype(np.float32) if array.dtype == np.float64 else array
            )
            return None
        inputs = tuple(proto.input)
        return [
            Node(proto.op_type, inputs, output, attributes, proto.name)
            for output in proto.output
            if output
        ]

    def _attribute(self, attribute: Any, name: str) -> Any:
        kinds = self.onnx.AttributeProto
        if attribute.type in (kinds.GRAPH, kinds.GRAPHS):
            raise refuse(f"{name} holds a graph")
        if attribute.type == kinds.TENSOR:
            return self._array(attribute.t, name)
        try:
            value = self.onnx.helper.get_attribute_value(attribute)
        except (ValueError, TypeError):
            raise refuse(f"{name} has the damaged attribute {attribute.name!r}") from None
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def _array(self, tensor: Any, name: str) -> Array:
        proto = self.onnx.TensorProto
        if tensor.data_location == proto.EXTERNAL or tensor.external_data:
            tensor = self._beside(tensor, name)
        size = checked_size(tuple(tensor.dims), f"tensor {name!r}")
        given = len(tensor.raw_data) or sum(
            len(getattr(tensor, field))
            for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
        )
        what = f"tensor {brief(repr(name), 60)}"
        if given < size / 8:
            raise damaged(f"{what} has {size} numbers by its shape, but not in it")
        try:
            array = np.asarray(self.onnx.numpy_helper.to_array(tensor))
        except Exception as error:  # onnx lets numpy's and its own errors through
            raise damaged(f"{what} is damaged: {brief(error)}") from None
        if array.dtype.kind not in "fiub":
            raise refuse(f"tensor {name!r} holds {array.dtype}")
        return array.astype(np.float32) if array.dtype.kind == "f" else array

    def _beside(self, tensor: Any, name: str) -> Any:
        """The tensor with its bytes, which lie in a file beside the graph's: torch writes it."""
        given = {entry.key: entry.value for entry in tensor.external_data}
        location = given.get("location", "")
        file = None if self.folder is None else self.folder / location
        if file is None or location in ("", "..") or Path(location).name != location:
            raise refuse(f"{name!r} lies in another file, {location!r}: only one beside is read")
        with file_errors(file, "read"):
            size = file.stat().st_size
            try:
                start = int(given.get("offset", 0))
                length = int(given.get("length", size - start))
            except ValueError:
                raise damaged(f"tensor {name!r} has a damaged place in {location!r}") from None
            most = 8 * checked_size(tuple(tensor.dims), f"tensor {name!r}")
            if start < 0 or not 0 <= length <= min(most, size - start) or not file.is_file():
                raise damaged(f"tensor {name!r} is not in {file}, which has {size} bytes")
            with file.open("rb") as opened:
                opened.seek(start)
                data = opened.read(length)
        return self.onnx.TensorProto(
            dims=tensor.dims, data_type=tensor.data_type, name=tensor.name, raw_data=data
        )


def _needed(nodes: list[Node], output: str) -> list[Node]:
    """The operators that an output depends on."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


def _for_one_image(nodes: list[Node], constants: dict[str, Array], batch: int) -> list[Node]:
    """Operators for a batch of one image, of a graph that was saved for a batch of several.

    A Reshape to (batch, ...) is to (1, ...); new constants are added.
    """
    if batch == 1:
        return nodes
    changed = []
    for node in nodes:
        sides = constants.get(node.inputs[1]) if len(node.inputs) == 2 else None
        if node.op == "Reshape" and sides is not None and sides.size > 1 and sides[0] == batch:
            name = f"{node.inputs[1]} of one image"
            constants[name] = np.array([1, *sides[1:]])
            node = replace(node, inputs=(node.inputs[0], name))
        changed.append(node)
    return changed


def _shape(value: Any) -> tuple[tuple[int, ...], int]:
    """The input's shape with a batch of 1, and the batch of the file, 1 if it is any."""
    dims = value.type.tensor_type.shape.dim
    sides = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in dims]
    if not sides:
        raise refuse(f"the shape of the input {value.name!r} is not in the file")
    batch, sides[0] = max(1, sides[0]), 1
    if min(sides) < 1:
        raise refuse(f"the input {value.name!r} has sides of unknown size: {sides}")
    return tuple(sides), batch
