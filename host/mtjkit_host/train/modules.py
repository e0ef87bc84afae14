"""The networks as torch modules: quantized weights and activations in training and in test.

A hidden block is convolution or dense -> batch norm -> (max pooling) -> quantizer. In
training mode it runs in whatever type autocast chooses. In eval mode it is exact: sums of
products are integers below 2^24 in float32 (float64 for 16 and 32 bits), and batch norm is
computed in float64, one rounding per operation, so that numpy repeats it bit for bit.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from mtjkit_core.geometry import CONV
from mtjkit_export.nets.fixed import PIXEL_ZERO
from torch import Tensor, nn
from torch.nn import functional

from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.quantize import (
    fixed_codes,
    fixed_values,
    quantize,
    quantize_weights,
    sign,
)
from mtjkit_host.train.write_errors import TrainingErrors


class Linear(nn.Module):
    """A convolution (padded with zeros) or a dense layer, no bias, quantized weights.

    ``weight`` holds the latent weights in [-1, 1]: ``(out, in / groups, height, width)``, padded
    by (side - 1) // 2, or ``(out, in)``. They start Kaiming-uniform, drawn from ``generator``, or
    uniform over all of [-1, 1] with ``spread``.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        bits: int,
        generator: torch.Generator,
        spread: bool = False,
        stride: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.bits = bits
        self.stride, self.groups = stride, groups
        self.padding = tuple((side - 1) // 2 for side in shape[2:])
        self.weight = nn.Parameter(torch.empty(shape))
        bound = 1.0 if spread else min(math.sqrt(6.0 / math.prod(shape[1:])), 1.0)
        nn.init.uniform_(self.weight, -bound, bound, generator=generator)

    @property
    def fan_in(self) -> int:
        """Products in one sum (without padding's zeros)."""
        return math.prod(self.weight.shape[1:])

    @property
    def glorot_factor(self) -> float:
        """sqrt((inputs + outputs) / 1.5) of one weight's layer, a convolution's times its taps.

        What Hubara et al. 2016 scale the learning rate of weights that fill [-1, 1] by (their
        code: ``W_LR_scale``): the inverse of the size Glorot and Bengio 2010 give them.
        """
        out, taps = len(self.weight), math.prod(self.weight.shape[2:])
        return math.sqrt((self.fan_in + out * taps) / 1.5)

    def quantized(self, dtype: torch.dtype) -> Tensor:
        """Return the weights as the device has them, exactly, in ``dtype``, without gradient."""
        weight = self.weight.detach()
        if self.bits == 1:
            return sign(weight).to(dtype)
        return fixed_values(fixed_codes(weight, self.bits), self.bits, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums S: ``(N, out, H, W)`` or ``(N, out)``."""
        if self.training:
            on = x.device.type
            dtype = torch.get_autocast_dtype(on) if torch.is_autocast_enabled(on) else x.dtype
            weight = quantize_weights(self.weight, self.bits, dtype)
        else:
            weight = self.quantized(x.dtype)
        sums = (
            functional.conv2d(x, weight, None, self.stride, self.padding, 1, self.groups)
            if weight.ndim == 4
            else functional.linear(x, weight)
        )
        if self.bits == 1 and not self.training:
            # The sums are integers. A GPU's Winograd kernel may miss them by a rounding error.
            sums = sums.round_()
        return sums


class BatchNorm(nn.Module):
    """Batch normalization over ``(N, C)`` or ``(N, C, H, W)`` (Ioffe and Szegedy 2015).

    In eval mode y = gamma * (S - mean) / std + beta in float64, as four separate operations in
    that order, with the numbers of `folded`: `mtjkit_host.train.lower` evaluates the same formula
    in numpy.
    """

    eps = 1e-5
    momentum = 0.1
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, bits: int = 1) -> None:
        super().__init__()
        self.bits = bits
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def folded(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return gamma, beta, mean and std of eval mode, ``(C,)`` float64.

        For 8 bits they are rounded to what int8 arithmetic holds, TFLite's for one (Jacob et al.
        2018, Sect. 2.2): y = factor * (S + offset), the factor in float32, the offset in steps of
        S, which is 2^-14. That leaves out channels without a factor, or whose offset int32 does
        not hold: they are constant, for any S that there can be.
        """
        gamma, beta, mean, var = (
            t.detach().double()
            for t in (self.weight, self.bias, self.running_mean, self.running_var)
        )
        std = torch.sqrt(var + self.eps)
        if self.bits != 8:
            return gamma, beta, mean, std
        step = 2.0**-14
        factor = (gamma / std).float().double()
        offset = torch.round((beta - gamma * mean / std) / factor / step)
        fits = offset.abs() < 2**31
        return (
            torch.where(fits, factor, gamma),
            torch.where(fits, 0.0, beta),
            torch.where(fits, -offset * step, mean),
            torch.where(fits, 1.0, std),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized x: its own type in training, float64 in eval mode."""
        if self.training:
            return functional.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                True,
                self.momentum,
                self.eps,
            )
        shape = (1, -1) + (1,) * (x.ndim - 2)
        gamma, beta, mean, std = (t.reshape(shape) for t in self.folded())
        y = x.detach() - mean  # a new float64 tensor, whatever x is
        return y.mul_(gamma).div_(std).add_(beta)


class Block(nn.Module):
    """One hidden layer: sums, batch norm, max pooling by windows of ``pool``, quantizer.

    The output is what the device writes to its feature-map memory, so errors are injected with
    a forward hook on the block that returns the changed output.
    """

    def __init__(self, linear: Linear, pool: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.linear = linear
        self.norm = BatchNorm(linear.weight.shape[0], linear.bits)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Return the quantized activations, in x's type in eval mode."""
        y = self.norm(self.linear(x))
        if self.pool != (1, 1):
            # The device pools bits with an OR, after the threshold. The quantizer never falls
            # where its input rises, so the maximum first and the quantizer second gives the
            # same bits, costs less, and sends the gradient to the true maximum.
            y = functional.max_pool2d(y, self.pool)
        if self.training:
            return quantize(y, self.linear.bits)
        if self.linear.bits == 1:
            return sign(y).to(x.dtype)
        return fixed_values(fixed_codes(y, self.linear.bits), self.linear.bits, x.dtype)


class Net(nn.Module):
    """A whole network; build it with `build_net`.

    ``blocks`` are the hidden layers, ``head`` the last dense layer. The logits are the head's
    sums times one scalar, exp(``log_scale``), which the device leaves out.
    """

    write_errors: TrainingErrors | None
    """Errors in the feature maps while training; None for none."""

    def __init__(self, spec: NetSpec, generator: torch.Generator, spread: bool = False) -> None:
        super().__init__()
        self.spec = spec
        self.write_errors = None
        *hidden, last = spec.geometry()
        blocks = []
        for layer in hidden:
            shape: tuple[int, ...] = (layer.out_channels, layer.fan_in)
            if layer.kind == CONV:
                kernel = layer.kernel_height, layer.kernel_width
                shape = (layer.out_channels, layer.in_channels // layer.groups, *kernel)
            stride = layer.stride_y, layer.stride_x
            linear = Linear(shape, spec.bits, generator, spread, stride, layer.groups)
            blocks.append(Block(linear, (layer.pool_height, layer.pool_width)))
        self.blocks = nn.ModuleList(blocks)
        self.head = Linear((spec.classes, last.fan_in), spec.bits, generator, spread)
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(last.fan_in)))

    @property
    def eval_dtype(self) -> torch.dtype:
        """The type that holds activations and sums in eval mode."""
        return torch.float32 if self.spec.bits <= 8 else torch.float64

    def inputs(self, images: Tensor) -> Tensor:
        """Turn images ``(N, H, W, C)`` into the first layer's input ``(N, C, H, W)``.

        The device's int8 input q is p - 128 for uint8, and p itself for int8. A binary net takes
        q, a fixed-point net q / 128, in [-1, 1).
        """
        dtype = torch.float32 if self.training else self.eval_dtype
        q = images.permute(0, 3, 1, 2).to(dtype)
        if images.dtype == torch.uint8:
            q = q - PIXEL_ZERO
        return q if self.spec.binary else q / PIXEL_ZERO

    def scores(self, images: Tensor) -> Tensor:
        """Return the last layer's sums S, ``(N, classes)``, for images ``(N, H, W, C)``."""
        x = self.inputs(images)
        errors = self.write_errors if self.training else None
        memory = None if errors is None else errors.memory()
        for index, block in enumerate(self.blocks):
            if cast(Block, block).linear.weight.ndim == 2 and x.ndim == 4:
                x = x.permute(0, 2, 3, 1).reshape(len(x), -1)  # (y, x, c), as on the device
            x = block(x)
            if memory is not None:
                x = memory.write(x, index)
        if x.ndim == 4:
            x = x.permute(0, 2, 3, 1).reshape(len(x), -1)
        return cast(Tensor, self.head(x))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``(N, classes)`` for images ``(N, H, W, C)``, uint8 or int8."""
        return self.scores(images) * self.log_scale.exp()

    @torch.no_grad()
    def clip_latent(self) -> None:
        """Clip the latent weights to [-1, 1]; the trainer calls it after each step."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.weight.clamp_(-1.0, 1.0)


def build_net(spec: NetSpec, seed: int = 0, spread: bool = False) -> Net:
    """Return a new network whose latent weights follow from ``seed``; ``spread``: `Linear`."""
    generator = torch.Generator().manual_seed(seed)
    return Net(spec, generator, spread)
