"""The simulator of fixed-point networks: integer codes in, integer codes out, errors between.

A hidden layer computes S, the sum of products of values (code / 2^(bits-1)); y = batch norm of S
in float64, one rounding an operation; 2x2 max pooling where the layer has it; then the code
clip(rint(y * 2^(bits-1)), -2^(bits-1), 2^(bits-1) - 1), halves to even. So does the trained net
in eval mode (`mtjkit_host.train.nets`).

How S is summed follows from a bound on its size, whatever the inputs are: the largest sum of
|weight codes| of an output, times the largest input code.

- up to 2^24: float32, exact; up to 2^53: float64, exact (every partial sum is such an integer);
- beyond (hidden layers of 32 bits): ``sums="float64"`` adds in float64, which is off by less than
  `FixedTwin.sum_error` (0.03 steps of the output code at width `small`: a code differs by one
  step where y falls that close to a rounding limit); ``sums="exact"`` splits weights and inputs
  into 16-bit halves whose sums are exact, and rounds their total once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mtjkit_core.errors import ConfigError
from mtjkit_core.memory import FLIP
from mtjkit_core.random import BUFFER, WEIGHTS
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d

from mtjkit_host.fixed.memory import BLOCK, Codes, error_masks, generator, write
from mtjkit_host.fixed.net import FixedNet
from mtjkit_host.train.lower import FixedLayer
from mtjkit_host.train.nets import PIXEL_ZERO

SUMS = ("float64", "exact")

_PART = 4  # images of one float64 convolution


class FixedTwin:
    """A fixed-point network on the host.

    Args:
        net: the network.
        sums: how sums that no double holds exactly are added: ``float64`` or ``exact``.

    Raises:
        ConfigError: `sums` is something else.
    """

    def __init__(self, net: FixedNet, sums: str = "float64") -> None:
        if sums not in SUMS:
            raise ConfigError(f"sums are {' or '.join(SUMS)}, not {sums!r}")
        self.net = net
        self.sums = sums
        self._dtype = np.dtype(f"<i{net.bits // 8}")
        self._layers = [_Layer(layer, sums) for layer in net.layers]

    @property
    def exact(self) -> bool:
        """Whether every sum is exact (or the exact sum rounded once)."""
        return all(layer.method != "rounded" for layer in self._layers)

    @property
    def sum_error(self) -> float:
        """Bound on a hidden sum's error from float64 rounding, in steps of the output code.

        gamma_n * sum|w| * |gamma / std| * 2^(bits-1), with gamma_n = n u / (1 - n u), u = 2^-53
        (Higham, Accuracy and Stability of Numerical Algorithms, 2002, Sect. 3.1). 0 if exact.
        """
        return max(layer.sum_error for layer in self._layers)

    def corrupted(self, seed: int, threshold: int, errors: int) -> tuple[FixedTwin, int, int]:
        """Write the weights into MTJ cells once, with errors.

        Args:
            seed, errors: see `run`.
            threshold: weight error rate, mtjkit_core.memory.threshold_from_rate.

        Returns:
            The twin with the stored weights, the bits written, the bits that ended up wrong.
        """
        codes, wrong = [], 0
        for index, layer in enumerate(self.net.layers):
            # As in memory, (out, y, x, in) order: the run of one place's channels.
            order = np.moveaxis(layer.codes, 1, -1).astype(self._dtype)
            intended = np.ascontiguousarray(order).reshape(-1)
            rng = generator(seed, WEIGHTS, index, 0)
            masks = error_masks(rng, intended.size, self.net.bits, threshold)
            cells = np.zeros_like(intended)  # all cells in the P state
            wrong += write(cells, intended, masks, errors)[1]
            stored = cells.astype(np.int32).reshape(order.shape)
            codes.append(np.ascontiguousarray(np.moveaxis(stored, -1, 1)))
        return FixedTwin(self.net.with_codes(codes), self.sums), self.net.weight_bits, wrong

    def run(
        self,
        images: npt.NDArray[np.uint8],
        first: int = 0,
        seed: int = 0,
        threshold: int = 0,
        errors: int = FLIP,
        trace: list[list[Codes]] | None = None,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Classify images through the memory.

        Args:
            images: uint8 (n, side, side, channels) RGB.
            first: index of the first image in the data.
            seed: 0 <= seed < 2**64.
            threshold: feature-map error rate, mtjkit_core.memory.threshold_from_rate.
            errors: mtjkit_core.memory.FLIP or KEEP.
            trace: None, or a list that receives for each block of images the stored codes of
                every hidden layer, (n, elements) in (y, x, channel) order.

        Returns:
            Scores S (n, classes) in values, and bits [written, toggled, wrong] of all images.

        Raises:
            ConfigError: the images have another shape than the net's input.
        """
        expected = (self.net.side, self.net.side, self.net.layers[0].codes.shape[1])
        if images.shape[1:] != expected or images.dtype != np.uint8:
            raise ConfigError(
                f"images are {images.dtype} {images.shape[1:]}, the net takes uint8 {expected}"
            )
        scores = []
        counts = np.zeros(3, np.int64)
        at = 0
        while at < len(images):
            block, skipped = divmod(first + at, BLOCK)
            some = images[at : at + BLOCK - skipped]
            part, bits, maps = self._block(some, block, skipped, seed, threshold, errors)
            scores.append(part)
            counts += bits
            if trace is not None:
                trace.append(maps)
            at += len(some)
        if not scores:
            return np.empty((0, len(self.net.layers[-1].codes))), counts
        return np.concatenate(scores), counts

    @torch.no_grad()
    def _block(
        self,
        images: npt.NDArray[np.uint8],
        block: int,
        skipped: int,
        seed: int,
        threshold: int,
        errors: int,
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], list[Codes]]:
        n = len(images)
        elements = self.net.map_elements()
        halves = [  # all cells in the P state before every image
            np.zeros((n, max(elements[half::2], default=0)), self._dtype) for half in (0, 1)
        ]
        counts = np.array([n * self.net.map_bits, 0, 0], np.int64)
        maps: list[Codes] = []
        codes = torch.from_numpy(images.astype(np.int16) - PIXEL_ZERO)
        for index, layer in enumerate(self._layers[:-1]):
            out = layer.codes(codes)  # (n, y, x, channel) or (n, channel)
            intended = out.reshape(n, -1).numpy().astype(self._dtype)
            cells = halves[index & 1][:, : intended.shape[1]]
            rng = generator(seed, BUFFER, index, block)
            size = intended.shape[1]
            masks = error_masks(rng, (skipped + n) * size, self.net.bits, threshold)
            masks = masks.reshape(-1, size)[skipped:]
            bits = write(cells, intended, masks, errors)
            counts[1:] += bits
            maps.append(cells.copy())
            codes = torch.from_numpy(maps[-1]).reshape(out.shape)
        return self._layers[-1].values(codes).numpy(), counts, maps


class _Layer:
    """One layer's weights in the type that sums them, and its batch norm."""

    def __init__(self, layer: FixedLayer, sums: str) -> None:
        self.g = layer
        codes = torch.from_numpy(layer.codes)
        magnitude = float(codes.double().abs().flatten(1).sum(1).max())
        top = magnitude * 2.0 ** (layer.input_bits - 1)
        self.scale = 0.5 ** (layer.bits - 1 + layer.input_bits - 1)
        self.sum_error = 0.0
        self.dtype = torch.float64
        if top <= 1 << 24:
            self.method, self.dtype = "exact", torch.float32
        elif top <= 1 << 53:
            self.method = "exact"
        elif sums == "exact":
            self.method = "halves"
            self.halves = [half.double() for half in _halves(codes)]
        else:
            self.method = "rounded"
            self.sum_error = self._rounding(magnitude)
        self.weights = codes.to(self.dtype)
        if layer.norm is not None:
            shape = (-1, 1, 1) if layer.kind == "conv" else (-1,)
            norm = (layer.norm.mean, layer.norm.gamma, layer.norm.std, layer.norm.beta)
            self.mean, self.gamma, self.std, self.beta = (
                torch.from_numpy(np.ascontiguousarray(part)).reshape(shape) for part in norm
            )

    def _rounding(self, magnitude: float) -> float:
        n = self.g.codes[0].size * 2.0**-53
        slope = 1.0
        if self.g.norm is not None:
            slope = float(np.max(np.abs(self.g.norm.gamma / self.g.norm.std)))
        # magnitude is sum|w| in weight codes, and |x| <= 1: the sum in values, then in steps.
        return float(n / (1 - n) * magnitude * slope)

    def codes(self, inputs: Tensor) -> Tensor:
        """Output codes, float64 whole numbers, (n, y, x, channel) or (n, channel)."""
        y = self.values(inputs).sub_(self.mean).mul_(self.gamma).div_(self.std).add_(self.beta)
        if self.g.pool == 2:
            y = max_pool2d(y, 2)  # the quantizer never falls where its input rises
        one = 1 << (self.g.bits - 1)
        y = y.mul_(one).round_().clamp_(-one, one - 1)
        return y.permute(0, 2, 3, 1) if y.ndim == 4 else y

    def values(self, inputs: Tensor) -> Tensor:
        """Sums S in values, float64, (n, out, y, x) or (n, out), of codes (n, y, x, channel)."""
        if self.method == "halves":
            high, low = (half.double() for half in _halves(inputs))
            w_high, w_low = self.halves
            hh, ll = self._sums(high, w_high), self._sums(low, w_low)
            mixed = self._sums(high + low, w_high + w_low) - hh - ll
            # S = hh 2^32 + mixed 2^16 + ll, regrouped as a 2^32 + b with 0 <= b < 2^32: both
            # products are exact in float64, so their sum is the exact S rounded once.
            rest = (mixed.long() << 16) + ll.long()
            total = (hh.long() + (rest >> 32)).double() * 2.0**32
            return total.add_((rest & 0xFFFFFFFF).double()).mul_(self.scale)
        return self._sums(inputs.to(self.dtype), self.weights).double().mul_(self.scale)

    def _sums(self, x: Tensor, weights: Tensor) -> Tensor:
        if self.g.kind == "dense":
            return linear(x.reshape(len(x), -1), weights)
        maps = x.permute(0, 3, 1, 2).contiguous()
        # In float64 torch makes a matrix of every window first: small parts stay in the cache.
        part = len(maps) if x.dtype == torch.float32 else _PART
        sums = [conv2d(some, weights, padding=self.g.padding) for some in maps.split(part)]
        return torch.cat(sums)


def _halves(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Split codes into high (signed) and low (0 .. 65535) 16-bit halves."""
    wide: Any = codes.long()
    return wide >> 16, wide & 0xFFFF
