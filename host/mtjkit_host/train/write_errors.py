"""Write errors in a binary net's feature maps while it trains, so that it learns to bear them.

The memory is that of firmware/MEMORY.md: two halves, erased before every image or full of random
bits, layer l in half l mod 2. The draws are torch's own, not the device's: training needs the
rates, not the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_WORD_BITS = 32


class _Store(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, wrong: Tensor) -> Tensor:
        return torch.where(wrong, -x, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def store(x: Tensor, wrong: Tensor) -> Tensor:
    """Return +-1 as it is stored: the other value where ``wrong``, x elsewhere.

    Backward: dL/dx = dL/dy, straight through the error, as through the sign before it.
    """
    result: Tensor = _Store.apply(x, wrong)
    return result


class TrainingErrors:
    """The error rates of a training run and the stream that failures are drawn from.

    Args:
        rates: of each hidden layer's writes, 0 to 1.
        keep: a failed write leaves the old bit, as in a real cell; otherwise every written bit
            may be wrong, the paper's pessimistic ``flip``.
        device: where the net is.
        reused: cells hold random bits before an image; otherwise they are erased.
    """

    def __init__(
        self, rates: Sequence[float], keep: bool, device: torch.device, reused: bool = False
    ) -> None:
        self.rates = torch.tensor(rates, dtype=torch.float32, device=device)
        self.share = torch.ones((), device=device)  # of the rates, while they rise
        self.keep = keep
        self.reused = reused
        self.generator = torch.Generator(device)

    def memory(self) -> BufferMemory:
        """Return the memory as it is before a batch of images."""
        return BufferMemory(self)


class BufferMemory:
    """Both halves of the buffer memory of a batch of images, cells as -1 (P) and +1 (AP)."""

    def __init__(self, errors: TrainingErrors) -> None:
        self._errors = errors
        self._halves: list[Tensor | None] = [None, None]

    def write(self, x: Tensor, layer: int) -> Tensor:
        """Return a layer's map ``(B, C, H, W)`` or ``(B, C)`` of -1 and +1 as it is stored."""
        errors = self._errors
        rate = errors.rates[layer] * errors.share
        drawn = torch.empty_like(x, dtype=torch.float32).uniform_(generator=errors.generator)
        failed = drawn < rate
        if not errors.keep:
            return store(x, failed)
        stored = store(x, failed & (self._old(x, layer) != x))
        self._halves[layer % 2] = self._over(_run(stored.detach()), layer)
        return stored

    def _old(self, x: Tensor, layer: int) -> Tensor:
        """The bits where the map ``x`` goes, in its shape."""
        run = _run(x.detach())
        old = self._fit(self._halves[layer % 2], run)
        channels = x.shape[1]
        if x.ndim == 2:
            return old[:, :channels]
        height, width = x.shape[2:]
        pixels = old.reshape(len(x), height, width, -1)
        return pixels[..., :channels].permute(0, 3, 1, 2)

    def _over(self, run: Tensor, layer: int) -> Tensor:
        """A half after a run was written from its word 0; what lies behind it stays."""
        cells = self._halves[layer % 2]
        if cells is None or cells.shape[1] <= run.shape[1]:
            return run
        return torch.cat([run, cells[:, run.shape[1] :]], 1)

    def _fit(self, cells: Tensor | None, run: Tensor) -> Tensor:
        """The cells where a run goes; those that were not written yet are as before the image."""
        bits = run.shape[1]
        written = run[:, :0] if cells is None else cells[:, :bits]
        missing = bits - written.shape[1]
        return torch.cat([written, self._before(run[:, :missing])], 1) if missing else written

    def _before(self, like: Tensor) -> Tensor:
        errors = self._errors
        if not errors.reused:
            return torch.full_like(like, -1.0)
        drawn = torch.empty_like(like, dtype=torch.float32).uniform_(generator=errors.generator)
        return torch.where(drawn < 0.5, -1.0, 1.0).to(like.dtype)


def _run(x: Tensor) -> Tensor:
    """A map in the order of its cells, ``(B, bits)``: (y, x, channel), whole words a pixel."""
    pixels = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
    spare = -pixels.shape[-1] % _WORD_BITS
    if spare:
        pixels = functional.pad(pixels, (0, spare), value=-1.0)
    return pixels.reshape(len(x), -1)
