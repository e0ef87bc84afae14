"""Keras's .h5 and .keras files, larq's too: layers in one row.

Feature maps are kept channel first; a Flatten puts channels last, as Keras does. larq's quantizers
ste_sign, approx_sign and swish_sign have sign(0) = +1.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
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
KERAS_FOLDERS = ("layers", "_layer_checkpoint_dependencies")
"""Where a .keras file holds its layers: Keras 3, and 2.12 to 2.15."""
IGNORED = ("InputLayer", "Dropout", "GaussianNoise", "ActivityRegularization")


def read_keras(path: str | os.PathLike[str]) -> Graph:
    """Read a network that was saved whole, `model.save("net.h5")` or `model.save("net.keras")`.

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
        arrays: float32 arrays by layer and path, as "dense/dense/kernel:0", or by class and number
            as in .keras files, "layers/dense/vars/0".
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
        raise damaged(f"{name}: damaged, or not a Keras network ({error})") from None


class _Reader:
    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays

    def graph(self, described: Any) -> Graph:
        config = described["config"]
        layers = config if isinstance(config, list) else config["layers"]
        self.arrays = {**self.arrays, **_named(layers, self.arrays)}
        shape = self._input_shape(layers, config)
        checked_size(shape, "the input")
        self.builder = Builder((1, *shape))
        self.sides = len(shape) - 1
        self._channels_first()
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
        if config.get("padding", "valid") not in ("valid", "same") and "Zero" not in kind:
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
        elif kind in ("Flatten", "Reshape", "Permute"):
            self._moved(kind, config, name)
        elif kind == "Rescaling":
            builder.add("Mul", self._by_channel(config["scale"]), name=name)
            builder.add("Add", self._by_channel(config.get("offset", 0.0)))
        elif kind in ("ZeroPadding1D", "ZeroPadding2D"):
            low, high = np.array(config["padding"]).reshape(self.sides, 2).T.tolist()
            builder.add("Pad", np.array([0, 0, *low, 0, 0, *high]), np.float32(0), name=name)
        elif kind == "Activation":
            self._activation(config.get("activation"), name)
        elif kind.lower() in SIGNS:
            self._sign(kind, name)
        elif kind not in IGNORED:
            raise refuse(f"the layer {kind} {name!r} is not supported")

    def _moved(self, kind: str, config: Any, name: str) -> None:
        """A layer that moves elements, in Keras's order: channels last."""
        if self.sides:
            self.builder.add("Transpose", perm=[0, *range(2, 2 + self.sides), 1])
        if kind == "Flatten":
            self.builder.add("Flatten", name=name)
            self.sides = 0
        elif kind == "Reshape":
            self.builder.add("Reshape", np.array([1, *config["target_shape"]]), name=name)
            self.sides = len(config["target_shape"]) - 1
        else:
            self.builder.add("Transpose", perm=[0, *config["dims"]], name=name)
        self._channels_first()

    def _channels_first(self) -> None:
        if self.sides:
            self.builder.add("Transpose", perm=[0, 1 + self.sides, *range(1, 1 + self.sides)])

    def _by_channel(self, value: Any) -> Array:
        """A number, or one for each channel, as it is broadcast to the map."""
        return np.asarray(value, np.float32).reshape(-1, *[1] * self.sides)

    def _linear(self, kind: str, config: Any, name: str) -> None:
        depthwise = kind == "DepthwiseConv2D"
        word = "depthwise" if depthwise else "kernel"
        kernel = self._array(name, "depthwise_kernel") if depthwise else None
        kernel = self._array(name, "kernel") if kernel is None else kernel  # Keras 3's of both
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
        elif kind == "sign":  # 0 where the value is 0
            self.builder.add("Sign", name=name)
        elif kind in ("softmax", "sigmoid", "relu", "tanh"):
            self.builder.add(str(kind).capitalize(), name=name)
        else:
            raise refuse(f"{name!r} has the activation {kind}")


def _named(layers: Any, arrays: dict[str, Array]) -> dict[str, Array]:
    """The arrays of a .keras file by layer and name.

    The file holds them by a layer's class, which it numbers, and the order of its variables.
    """
    found: dict[str, Array] = {}
    seen: Counter[str] = Counter()
    for layer in layers:
        kind, config = layer["class_name"].split(">")[-1], layer["config"]
        folder = _snake_case(kind)
        place = f"{folder}_{seen[folder]}" if seen[folder] else folder
        seen[folder] += 1
        if kind == "BatchNormalization":
            parts = [("gamma", config.get("scale", True)), ("beta", config.get("center", True))]
            names = [name for name, there in parts if there] + ["moving_mean", "moving_variance"]
        else:
            names = ["kernel", "bias"]
        for number, name in enumerate(names):
            for top in KERAS_FOLDERS:
                array = arrays.get(f"{top}/{place}/vars/{number}")
                if array is not None:
                    found[f"{config.get('name', '')}/{name}"] = array
    return found


def _snake_case(name: str) -> str:
    """A class's name as Keras writes it in a file: depthwise_conv2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _sides(given: Any) -> list[int]:
    """Sizes by side, of which Keras writes a single one as a number too."""
    return [int(n) for n in (given if isinstance(given, list) else [given])]


def _quantizer(described: Any) -> str | None:
    """The name of a quantizer or activation, as a word of Keras's or as a larq class."""
    if isinstance(described, dict):
        kind = described.get("class_name")
        described = described.get("config") if kind == "function" else kind
    if described is None:
        return None
    return str(described).split(">")[-1].lower()
