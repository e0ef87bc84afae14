"""Random crops and mirror images, drawn for a whole batch at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtjkit_host.datasets.cifar10 import Images

PAD = 4
"""Rows and columns added on every side before the crop."""
PAD_VALUE = 128
"""The pixel that becomes 0 at the net's input."""

_ORDER, _AUGMENT = 0, 1


def pad_images(images: Images) -> Images:
    """Return images ``(N, H, W, C)`` with 4 grey pixels on every side."""
    return np.pad(images, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)), constant_values=PAD_VALUE)


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order ``(count,)`` in which epoch number ``epoch`` visits the images."""
    return np.random.default_rng((seed, epoch, _ORDER)).permutation(count)


def augment_rng(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator of an epoch's crops and flips."""
    return np.random.default_rng((seed, epoch, _AUGMENT))


def crop_and_flip(
    padded: Images, chosen: npt.NDArray[np.int64], rng: np.random.Generator
) -> Images:
    """Cut one random window from each chosen image and mirror every second one, by chance.

    ``padded`` is the result of `pad_images`, ``chosen`` ``(B,)`` indices into it. Returns
    ``(B, H, W, C)``. Draws from ``rng``: B row offsets, B column offsets (0 to 8), B flips.
    """
    count = len(chosen)
    height, width = padded.shape[1] - 2 * PAD, padded.shape[2] - 2 * PAD
    rows = rng.integers(0, 2 * PAD + 1, count)[:, None] + np.arange(height)
    columns = rng.integers(0, 2 * PAD + 1, count)[:, None] + np.arange(width)
    flipped = rng.integers(0, 2, count).astype(bool)
    columns[flipped] = columns[flipped, ::-1]
    return padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
