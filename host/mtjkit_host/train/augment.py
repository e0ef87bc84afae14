"""Random crops and mirror images, drawn for a whole epoch at once and cut on any device.

All chance comes from numpy's generators, so a (seed, epoch) gives the same pictures on a CPU and
on a GPU; the pixels are gathered where the data lie.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

PAD = 4
"""Rows and columns added on every side before the crop."""
PAD_VALUE = 128
"""The pixel that becomes 0 at the net's input."""

AUGMENTS = {"none": (0, False), "crop": (PAD, False), "flip": (0, True), "crop,flip": (PAD, True)}
"""Augmentation -> rows and columns added on every side, whether images are mirrored."""

_ORDER, _AUGMENT = 0, 1

CHOSEN, ROW, COLUMN, MIRRORED = range(4)
"""Rows of a batch's plan: number of the image, offsets of its crop, 1 where it is mirrored."""


def pad_images(images: Tensor, pad: int = PAD) -> Tensor:
    """Return images ``(N, H, W, C)`` with ``pad`` grey pixels on every side, or int8 zeros."""
    value = PAD_VALUE if images.dtype == torch.uint8 else 0
    return functional.pad(images, (0, 0, pad, pad, pad, pad), value=value) if pad else images


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order ``(count,)`` in which epoch number ``epoch`` visits the images."""
    return np.random.default_rng((seed, epoch, _ORDER)).permutation(count)


def epoch_plan(
    count: int, batch: int, seed: int, epoch: int, augment: str = "crop,flip"
) -> npt.NDArray[np.int32]:
    """Draw an epoch: which images each step sees, and how they are cropped and mirrored.

    Returns int32 ``(count // batch, 4, batch)``, the rows being CHOSEN, ROW and COLUMN (0 to 8,
    without crops 0) and MIRRORED (0 or 1). Each step draws its row offsets, column offsets and
    flips in turn.
    """
    pad, mirror = AUGMENTS[augment]
    steps = count // batch
    order = epoch_order(count, seed, epoch)[: steps * batch].reshape(steps, batch)
    rng = np.random.default_rng((seed, epoch, _AUGMENT))
    plan = np.empty((steps, 4, batch), np.int32)
    plan[:, CHOSEN] = order
    for step in plan:
        step[ROW] = rng.integers(0, 2 * pad + 1, batch)
        step[COLUMN] = rng.integers(0, 2 * pad + 1, batch)
        step[MIRRORED] = rng.integers(0, 1 + mirror, batch)
    return plan


def crop_and_flip(padded: Tensor, plan: Tensor, pad: int = PAD) -> Tensor:
    """Cut one window from each chosen image and mirror some.

    Args:
        padded: result of `pad_images`, ``(N, H + 2 pad, W + 2 pad, C)``.
        plan: one batch of `epoch_plan`, ``(4, B)``, on the same device.
        pad: what `pad_images` added on every side.

    Returns:
        ``(B, H, W, C)``.
    """
    plan = plan.long()
    height, width = padded.shape[1] - 2 * pad, padded.shape[2] - 2 * pad
    down = torch.arange(height, dtype=plan.dtype, device=plan.device)
    across = torch.arange(width, dtype=plan.dtype, device=plan.device)
    mirrored = plan[MIRRORED, :, None].bool()
    rows = plan[ROW, :, None] + down
    columns = plan[COLUMN, :, None] + torch.where(mirrored, width - 1 - across, across)
    return padded[plan[CHOSEN, :, None, None], rows[:, :, None], columns[:, None, :]]
