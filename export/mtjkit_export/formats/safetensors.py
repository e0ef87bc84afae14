"""Fixed-point nets as safetensors files. Needs numpy alone, no torch.

Tensors: ``codes.<l>`` (int8, int16 or int32), and for hidden layers ``gamma.<l>``, ``beta.<l>``,
``mean.<l>``, ``std.<l>`` (float64). The metadata hold the rest as JSON under ``mtjkit``. Files from
before class names were stored have no ``class_names`` there.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from mtjkit_core.errors import ConfigError, FormatError
from numpy.typing import NDArray

from mtjkit_export.files import refuse_pipe, write_atomically
from mtjkit_export.nets.fixed import FixedLayer, FixedNet, FoldedNorm

_VERSION = 1

_TYPES = ("I8", "I16", "I32", "F64")
_NORM = ("gamma", "beta", "mean", "std")


def encode_fixed(net: FixedNet) -> bytes:
    """The bytes of a fixed-point net's file."""
    tensors: dict[str, NDArray[Any]] = {}
    table = []
    for index, layer in enumerate(net.layers):
        tensors[f"codes.{index}"] = _plain(layer.codes, f"<i{layer.bits // 8}")
        if layer.norm is not None:
            for key in _NORM:
                tensors[f"{key}.{index}"] = _plain(getattr(layer.norm, key), "<f8")
        row = {"kind": layer.kind, "input_bits": layer.input_bits}
        table.append(row | {"padding": layer.padding, "pool": layer.pool})
    head: dict[str, Any] = {"version": _VERSION, "name": net.name, "bits": net.bits}
    head["side"] = net.side
    if net.class_names is not None:
        head["class_names"] = list(net.class_names)
    return safetensors.numpy.save(tensors, {"mtjkit": json.dumps(head | {"layers": table})})


def save_fixed(net: FixedNet, path: str | os.PathLike[str]) -> int:
    """Write a fixed-point net's file, whole or not at all, and return its size in bytes.

    Raises:
        ConfigError: the file cannot be written.
    """
    data = encode_fixed(net)
    write_atomically(path, data)
    return len(data)


def load_fixed(path: str | os.PathLike[str]) -> FixedNet:
    """Read a fixed-point net's file.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: the file is damaged, or not a fixed-point net of mtjkit.
    """
    try:
        refuse_pipe(path)
        with safetensors.safe_open(str(path), framework="numpy") as file:
            meta = json.loads((file.metadata() or {}).get("mtjkit", "null"))
            tensors = {key: _tensor(file, key) for key in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a fixed-point net ({error})") from error
    try:
        return _build(meta, tensors)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FormatError(f"{path}: not a fixed-point net of mtjkit") from error


def _tensor(file: Any, key: str) -> NDArray[Any]:
    """A tensor of one of the types that `encode_fixed` writes: numpy lacks some of the others."""
    found = file.get_slice(key).get_dtype()
    if found not in _TYPES:
        raise ValueError(f"tensor {key[:40]!r} is of type {found}, expected {', '.join(_TYPES)}")
    tensor: NDArray[Any] = file.get_tensor(key)
    return tensor


def _plain(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Little-endian numbers in C order.

    safetensors copies memory as it lies, whatever the strides are: it would store a transposed
    array scrambled, without a word.
    """
    return np.ascontiguousarray(values, dtype)


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and text.isprintable() and len(text) <= 200


def _build(meta: dict[str, Any], tensors: dict[str, Any]) -> FixedNet:
    if meta["version"] != _VERSION or meta["bits"] not in (8, 16, 32):
        raise FormatError("a fixed-point net of another version; export the net again")
    for key, tensor in tensors.items():
        expected = f"i{meta['bits'] // 8}" if key.startswith("codes.") else "f8"
        if tensor.dtype != np.dtype(expected):
            raise FormatError(f"tensor {key[:40]!r} is of type {tensor.dtype}, not {expected}")
    keys = ("input_bits", "padding", "pool")
    numbers = [meta[key] for key in ("version", "side", "bits")]
    numbers += [row[key] for row in meta["layers"] for key in keys]
    if any(type(number) is not int for number in numbers) or not _is_name(meta["name"]):
        raise FormatError("not a fixed-point net of mtjkit")
    names = meta.get("class_names")
    if names is not None and not (isinstance(names, list) and all(map(_is_name, names))):
        raise FormatError("class names are not a list of names")
    layers = []
    for index, row in enumerate(meta["layers"]):
        norm = None
        if index < len(meta["layers"]) - 1:
            norm = FoldedNorm(*(tensors[f"{key}.{index}"].astype(np.float64) for key in _NORM))
        codes = tensors[f"codes.{index}"].astype(np.int32)
        if row["kind"] != ("conv" if codes.ndim == 4 else "dense") or row["pool"] not in (1, 2):
            raise FormatError(f"layer {index} is neither a convolution nor dense")
        input_bits, padding, pool = (row[key] for key in keys)
        layers.append(FixedLayer(row["kind"], meta["bits"], input_bits, codes, norm, padding, pool))
    names = None if names is None else tuple(names)
    return FixedNet(meta["name"], meta["bits"], tuple(layers), meta["side"], names)
