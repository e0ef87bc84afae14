"""A fixed-point network as integer codes, and its file.

The file is safetensors: ``codes.<l>`` (int8, int16 or int32), and for hidden layers
``gamma.<l>``, ``beta.<l>``, ``mean.<l>``, ``std.<l>`` (float64); its metadata hold the rest as
JSON under ``mtjkit``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from mtjkit_core.errors import ConfigError, FormatError

from mtjkit_export.files import write_atomically

Float64s = npt.NDArray[np.float64]
VERSION = 1
MAX_PRODUCTS = 1 << 16
"""Products of one sum: fewer, so that 64 bits hold the sums of 32-bit codes' halves."""

_NORM = ("gamma", "beta", "mean", "std")


@dataclass(frozen=True)
class FoldedNorm:
    """Batch norm in eval mode, all ``(out,)`` float64: y = gamma * (S - mean) / std + beta.

    Evaluated as ``((S - mean) * gamma) / std + beta``, one rounding per operation.
    """

    gamma: Float64s
    """Learned factor; may be negative or 0."""
    beta: Float64s
    """Learned offset."""
    mean: Float64s
    """Running mean of the sums."""
    std: Float64s
    """sqrt(running variance + eps) of the sums.

    For 8 bits the four are rounded: `mtjkit_host.train.modules.BatchNorm.folded`."""

    def __call__(self, sums: npt.NDArray[np.integer[Any] | np.floating[Any]]) -> Float64s:
        """Return y for sums ``(..., out)``, the very numbers of the torch net in eval mode."""
        y: Float64s = (sums - self.mean) * self.gamma / self.std + self.beta
        return y


@dataclass(frozen=True)
class FixedLayer:
    """One layer of a fixed-point net in integer codes.

    A hidden layer's output code is ``clip(rint(y * 2^(bits-1)), -2^(bits-1), 2^(bits-1) - 1)``
    with y from ``norm``; pooling takes the largest of four codes.
    """

    kind: str
    """``conv`` or ``dense``, stride 1; a dense layer after a convolution
    takes the feature map in the order (y, x, channel)."""
    bits: int
    """Of weights and output codes: 8, 16 or 32; a code stands for code / 2^(bits-1)."""
    input_bits: int
    """Of the input codes: 8 in the first layer (q = pixel - 128), else ``bits``."""
    codes: npt.NDArray[np.int32]
    """Weights' two's complement codes, ``(out, in, 3, 3)`` or ``(out, in)``."""
    norm: FoldedNorm | None
    """Takes the sum of products of *values*, not of codes; None in the last layer."""
    padding: int
    """1 in a convolution, 0 in a dense layer."""
    pool: int
    """2 for 2x2 max pooling, else 1."""


@dataclass(frozen=True)
class FixedNet:
    """A fixed-point network, ready to be simulated."""

    name: str
    """What tables and plots call it."""
    bits: int
    """Of weights and activations: 8, 16 or 32."""
    layers: tuple[FixedLayer, ...]
    """As `mtjkit_host.train.lower.fixed_net` gives them."""
    side: int = 32
    """Rows and columns of the input image."""

    def __post_init__(self) -> None:
        """Check every layer by itself and with the one before it; raises FormatError."""
        channels, side, flat = self.layers[0].codes.shape[1], self.side, False
        for index, layer in enumerate(self.layers):
            where = f"{self.name}: layer {index}"
            last = layer is self.layers[-1]
            shape, conv = layer.codes.shape, layer.kind == "conv"
            if conv:
                fits = shape[1:] == (channels, 3, 3) and not flat and not last
                side //= layer.pool
            else:
                fits, side, flat = shape[1:] == (channels * side * side,), 1, True
            if not fits or not side or not 0 < layer.codes[0].size < MAX_PRODUCTS:
                raise FormatError(f"{where} does not fit the one before it; export the net again")
            if (layer.norm is None) != last:
                raise FormatError(f"{where}: every layer but the last has batch norm")
            if layer.norm is not None and not _sound(layer.norm, shape[0]):
                raise FormatError(f"{where}: batch norm is not of finite numbers for each output")
            taken = 8 if index == 0 else self.bits
            given = (layer.bits, layer.input_bits, layer.padding, layer.pool)
            if given not in ((self.bits, taken, int(conv), pool) for pool in (1, 1 + int(conv))):
                raise FormatError(f"{where} has bits, padding or a pool that such nets have not")
            limit = 1 << (layer.bits - 1)
            if layer.codes.min() < -limit or layer.codes.max() >= limit:
                raise FormatError(f"{where} holds codes of more than {layer.bits} bits")
            channels = shape[0]

    @property
    def weight_bits(self) -> int:
        """Bits that the weights take."""
        return sum(layer.codes.size * layer.bits for layer in self.layers)

    def map_elements(self) -> list[int]:
        """Codes that each hidden layer writes for an image."""
        side, counts = self.side, []
        for layer in self.layers[:-1]:
            side = side // layer.pool if layer.kind == "conv" else 1
            counts.append(layer.codes.shape[0] * side * side)
        return counts

    @property
    def map_bits(self) -> int:
        """Feature-map bits written for one image."""
        return sum(self.map_elements()) * self.bits

    def encode(self) -> bytes:
        """Return the bytes of the net's file."""
        tensors = {}
        table = []
        for index, layer in enumerate(self.layers):
            tensors[f"codes.{index}"] = layer.codes.astype(f"<i{layer.bits // 8}")
            if layer.norm is not None:
                for key in _NORM:
                    tensors[f"{key}.{index}"] = getattr(layer.norm, key)
            row = {"kind": layer.kind, "input_bits": layer.input_bits}
            table.append(row | {"padding": layer.padding, "pool": layer.pool})
        head = {"version": VERSION, "name": self.name, "bits": self.bits, "side": self.side}
        meta = {"mtjkit": json.dumps(head | {"layers": table})}
        return safetensors.numpy.save(tensors, meta)

    @cached_property
    def sha256(self) -> str:
        """Of the net's file."""
        return hashlib.sha256(self.encode()).hexdigest()

    def save(self, path: str | Path) -> int:
        """Write the net's file, all of it or nothing; raises ConfigError when it cannot.

        Returns the file's size in bytes.
        """
        data = self.encode()
        write_atomically(path, data)
        return len(data)

    @classmethod
    def load(cls, path: str | Path) -> FixedNet:
        """Read a net's file.

        Raises ConfigError when it cannot be read, FormatError when it is damaged or foreign.
        """
        try:
            with safetensors.safe_open(str(path), framework="numpy") as file:
                meta = json.loads((file.metadata() or {}).get("mtjkit", "null"))
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error})") from error
        except (safetensors.SafetensorError, ValueError) as error:
            raise FormatError(f"{path}: not a fixed-point net ({error})") from error
        try:
            return _build(meta, tensors)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise FormatError(f"{path}: not a fixed-point net of mtjkit") from error

    def with_codes(self, codes: list[Any]) -> FixedNet:
        """Return the net with other weight codes of the same shapes."""
        pairs = zip(self.layers, codes, strict=True)
        layers = tuple(dataclasses.replace(layer, codes=new) for layer, new in pairs)
        return dataclasses.replace(self, layers=layers)


def _sound(norm: FoldedNorm, outputs: int) -> bool:
    """Whether a batch norm has finite numbers for every output, and divides by none that is 0."""
    parts = [getattr(norm, key) for key in _NORM]
    fits = all(part.shape == (outputs,) and np.isfinite(part).all() for part in parts)
    return fits and bool((norm.std > 0).all())


def _build(meta: dict[str, Any], tensors: dict[str, Any]) -> FixedNet:
    if meta["version"] != VERSION or meta["bits"] not in (8, 16, 32):
        raise FormatError("a fixed-point net of another version; export the net again")
    keys = ("input_bits", "padding", "pool")
    numbers = [meta["side"], meta["bits"], *(row[key] for row in meta["layers"] for key in keys)]
    if any(type(number) is not int for number in numbers) or not isinstance(meta["name"], str):
        raise FormatError("not a fixed-point net of mtjkit")
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
    return FixedNet(meta["name"], meta["bits"], tuple(layers), meta["side"])
