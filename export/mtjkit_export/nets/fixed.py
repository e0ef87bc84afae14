"""A fixed-point network in integer codes: weights, batch norm in float64, layer by layer.

Built by `mtjkit_host.train.lower`, or read from a file by `mtjkit_export.formats.safetensors`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_core.errors import FormatError

Float64s = npt.NDArray[np.float64]
MAX_PRODUCTS = 1 << 16
"""Products of one sum: fewer, so that 64 bits hold the sums of 32-bit codes' halves."""

PIXEL_ZERO = 128
"""The pixel that becomes 0 at the input: q = pixel - 128."""

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
    """``conv`` or ``dense``, stride 1; a dense layer after a convolution takes the feature map in
    the order (y, x, channel)."""
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
    """First to last."""
    side: int = 32
    """Rows and columns of the input image."""
    class_names: tuple[str, ...] | None = ()
    """One for each score; empty for none; None in a file that is older than these names."""

    def __post_init__(self) -> None:
        """Check every layer by itself and with the one before it; raises FormatError."""
        if self.class_names and len(self.class_names) != self.classes:
            names = len(self.class_names)
            raise FormatError(f"{self.name}: {names} class names for {self.classes} classes")
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
                raise FormatError(f"{where} has an unsupported number of bits, padding or pooling")
            limit = 1 << (layer.bits - 1)
            if layer.codes.min() < -limit or layer.codes.max() >= limit:
                raise FormatError(f"{where} holds codes of more than {layer.bits} bits")
            channels = shape[0]

    @property
    def weight_bits(self) -> int:
        """Bits that the weights take."""
        return sum(layer.codes.size * layer.bits for layer in self.layers)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return self.side, self.side, self.layers[0].codes.shape[1]

    @property
    def classes(self) -> int:
        """Scores that an image gets."""
        return len(self.layers[-1].codes)

    @property
    def pixel_rule(self) -> tuple[int, int, int]:
        """`mtjkit_export.nets.pixels.PixelRule`'s numbers: the int8 input is pixel - 128."""
        return 1, 0, 1

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
