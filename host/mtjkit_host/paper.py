"""The paper's printed values, to stand beside ours.

Asano, Natsui, Hanyu, "Error-Tolerance-Aware Write-Energy Reduction of MTJ-Based Quantized Neural
Network Hardware", IEICE Trans. Inf. & Syst., 2024, doi 10.1587/transinf.2023LOP0007. The curves
of its Figs. 7-9 are not tabulated there, so this module has no points of these figures.
"""

from __future__ import annotations

from dataclasses import dataclass

CITATION = (
    "K. Asano, M. Natsui, T. Hanyu, “Error-Tolerance-Aware Write-Energy Reduction of MTJ-Based "
    "Quantized Neural Network Hardware”, IEICE Trans. Inf. & Syst., 2024, "
    "doi:10.1587/transinf.2023LOP0007"
)

DEGRADATIONS = (0.03, 0.30)
"""Degradation rates of accuracy that Table 2 accepts."""


@dataclass(frozen=True)
class Row:
    """One row of Table 2."""

    rate: float
    """Acceptable write-error rate of the feature maps (a share, not percent)."""
    energy_pj: float
    """Write energy of one MTJ at that rate, pJ."""
    saving_percent: float
    """Saving against the reference rate of 1e-8, percent."""


ACCURACY: dict[str, float] = {
    "Binary": 0.8507,
    "Binary_x3": 0.8662,
    "Fxp8": 0.8729,
    "Fxp16": 0.8736,
    "Fxp32": 0.8723,
}
"""Table 1: test accuracy on CIFAR-10, as a share."""

TABLE_2: dict[str, tuple[Row, Row]] = {
    "Binary": (Row(0.0240, 8.94, 79.8), Row(0.0860, 5.88, 86.7)),
    "Binary_x3": (Row(0.0240, 8.94, 79.8), Row(0.0820, 6.00, 86.4)),
    "Fxp8": (Row(0.0280, 8.57, 80.6), Row(0.0820, 6.00, 86.4)),
    "Fxp16": (Row(0.0260, 8.75, 80.2), Row(0.0720, 6.31, 85.7)),
    "Fxp32": (Row(0.0280, 8.57, 80.6), Row(0.0740, 6.24, 85.9)),
}
"""Table 2: at 3 % and at 30 % degradation."""

CONV = (128, 128, 256, 256, 512, 512)
"""Filters of the 3x3 convolutions of its nets but Binary_x3, which has three times as many."""

DENSE = (1024, 1024)
"""Units of the hidden dense layers."""

CLASSES = 10
"""Scores."""


def weights(net: str) -> int:
    """Return how many weights the paper's net has: Sect. 3, 32x32x3 input, padding 1."""
    factor = 3 if net == "Binary_x3" else 1
    total, maps = 0, 3
    for filters in CONV:
        total, maps = total + 9 * maps * filters * factor, filters * factor
    units = maps * 4 * 4  # three poolings of 32x32
    for out in (*DENSE, CLASSES):
        total, units = total + units * out, out
    return total
