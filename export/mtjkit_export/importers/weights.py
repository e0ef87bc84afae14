"""A linear operator's weights: one factor for each output times -1 and +1, or times int8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtjkit_export.importers.graph import Array, Node, refuse

RESIDUE = 1e-4
"""A straight-through estimator, a - c + c in float32, leaves weights that differ from -x and +x by
a smaller share than this."""


@dataclass(frozen=True)
class Weights:
    """What a linear operator multiplies with: `factor` x `numbers`."""

    numbers: NDArray[np.int8]
    """(out, ...), -1 and +1, or int8."""
    factor: NDArray[np.float64]
    """(out,), each above 0."""
    bits: int
    """1 or 8."""
    original: NDArray[np.float32] | None = None
    """Weights that were rounded to int8; None if the numbers are exact."""
    residue: bool = False
    """The weights were -factor and +factor only up to float32's rounding."""


def split(w: Array, node: Node, binarize: bool = False, quantize: bool = False) -> Weights:
    """Split weights (out, ...) into a factor for each output and small whole numbers.

    Args:
        w: float weights, quantized already.
        node: for the message.
        binarize: take the signs of weights that are neither; 0 counts as +1.
        quantize: round weights that are neither to int8, a step for each output.

    Raises:
        ConfigError: they are neither +-factor nor int8 x factor.
    """
    if not w.size or not np.isfinite(w).all():
        raise refuse(f"{node} has weights that are not finite numbers")
    rows = w.reshape(len(w), -1).astype(np.float64)
    size = np.abs(rows)
    factor = size.max(axis=1)
    signs = np.where(w >= 0, 1, -1).astype(np.int8)
    if factor.all() and (size == factor[:, None]).all():
        return Weights(signs, factor, 1)
    if binarize:
        return Weights(signs, np.ones(len(w)), 1)
    if (size >= factor[:, None] * (1 - RESIDUE)).all() and factor.all():
        middle = np.median(size, axis=1).astype(np.float32).astype(np.float64)
        return Weights(signs, middle, 1, residue=True)
    found = _int8(rows)
    if found is not None:
        return Weights(found[0].reshape(w.shape).astype(np.int8), found[1], 8)
    if quantize:
        step = np.where(size.max(axis=1) > 0, size.max(axis=1) / 127, 1.0)
        numbers = np.rint(rows / step[:, None]).reshape(w.shape).astype(np.int8)
        return Weights(numbers, step.astype(np.float32).astype(np.float64), 8, w)
    distinct, zeros = len(np.unique(w)), int((w == 0).sum())
    raise refuse(
        f"{node} has weights that are not -x and +x ({distinct} values, {zeros} zeros): weights of "
        "more than one bit, or an export that lost their sign; --binarize takes the signs, and "
        "--check DATA (in Python images=) allows int8 for them in the first and the last layer"
    )


def _int8(rows: NDArray[np.float64]) -> tuple[Array, NDArray[np.float64]] | None:
    """Rows as int8 times one factor for each row, exactly; None if they are not."""
    numbers = np.empty(rows.shape)
    factors = np.empty(len(rows))
    for i, row in enumerate(rows):
        values = np.unique(np.abs(row))
        values = values[values > 0]
        if not len(values):
            numbers[i], factors[i] = 0, 1.0
            continue
        steps = np.diff(np.concatenate([[0.0], values]))
        for step in (1.0, values[-1] / 127, values[-1] / 128, steps[steps > 0].min()):
            whole = np.rint(row / step)
            exact = np.float32(step)
            near = np.abs(whole * float(exact) - row) <= 2e-7 * np.abs(row)
            if near.all() and np.abs(whole).max() <= 127:
                numbers[i], factors[i] = whole, float(exact)
                break
        else:
            return None
    return numbers, factors
