"""Keras's .h5 files, larq's too: layers in one row.

Feature maps are kept channel first; a Flatten puts channels last, as Keras does. larq's quantizers
ste_sign, approx_sign and swish_sign have sign(0) = +1.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError

from mtjkit_export.importers.graph import Array, Builder, Graph, checked_size, damaged, refuse
from mtjkit_export.importers.hdf5 import read_model

SIGNS = ("ste_sign", "approx_sign", "swish_sign", "stesign", "approxsign", "swishsign")
WEIGHTED = ("Dense", "Conv1D", "Conv2D", "DepthwiseConv2D")
"""Layers with weights; larq's have the same names after "Quant"."""
POOLS = {
    "MaxPooling1D": "MaxPool",
    "MaxPooling2D": "MaxPool",
    "AveragePooling1D": "AveragePool",
    "AveragePooling2D": "AveragePool",
}
GLOBAL_POOLS = {
    "GlobalMaxPooling1D": "GlobalMaxPool",
    "GlobalMaxPooling2D": "GlobalMaxPool",
    "GlobalAveragePooling1D": "GlobalAveragePool",
    "GlobalAveragePooling2D": "GlobalAveragePool",
}
IGNORED = ("InputLayer", "Dropout", "GaussianNoise", "ActivityRegularization")


def read_keras(path: str | os.PathLike[str]) -> Graph:
    """Read a network that was saved whole, `model.save("net.h5")`.

    Raises:
        ConfigError: the file cannot be read, h5py is missing, or a layer is not supported.
        FormatError: the file is damaged.
    """
    config, arrays = read_model(path)
    return keras_graph(config, arrays, str(path))


def keras_graph(config: str, arrays: dict[str, Array], name: str) -> Graph:
    """The network that a description and its weights make.

    Args:
        config: the description, JSON.
        arrays: float32 arrays by layer and path, as "dense/dense/kernel:0".
        name: what error messages call the network.

    Raises:
        ConfigError: a layer is not supported.
        FormatError: the description makes no sense.
    """
    try:
        return _Reader(arrays).graph(json.loads(config))
    except ConfigError:
        raise
    except Exception as error:  # a description may say anything
        raise damaged(f"{name}: damaged, or no Keras network ({error})") from None


class _Reader:
    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays

    def graph(self, described: Any) -> Graph:
        config = described["config"]
        layers = config if isinstance(config, list) else config["layers"]
        shape = self._input_shape(layers, config)
        checked_size(shape, "the input")
        self.builder = Builder((1, *shape))
        self.sides = len(shape) - 1
        if self.sides:
            self.builder.add("Transpose", perm=[0, len(shape), *range(1, len(shape))])
        before: Any = None
        for layer in layers:
            self._one_row(layer, before)
            self._layer(layer["class_name"], layer["config"], layer["config"].get("name", ""))
            before = layer
        return self.builder.graph()

    def _input_shape(self, layers: Any, config: Any) -> tuple[int, ...]:
        built = config.get("build_input_shape") if isinstance(config, dict) else None
        sources: list[Any] = [layers[0]["config"], {"batch_shape": built}]
        for source in sources:
            for key in ("batch_input_shape", "batch_shape"):
                if source.get(key):
                    sides = source[key][1:]
                    if len(sides) in (1, 2, 3) and all(isinstance(n, int) and n > 0 for n in sides):
                        return tuple(sides)
        raise refuse("the shape of the input is not in the file, or of unknown size")

    def _one_row(self, layer: Any, before: Any) -> None:
        nodes = layer.get("inbound_nodes")
        if not nodes or before is None:
            return
        text = json.dumps(nodes)
        if text.count('"keras_history"') > 1 or (
            '"keras_history"' not in text and len(nodes[0]) > 1
        ):
            raise refuse(f"{layer['class_name']} {layer['config'].get('name')!r} joins two maps")
        if f'"{before["config"].get("name")}"' not in text:
            raise refuse(f"{layer['config'].get('name')!r} does not follow the layer before it")

    def _array(self, layer: str, name: str) -> Array | None:
        """One weight array of a layer; None if it has none of this name."""
        for path, array in self.arrays.items():
            last = path.split("/")[-1].split(":")[0]
            if path.startswith(f"{layer}/") and last == name:
                return array
        return None

    def _layer(self, kind: str, config: Any, name: str) -> None:
        builder = self.builder
        kind = kind.split(">")[-1]
        if config.get("data_format") == "channels_first":
            raise refuse(f"the layer {kind} {name!r} has channels first")
        if config.get("padding", "valid") not in ("valid", "same"):
            raise refuse(f"the layer {kind} {name!r} pads by {config['padding']!r}")
        plain = kind.removeprefix("Quant")
        if plain in WEIGHTED:
            self._sign(config.get("input_quantizer"), name)
            self._linear(plain, config, name)
            self._activation(config.get("activation"), name)
        elif kind == "BatchNormalization":
            self._batch_norm(config, name)
        elif kind in POOLS:
            window = _sides(config["pool_size"])
            auto = "SAME_UPPER" if config.get("padding") == "same" else "VALID"
            builder.add(POOLS[kind], kernel_shape=window, auto_pad=auto, name=name,
                        strides=_sides(config["strides"] or window))  # fmt: skip
        elif kind in GLOBAL_POOLS:
            builder.add(GLOBAL_POOLS[kind], name=name)
            builder.add("Flatten")
            self.sides = 0
        elif kind == "Flatten":
            if self.sides:
                builder.add("Transpose", perm=[0, *range(2, 2 + self.sides), 1])
            builder.add("Flatten", name=name)
            self.sides = 0
        elif kind == "Activation":
            self._activation(config.get("activation"), name)
        elif kind.lower() in SIGNS:
            self._sign(kind, name)
        elif kind not in IGNORED:
            raise refuse(f"the layer {kind} {name!r} is not supported")

    def _linear(self, kind: str, config: Any, name: str) -> None:
        depthwise = kind == "DepthwiseConv2D"
        word = "depthwise" if depthwise else "kernel"
        kernel = self._array(name, "depthwise_kernel" if depthwise else "kernel")
        if kernel is None:
            raise refuse(f"{name!r} has no weights in the file")
        quantizer = _quantizer(config.get(f"{word}_quantizer"))
        if quantizer is not None:
            if quantizer not in SIGNS:
                raise refuse(f"{name!r} quantizes its weights by {quantizer}")
            kernel = np.where(kernel >= 0, np.float32(1), np.float32(-1))
        bias = self._array(name, "bias") if config.get("use_bias") else None
        more = [] if bias is None else [bias]
        if kind == "Dense":
            self.builder.add("MatMul", kernel, name=name)
            if bias is not None:
                self.builder.add("Add", bias)
            return
        rate = config.get("dilation_rate", [1])
        if any(int(n) != 1 for n in _sides(rate)):
            raise refuse(f"{name!r} is dilated")
        sides = kernel.ndim - 2
        self._conv_pads(config, kernel.shape[:sides], name)
        groups = int(config.get("groups", 1))
        if depthwise:  # (height, width, channels, multiplier)
            groups = kernel.shape[2]
            weights = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
        else:  # (..., inputs, outputs)
            weights = kernel.transpose(sides + 1, sides, *range(sides))
        self.builder.add(
            "Conv",
            weights,
            *more,
            name=name,
            group=groups,
            strides=_sides(config["strides"]),
            auto_pad="SAME_UPPER" if config["padding"] == "same" else "VALID",
        )

    def _conv_pads(self, config: Any, sides: tuple[int, ...], name: str) -> None:
        value = float(config.get("pad_values", 0.0) or 0.0)
        if config["padding"] == "same" and value:
            if any(s != 1 for s in _sides(config["strides"])):
                raise refuse(f"{name!r} pads with {value:g} at a stride")
            low = [(side - 1) // 2 for side in sides]
            high = [(side - 1) - first for side, first in zip(sides, low, strict=True)]
            self.builder.add("Pad", np.array([0, 0, *low, 0, 0, *high]), np.float32(value))
            config["padding"] = "valid"

    def _batch_norm(self, config: Any, name: str) -> None:
        mean, var = self._array(name, "moving_mean"), self._array(name, "moving_variance")
        if mean is None or var is None:
            raise refuse(f"{name!r} has no mean and variance in the file")
        gamma, beta = self._array(name, "gamma"), self._array(name, "beta")
        gamma = np.ones_like(mean) if gamma is None else gamma
        beta = np.zeros_like(mean) if beta is None else beta
        self.builder.add("BatchNormalization", gamma, beta, mean, var, name=name,
                         epsilon=float(config.get("epsilon", 1e-3)))  # fmt: skip

    def _sign(self, quantizer: Any, name: str) -> None:
        kind = _quantizer(quantizer)
        if kind is None:
            return
        if kind not in SIGNS:
            raise refuse(f"{name!r} quantizes its input by {kind}")
        self.builder.add("BipolarQuant", np.float32(1), name=name)

    def _activation(self, activation: Any, name: str) -> None:
        kind = _quantizer(activation)
        if kind in (None, "linear"):
            return
        if kind in SIGNS:
            self._sign(kind, name)
        elif kind in ("softmax", "sigmoid", "relu", "tanh"):
            self.builder.add(str(kind).capitalize(), name=name)
        else:
            raise refuse(f"{name!r} has the activation {kind}")


def _sides(given: Any) -> list[int]:
    """Sizes by side, of which Keras writes a single one as a number too."""
    return [int(n) for n in (given if isinstance(given, list) else [given])]


def _quantizer(described: Any) -> str | None:
    """The name of a quantizer or activation, as a word of Keras's or as a larq class."""
    if isinstance(described, dict):
        described = described.get("class_name")
    if described is None:
        return None
    return str(described).split(">")[-1].lower()
