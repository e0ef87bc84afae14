"""Networks of other tools, as bytes: seeds, mutations of what they hold, and the four readers.

Mutated bytes mostly end in a parser. So half of the mutations change what a file says: an operator,
an attribute, a shape, a weight, a name, a layer's setting. `import-h5` is a file, which a process
of its own reads; `import-keras` is what is in one.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from mtjkit_core.errors import FormatError
from mtjkit_export.importers.graph import Graph
from mtjkit_export.importers.keras_file import keras_graph
from mtjkit_export.importers.lower import Options, lower
from mtjkit_host.importing.check import check, random_images
from mtjkit_host.importing.command import read
from numpy.typing import NDArray

TARGETS = ("import-onnx", "import-h5", "import-keras", "import-npz", "import-folder")
SUFFIXES = {"import-onnx": ".onnx", "import-h5": ".h5", "import-npz": ".npz"}
NUMBERS = (
    0,
    1,
    2,
    3,
    -1,
    -2,
    7,
    255,
    1 << 15,
    1 << 24,
    1 << 31,
    1 << 40,
    (1 << 63) - 1,
    -(1 << 63),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))


def import_bytes(name: str, data: bytes, folder: Path) -> None:
    """Everything that `invoke import` does with a file, but for writing the model."""
    path = folder / "net"
    if name == "import-keras":
        graph = _described(data)
    elif name == "import-folder":
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for file, content in unpacked(data):
            (path / file).write_bytes(content)
        graph = read(str(path))
    else:
        path = folder / f"net{SUFFIXES[name]}"
        path.write_bytes(data)
        graph = read(str(path))
    lowered = lower(graph, Options())
    check(lowered, random_images(lowered, 2), "random image")


def _described(data: bytes) -> Graph:
    """A Keras network of its description and the shapes of its weights, JSON."""
    try:
        config, shapes = json.loads(data)
        arrays = {
            str(path): _values(path, tuple(int(n) % 64 for n in shape), np.random.default_rng(0))
            for path, shape in shapes.items()
        }
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise FormatError("no description and shapes") from None
    return keras_graph(json.dumps(config), arrays, "net")


def packed(files: dict[str, bytes]) -> bytes:
    """A folder as bytes: for each file the length of its name, its name, its size, its bytes."""
    parts = [
        struct.pack("<B", len(name)) + name.encode() + struct.pack("<H", len(data)) + data
        for name, data in files.items()
    ]
    return b"".join(parts)


def unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Files of a folder; names without separators."""
    at = 0
    while at + 3 < len(data):
        length = data[at]
        name = data[at + 1 : at + 1 + length].decode("latin-1")
        at += 1 + length
        (size,) = struct.unpack("<H", data[at : at + 2].ljust(2, b"\0"))
        content = data[at + 2 : at + 2 + size]
        at += 2 + size
        clean = "".join(c for c in name if c.isprintable() and c not in "/\\")[:60]
        if clean.strip("."):
            yield clean, content


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Good networks, small ones."""
    if name == "import-onnx":
        from support.onnx_nets import DIALECTS, random_net

        return tuple(
            random_net(n, DIALECTS[n % 3])[0].SerializeToString() for n in (0, 1, 2, 5, 9, 13)
        )
    rng = np.random.default_rng(0)
    if name == "import-h5":
        return tuple(keras_file(config, rng) for config in (KERAS_DENSE, KERAS_CONV))
    if name == "import-keras":
        nets = (KERAS_DENSE, KERAS_CONV)
        return tuple(json.dumps(_keras_content(config)).encode() for config in nets)
    if name == "import-npz":
        return (arrays_file(rng, False), arrays_file(rng, True))
    words = {
        "0-0-weights.bin": rng.integers(0, 256, 64, np.uint8).tobytes(),
        "0-0-thres.bin": np.full(8, 31, "<i8").tobytes(),
        "1-0-weights.bin": rng.integers(0, 256, (4, 1), np.uint8).astype("<u8").tobytes(),
        "classes.txt": b"a\nb\nc\nd\n",
    }
    return (packed(words), packed({**words, "1-0-thres.bin": np.full(4, 4, "<i8").tobytes()}))


def arrays_file(rng: Any, conv: bool) -> bytes:
    """An .npz of arrays."""
    out = io.BytesIO()
    if conv:
        w0 = rng.integers(0, 256, (4, 4), np.uint8)
        shapes = {"w0_shape": np.array([4, 3, 3, 3]), "w1_shape": np.array([2, 4 * 30 * 30])}
        w1 = rng.integers(0, 256, (2, 4 * 30 * 30 // 8), np.uint8)
        np.savez_compressed(out, w0_bits=w0, t0_ge=np.zeros(4, int), w1_bits=w1, **shapes)
    else:
        np.savez(
            out, w0_bits=rng.integers(0, 256, (16, 8), np.uint8), t0_ge=rng.integers(-5, 5, 16),
            w1_bits=rng.integers(0, 256, (3, 2), np.uint8), classes=np.array(["a", "b", "c"]),
        )  # fmt: skip
    return out.getvalue()


_SIGN = {"kernel_quantizer": "ste_sign", "use_bias": False, "activation": "linear"}
KERAS_DENSE = [
    ("QuantDense", {"name": "d0", "batch_input_shape": [None, 12], **_SIGN}, {"kernel": (12, 8)}),
    ("BatchNormalization", {"name": "b0", "epsilon": 0.001},
     {"moving_mean": (8,), "moving_variance": (8,), "beta": (8,)}),
    ("QuantDense", {"name": "d1", "input_quantizer": "ste_sign", **_SIGN}, {"kernel": (8, 3)}),
    ("Activation", {"name": "a", "activation": "softmax"}, {}),
]  # fmt: skip
_CONV = {"strides": [1, 1], "padding": "same", **_SIGN}
KERAS_CONV = [
    ("InputLayer", {"name": "i", "batch_input_shape": [None, 7, 6, 2]}, {}),
    ("QuantConv2D", {"name": "c0", **_CONV}, {"kernel": (3, 3, 2, 4)}),
    ("MaxPooling2D", {"name": "p", "pool_size": [2, 2], "strides": [2, 2]}, {}),
    ("BatchNormalization", {"name": "b0"}, {"moving_mean": (4,), "moving_variance": (4,)}),
    ("QuantDepthwiseConv2D", {"name": "w", "depthwise_quantizer": "ste_sign", "strides": [1, 1],
     "padding": "valid", "input_quantizer": "ste_sign"}, {"depthwise_kernel": (2, 2, 4, 1)}),
    ("Flatten", {"name": "f"}, {}),
    ("QuantDense", {"name": "d", "input_quantizer": "ste_sign", **_SIGN}, {"kernel": (16, 3)}),
]  # fmt: skip


def keras_file(layers: Any, rng: Any) -> bytes:
    """A Keras .h5 of layers (kind, settings, weights by shape)."""
    import h5py

    out = io.BytesIO()
    described, shapes = _keras_content(layers)
    with h5py.File(out, "w") as file:
        file.attrs["model_config"] = json.dumps(described)
        group = file.create_group("model_weights")
        for path, shape in shapes.items():
            group[path] = _values(path, shape, rng)
    return out.getvalue()


def _keras_content(layers: Any) -> tuple[Any, dict[str, tuple[int, ...]]]:
    rows = [{"class_name": kind, "config": config} for kind, config, _ in layers]
    shapes = {
        "{0}/{0}/{1}:0".format(config.get("name", "x"), key): shape
        for _, config, weights in layers
        for key, shape in weights.items()
    }
    return {"class_name": "Sequential", "config": {"layers": rows}}, shapes


def _values(path: str, shape: tuple[int, ...], rng: Any) -> NDArray[np.float32]:
    return (rng.normal(size=shape) ** (2 if "variance" in path else 1)).astype(np.float32)


def mutated(name: str, rng: Random) -> bytes | None:
    """A network with other contents; None where its bytes should be changed instead."""
    if rng.random() < 0.4 or name == "import-folder":
        return None
    if name == "import-onnx":
        return _onnx(rng)
    if name == "import-h5":
        return keras_file(_keras(rng), np.random.default_rng(rng.randrange(1 << 30)))
    if name == "import-keras":
        return json.dumps(_keras_content(_keras(rng))).encode()
    return _arrays(rng)


def _onnx(rng: Random) -> bytes:
    import onnx

    model = onnx.ModelProto.FromString(rng.choice(seeds("import-onnx")))
    graph = model.graph
    for _ in range(rng.randint(1, 3)):
        node = rng.choice(graph.node)
        tensor = rng.choice(graph.initializer)
        kind = rng.randrange(12)
        if kind == 0:
            node.op_type = rng.choice(OPERATORS)
        elif kind == 1 and node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice(
                [tensor.name, "x", "", node.output[0], rng.choice(graph.node).output[0]]
            )
        elif kind == 2 and node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i = rng.choice(NUMBERS)
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
            attribute.f = rng.choice(FLOATS)
        elif kind == 3:
            node.attribute.append(
                onnx.helper.make_attribute(
                    rng.choice(ATTRIBUTES), rng.choice([*NUMBERS, [1, 1], "x"])
                )
            )
        elif kind == 4 and tensor.dims:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        elif kind == 5:
            tensor.data_type = rng.randrange(24)
        elif kind == 6:
            try:
                array = onnx.numpy_helper.to_array(tensor).copy().reshape(-1)
            except (ValueError, TypeError, KeyError):
                continue  # changed before
            if array.size and array.dtype.kind in "fi":
                value = rng.choice(FLOATS if array.dtype.kind == "f" else NUMBERS)
                array[rng.randrange(array.size)] = value
                tensor.raw_data = array.tobytes()
        elif kind == 7:
            del graph.node[rng.randrange(len(graph.node))]
            if not graph.node:
                break
        elif kind == 8:
            graph.node.append(node)
        elif kind == 9:
            shape = graph.input[0].type.tensor_type.shape.dim
            shape[rng.randrange(len(shape))].dim_value = rng.choice(NUMBERS)
        elif kind == 10:
            node.domain = rng.choice(["", "x", "qonnx.custom_op.general", "onnx.brevitas"])
        else:
            extra = onnx.helper.make_node(rng.choice(OPERATORS), list(node.output), ["extra"])
            graph.node.append(extra)
            graph.output[0].name = "extra"
    return model.SerializeToString()


OPERATORS = (
    "Add", "Mul", "Div", "MatMul", "Gemm", "Conv", "MaxPool", "AveragePool", "GlobalAveragePool",
    "ReduceMean", "ReduceMax", "ReduceProd", "Pow", "Reshape", "Transpose", "Flatten", "Squeeze",
    "Unsqueeze", "Slice", "Gather",
    "Concat", "Expand", "ConstantOfShape", "Shape", "Pad", "Clip", "Sign", "Where", "Softmax",
    "ArgMax", "TopK", "Quant", "BipolarQuant", "MultiThreshold", "BatchNormalization", "Cast",
    "Loop", "If", "Sqrt", "PRelu", "Sigmoid", "Identity", "Nothing",
)  # fmt: skip
ATTRIBUTES = (
    "pads", "strides", "kernel_shape", "group", "axis", "axes", "perm", "dilations", "auto_pad",
    "transA", "transB", "alpha", "epsilon", "to", "mode", "out_scale", "data_layout", "signed",
)  # fmt: skip


def _keras(rng: Random) -> list[Any]:
    layers = [
        (kind, dict(config), dict(weights))
        for kind, config, weights in rng.choice((KERAS_DENSE, KERAS_CONV))
    ]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(layers))
        kind, config, weights = layers[at]
        choice = rng.randrange(5)
        if choice == 0:
            layers[at] = (rng.choice(KERAS_KINDS), config, weights)
        elif choice == 1:
            key = rng.choice([*config, *KERAS_KEYS])
            config[key] = rng.choice([None, [], [2], [0, 0], {}, "same", "relu", *NUMBERS, *FLOATS])
        elif choice == 2 and weights:
            key = rng.choice(list(weights))
            weights[key] = tuple(rng.choice((0, 1, 2, 3, 8, 12)) for _ in range(rng.randint(0, 5)))
        elif choice == 3 and len(layers) > 1:
            del layers[at]
        else:
            layers.insert(at, (kind, dict(config), {}))
    return layers


KERAS_KEYS = (
    "padding", "strides", "groups", "dilation_rate", "use_bias", "target_shape", "dims", "scale",
    "offset", "class_name",
)  # fmt: skip
KERAS_KINDS = (
    "Dense", "QuantDense", "Conv1D", "QuantConv2D", "DepthwiseConv2D", "MaxPooling1D", "Flatten",
    "MaxPooling2D", "GlobalAveragePooling2D", "BatchNormalization", "Activation", "Dropout",
    "Custom>SteSign", "Lambda", "Add", "AveragePooling2D", "GlobalMaxPooling1D",
    "Reshape", "Permute", "Rescaling", "ZeroPadding1D", "ZeroPadding2D",
)  # fmt: skip


def _arrays(rng: Random) -> bytes:
    with np.load(io.BytesIO(rng.choice(seeds("import-npz")))) as archive:
        arrays: dict[str, Any] = {key: archive[key] for key in archive.files}
    for _ in range(rng.randint(1, 3)):
        key = rng.choice([*arrays, "pool_after", "w0_shape", "w2_bits", "scores", "pixels"])
        numbers = np.array([rng.choice(NUMBERS) for _ in range(rng.randint(0, 4))])
        other = rng.choice([*arrays.values(), numbers, np.zeros((0, 3)), np.float32(np.nan)])
        shape = tuple(rng.choice((0, 1, 2, 3)) for _ in range(rng.randint(0, 4)))
        arrays[key] = rng.choice(
            [other, np.zeros(shape, rng.choice(["u1", "f4", "i8", "U3", "?"]))]
        )
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()
