"""A TFLite flatbuffer, built tensor by tensor with the schema's object API: no TensorFlow."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

_ALIGNMENT = 16
"""Bytes; the schema's `force_align` of buffers, which the Python API leaves out."""

_TYPES = {
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
}


class _Buffer(schema.BufferT):  # type: ignore[misc]
    """A constant's bytes, aligned."""

    def Pack(self, builder: Any) -> Any:  # noqa: N802 (the schema's name)
        size = len(self.data)
        builder.StartVector(1, size, _ALIGNMENT)
        builder.head -= size
        builder.Bytes[builder.head : builder.head + size] = self.data
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class Graph:
    """One TFLite graph; tensors are known by the index that adding them returns."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is empty: not a constant
        self._tensors: list[Any] = []
        self._codes: list[tuple[int, int]] = []
        self._operators: list[Any] = []

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return tuple(int(size) for size in self._tensors[tensor].shape)

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        scales: NDArray[np.float32] | None = None,
    ) -> int:
        """Add a tensor that an operator computes, or the graph's input.

        Args:
            name: shown by viewers.
            shape: batch first.
            dtype: int8, int32 or float32.
            scales: one for the tensor or one for each index of its first axis; the zero point
                is 0. None: not quantized.
        """
        quantization = None
        if scales is not None:
            quantization = schema.QuantizationParametersT(
                scale=np.asarray(scales, np.float32), zeroPoint=np.zeros(len(scales), np.int64)
            )
        self._tensors.append(
            schema.TensorT(
                shape=np.asarray(shape, np.int32),
                type=_TYPES[dtype],
                name=name,
                quantization=quantization,
            )
        )
        return len(self._tensors) - 1

    def constant(
        self, name: str, values: NDArray[Any], scales: NDArray[np.float32] | None = None
    ) -> int:
        """Add a tensor whose values lie in the file; arguments as in `tensor`."""
        index = self.tensor(name, values.shape, values.dtype.name, scales)
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        self._tensors[index].buffer = len(self._buffers)
        self._buffers.append(_Buffer(data=little.tobytes()))
        return index

    def operator(
        self, name: str, version: int, inputs: list[int], output: int, options: Any = None
    ) -> int:
        """Add an operator and return its output.

        Args:
            name: of the builtin, such as CONV_2D.
            version: lowest one whose kernels take these types.
            inputs: tensors.
            output: tensor.
            options: its options object; None for an operator without.
        """
        code = (getattr(schema.BuiltinOperator, name), version)
        if code not in self._codes:
            self._codes.append(code)
        made = schema.OperatorT(
            opcodeIndex=self._codes.index(code), inputs=inputs, outputs=[output]
        )
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = options
        self._operators.append(made)
        return output

    def encode(self, inputs: list[int], outputs: list[int]) -> bytes:
        """Return the file's bytes, the same for the same graph."""
        model = schema.ModelT(
            version=3,
            operatorCodes=[
                schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=version)
                for code, version in self._codes
            ],
            subgraphs=[
                schema.SubGraphT(
                    tensors=self._tensors,
                    inputs=inputs,
                    outputs=outputs,
                    operators=self._operators,
                    name="main",
                )
            ],
            description=self._description,
            buffers=self._buffers,
        )
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
