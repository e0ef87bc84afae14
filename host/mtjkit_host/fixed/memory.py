"""The MTJ memory of fixed-point networks: which bits of which words fail.

A map is a row of words of 8, 16 or 32 bits, one code each, in (y, x, channel) order: element i's
code takes the bits i * bits ... (i + 1) * bits - 1 of its half of the buffer, least significant
bit first. The layers use the two halves in turn, all cells are 0 before every image, and weights
have a place of their own for each layer: the layout of firmware/MEMORY.md with wider elements.
The random streams are numpy's (no device runs these nets): one SFC64 generator for each
(seed, memory, layer, block of `BLOCK` images), so that a result does not depend on how the images
are shared out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from mtjkit_core.memory import CERTAIN, FLIP

Codes = npt.NDArray[Any]
"""Integer codes: int8, int16 or int32."""

BLOCK = 50
"""Images that draw from one generator."""

_SKIP_BELOW = 0.08
"""Error rate under which drawing the gaps between errors costs less than drawing every bit."""


def generator(seed: int, memory: int, layer: int, block: int) -> np.random.Generator:
    """Return the random stream of one place.

    Args:
        seed: of the run, 0 <= seed < 2**64.
        memory: mtjkit_core.random.BUFFER or WEIGHTS.
        layer: number of the layer, from 0.
        block: index of the image in the data, divided by `BLOCK`; 0 for weights.
    """
    entropy = [seed & 0xFFFFFFFF, seed >> 32, memory, layer, block]
    return np.random.Generator(np.random.SFC64(entropy))


def error_masks(rng: np.random.Generator, count: int, bits: int, threshold: int) -> Codes:
    """Draw which bits of `count` words fail, each with probability exactly threshold / 2**32.

    Args:
        rng: the place's stream.
        count: number of words.
        bits: of a word: 8, 16 or 32.
        threshold: error rate as an integer, 0 .. 2**32.

    Returns:
        (count,) uint8, uint16 or uint32: ones where a bit fails.
    """
    words = -(-count * bits // 64)
    if threshold in (0, CERTAIN):
        filled = np.full(words, 0 if threshold == 0 else ~np.uint64(0), np.uint64)
    elif threshold < _SKIP_BELOW * CERTAIN:
        filled = _by_gaps(rng, words, threshold)
    else:
        filled = _by_digits(rng, words, threshold)
    masks: Codes = filled.view(f"<u{bits // 8}")[:count]
    return masks


def _by_gaps(rng: np.random.Generator, words: int, threshold: int) -> npt.NDArray[np.uint64]:
    """Jump from error to error: the gaps of independent errors are geometric."""
    rate = threshold / CERTAIN
    total = 64 * words
    at = -1
    parts = []
    while at < total:
        expected = (total - at) * rate
        gaps = rng.geometric(rate, int(expected + 4 * expected**0.5) + 4)
        positions = at + np.cumsum(gaps)
        at = int(positions[-1])
        parts.append(positions)
    positions = np.concatenate(parts)
    bits = np.zeros(total, np.uint8)
    bits[positions[positions < total]] = 1
    return np.packbits(bits, bitorder="little").view("<u8")


def _by_digits(rng: np.random.Generator, words: int, threshold: int) -> npt.NDArray[np.uint64]:
    """Compare every bit's own 32-digit random number with the threshold, last digit first.

    A bit fails where the number is below the threshold. From the last digit to the first, "below
    so far" becomes (digit 0 or below) where the threshold has a 1, (digit 0 and below) where it
    has a 0; the zeros at the threshold's end decide nothing and are not drawn.
    """
    below = np.zeros(words, np.uint64)
    for digit in range((threshold & -threshold).bit_length() - 1, 32):
        drawn = rng.integers(0, 1 << 64, words, np.uint64)  # a random digit's complement
        if threshold >> digit & 1:
            below |= drawn
        else:
            below &= drawn
    return below


def write(cells: Codes, intended: Codes, masks: Codes, errors: int) -> tuple[int, int]:
    """Write codes into cells with errors.

    Args:
        cells: the old codes, replaced by what is stored.
        intended: the codes to write, of the same shape and type.
        masks: failing bits, unsigned, of the same shape and size.
        errors: mtjkit_core.memory.FLIP or KEEP.

    Returns:
        Bits toggled (old differs from intended) and bits wrong (stored differs from intended).
    """
    toggled = cells.view(masks.dtype) ^ intended.view(masks.dtype)
    wrong = masks if errors == FLIP else masks & toggled
    np.bitwise_xor(intended, wrong.view(intended.dtype), out=cells)
    return ones(toggled), ones(wrong)


def ones(words: Codes) -> int:
    """Number of ones in an array of unsigned words."""
    return int(np.bitwise_count(words).sum(dtype=np.int64))
