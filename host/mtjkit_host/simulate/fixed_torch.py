"""The simulator of fixed-point networks: integer codes in, integer codes out, errors between.

A hidden layer computes S, the sum of products of values (code / 2^(bits-1)); y = batch norm of S
in float64, one rounding an operation; 2x2 max pooling where the layer has it; then the code
clip(rint(y * 2^(bits-1)), -2^(bits-1), 2^(bits-1) - 1), halves to even. So does the trained net
in eval mode (`mtjkit_host.train.modules`).

Every S is exact, or, where it takes more than 53 bits (hidden layers of 32 bits), the exact sum
rounded once to float64. Two engines give the same bits: compiled C (`fixed_native`), and torch,
the plain reference, which needs no compiler.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from mtjkit_core.bits import words_for
from mtjkit_core.errors import ConfigError
from mtjkit_core.streams import BUFFER, WEIGHTS
from mtjkit_core.write_errors import COUNTS, NO_ERRORS, WriteErrors
from mtjkit_export.nets.fixed import FixedLayer, FixedNet
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d

from mtjkit_host.simulate import compile
from mtjkit_host.simulate import fixed_memory as memory
from mtjkit_host.simulate import fixed_native as native
from mtjkit_host.simulate.fixed_memory import pack, unpack
from mtjkit_host.simulate.fixed_native import Codes
from mtjkit_host.train.modules import PIXEL_ZERO

ENGINES = ("auto", "native", "torch")

_IMAGES = 50  # computed together
_PART = 4  # images of one float64 convolution


class _Layer(Protocol):
    """What TorchLayer and NativeLayer both are."""

    def codes(self, inputs: Codes) -> Codes:
        """Output codes (n, y, x, channel) or (n, channel) of a hidden layer."""
        ...

    def values(self, inputs: Codes) -> npt.NDArray[np.float64]:
        """Sums S in values."""
        ...


class FixedTwin:
    """A fixed-point network on the host.

    Args:
        net: the network.
        engine: ``native`` (needs a C compiler, or a library built earlier), ``torch``, or
            ``auto``: the first that works here. They give the same bits.

    Raises:
        ConfigError: the engine is unknown, or cannot run here.
    """

    def __init__(self, net: FixedNet, engine: str = "auto") -> None:
        if engine not in ENGINES:
            raise ConfigError(f"engine {engine!r} is unknown: {', '.join(ENGINES)}")
        if engine == "auto":
            engine = "native" if compile.available() else "torch"
        self.net = net
        self.engine = engine
        self._dtype = np.dtype(f"<i{net.bits // 8}")
        kind = native.NativeLayer if engine == "native" else TorchLayer
        self._write = native.write if engine == "native" else memory.write
        self._layers: list[_Layer] = [kind(layer) for layer in net.layers]

    def corrupted(self, errors: WriteErrors) -> tuple[FixedTwin, int, int]:
        """Write the weights into MTJ cells once, with errors.

        Args:
            errors: the error process of the weights; that of feature maps takes no part.

        Returns:
            The twin with the stored weights, the bits written, the bits that ended up wrong.
        """
        errors.check_layers(len(self.net.layers))
        codes, wrong = [], 0
        for index, layer in enumerate(self.net.layers):
            # As in memory, (out, y, x, in) order: the run of one place's channels.
            order = np.moveaxis(layer.codes, 1, -1).astype(self._dtype)
            intended = pack(order.reshape(1, -1))
            cells = np.zeros_like(intended)  # all cells in the P state
            place = (errors, 0, WEIGHTS, index)
            wrong += int(self._write(cells, intended, order.size * self.net.bits, *place)[2])
            stored = unpack(cells, order.size, self.net.bits).astype(np.int32)
            codes.append(np.ascontiguousarray(np.moveaxis(stored.reshape(order.shape), -1, 1)))
        return FixedTwin(self.net.with_codes(codes), self.engine), self.net.weight_bits, wrong

    def run(
        self,
        images: npt.NDArray[np.uint8],
        first: int = 0,
        errors: WriteErrors = NO_ERRORS,
        trace: list[list[Codes]] | None = None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Classify images through the memory.

        Args:
            images: uint8 (n, side, side, channels) RGB.
            first: index of the first image in the data.
            errors: the error process of the feature maps; that of weights takes no part.
            trace: None, or a list that receives for every 50 images the stored codes of every
                hidden layer, (n, elements) in (y, x, channel) order.

        Returns:
            Scores S (n, classes) in values, and counts of all images (5,): write_errors.COUNTS.

        Raises:
            ConfigError: the images have another shape than the net's input, or the limits are
                those of another number of layers.
        """
        errors.check_layers(len(self.net.layers))
        expected = (self.net.side, self.net.side, self.net.layers[0].codes.shape[1])
        if images.shape[1:] != expected or images.dtype != np.uint8:
            raise ConfigError(
                f"images are {images.dtype} {images.shape[1:]}, the net takes uint8 {expected}"
            )
        scores = [np.empty((0, len(self.net.layers[-1].codes)))]
        counts = np.zeros(len(COUNTS), np.int64)
        for at in range(0, len(images), _IMAGES):
            some = images[at : at + _IMAGES]
            part, bits, maps = self._some(some, first + at, errors)
            scores.append(part)
            counts += bits
            if trace is not None:
                trace.append(maps)
        return np.concatenate(scores), counts

    def _some(
        self, images: npt.NDArray[np.uint8], first: int, errors: WriteErrors
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], list[Codes]]:
        n, bits = len(images), self.net.bits
        words = [words_for(elements * bits) for elements in self.net.map_elements()]
        halves = [  # all cells in the P state before every image
            np.zeros((n, max(words[half::2], default=0)), np.uint32) for half in (0, 1)
        ]
        counts = np.zeros(len(COUNTS), np.int64)
        maps: list[Codes] = []
        codes: Codes = (images.astype(np.int16) - PIXEL_ZERO).astype(np.int8)
        for index, layer in enumerate(self._layers[:-1]):
            intended = layer.codes(codes)
            size = intended[0].size
            cells = halves[index & 1][:, : words[index]]
            place = (errors, first, BUFFER, index)
            counts += self._write(cells, pack(intended.reshape(n, -1)), size * bits, *place)
            maps.append(unpack(cells, size, bits))
            codes = maps[-1].reshape(intended.shape)
        return self._layers[-1].values(codes), counts, maps


class TorchLayer:
    """One layer in torch: the plain reference of `fixed_native.NativeLayer`."""

    def __init__(self, layer: FixedLayer) -> None:
        self.g = layer
        codes = torch.from_numpy(layer.codes)
        # No partial sum is larger, whatever the inputs are.
        top = float(codes.double().abs().flatten(1).sum(1).max()) * 2.0 ** (layer.input_bits - 1)
        self.scale = 0.5 ** (layer.bits - 1 + layer.input_bits - 1)
        dtype = torch.float32 if top <= 1 << 24 else torch.float64
        self.halves = None if top <= 1 << 53 else [half.double() for half in _halves(codes)]
        self.weights = codes.to(dtype)
        if layer.norm is not None:
            shape = (-1, 1, 1) if layer.kind == "conv" else (-1,)
            norm = (layer.norm.mean, layer.norm.gamma, layer.norm.std, layer.norm.beta)
            self.mean, self.gamma, self.std, self.beta = (
                torch.from_numpy(np.ascontiguousarray(part)).reshape(shape) for part in norm
            )

    @torch.no_grad()
    def codes(self, inputs: Codes) -> Codes:
        """Output codes, (n, y, x, channel) or (n, channel); inputs as in `values`."""
        y = self._values(inputs).sub_(self.mean).mul_(self.gamma).div_(self.std).add_(self.beta)
        if self.g.pool == 2:
            y = max_pool2d(y, 2)  # the quantizer never falls where its input rises
        one = 1 << (self.g.bits - 1)
        y = y.mul_(one).round_().clamp_(-one, one - 1)
        codes: Codes = _channel_last(y).numpy().astype(f"<i{self.g.bits // 8}", order="C")
        return codes

    @torch.no_grad()
    def values(self, inputs: Codes) -> npt.NDArray[np.float64]:
        """Sums S in values, each rounded once, (n, y, x, out) or (n, out).

        Args:
            inputs: codes (n, y, x, channel), or (n, elements) for a dense layer.
        """
        sums: npt.NDArray[np.float64] = _channel_last(self._values(inputs)).numpy()
        return sums

    def _values(self, inputs: Codes) -> Tensor:
        codes = torch.from_numpy(inputs)
        if self.halves is not None:
            high, low = (half.double() for half in _halves(codes))
            w_high, w_low = self.halves
            hh, ll = self._sums(high, w_high), self._sums(low, w_low)
            mixed = self._sums(high + low, w_high + w_low) - hh - ll
            # S = hh 2^32 + mixed 2^16 + ll, regrouped as a 2^32 + b with 0 <= b < 2^32: both
            # products are exact in float64, so their sum is the exact S rounded once.
            rest = (mixed.long() << 16) + ll.long()
            total = (hh.long() + (rest >> 32)).double() * 2.0**32
            return total.add_((rest & 0xFFFFFFFF).double()).mul_(self.scale)
        return self._sums(codes.to(self.weights.dtype), self.weights).double().mul_(self.scale)

    def _sums(self, x: Tensor, weights: Tensor) -> Tensor:
        if self.g.kind == "dense":
            return linear(x.reshape(len(x), -1), weights)
        maps = x.permute(0, 3, 1, 2).contiguous()
        # In float64 torch makes a matrix of every window first: small parts stay in the cache.
        part = len(maps) if x.dtype == torch.float32 else _PART
        sums = [conv2d(some, weights, padding=self.g.padding) for some in maps.split(part)]
        return torch.cat(sums)


def _channel_last(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1) if maps.ndim == 4 else maps


def _halves(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Split codes into high (signed) and low (0 .. 65535) 16-bit halves."""
    wide: Any = codes.long()
    return wide >> 16, wide & 0xFFFF
