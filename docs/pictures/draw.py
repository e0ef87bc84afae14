"""Draws the pictures of docs/concepts.md beside itself, from the code's own numbers.

.venv/bin/python docs/pictures/draw.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("host", "export", "firmware/micropython/lib")]

import mtjkit  # noqa: E402
from mtjkit_host.paths import CARRIED_MODEL  # noqa: E402

BLUE, ORANGE, RED, GREY = "#0072b2", "#d55e00", "#b2182b", "#777777"
matplotlib.rcParams.update({"svg.hashsalt": "mtjkit", "svg.fonttype": "none", "font.size": 10})


def main() -> None:
    """Draw all four."""
    for draw in (write_error, flip_and_keep, energy, bits):
        figure = draw()
        path = HERE / f"{draw.__name__.replace('_', '-')}.svg"
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
        print(path.relative_to(ROOT))


def write_error() -> plt.Figure:
    """Write-error rate over pulse width, and what two pulses cost."""
    cell = mtjkit.load_cell("asano2024")
    t = np.linspace(1, 300, 300)
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    axes.semilogy(t, [cell.error_rate(x) for x in t], color=BLUE)
    for rate, text in ((0.024, "2.4 %"), (1e-8, "1e-8")):
        ns = cell.pulse_width_ns(rate)
        axes.plot(ns, rate, "o", color=ORANGE)
        axes.annotate(
            f"{text}: {ns:.1f} ns, {cell.write_energy_pj(ns):.2f} pJ",
            (ns, rate),
            xytext=(10, 8) if rate > 1e-4 else (-165, 6),
            textcoords="offset points",
        )
    axes.set_xlabel("width of the write pulse, ns")
    axes.set_ylabel("probability that the bit\nis not switched")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _row(axes: Axes, y: float, label: str, values: str, wrong: tuple[int, ...] = ()) -> None:
    axes.text(-0.3, y + 0.4, label, ha="right", va="center")
    for x, value in enumerate(values):
        colour = RED if x in wrong else "#e8eef4"
        axes.add_patch(Rectangle((x, y), 0.9, 0.8, facecolor=colour, edgecolor="white"))
        axes.text(x + 0.45, y + 0.4, value, ha="center", va="center",
                  color="white" if x in wrong else "black")  # fmt: skip


def flip_and_keep() -> plt.Figure:
    """The same eight writes of which the same three fail, in both kinds of errors."""
    old, new, failing = "00110101", "01100111", (1, 2, 6)
    flipped = "".join(str(1 - int(b)) if k in failing else b for k, b in enumerate(new))
    kept = "".join(old[k] if k in failing else b for k, b in enumerate(new))
    figure, axes = plt.subplots(figsize=(6.4, 2.9))
    _row(axes, 4, "in the cells before", old)
    _row(axes, 3, "to be written", new)
    _row(axes, 2, "writes that fail", "".join("x" if k in failing else " " for k in range(8)))
    for y, label, got in ((1, "stored with flip", flipped), (0, "stored with keep", kept)):
        _row(axes, y, label, got, tuple(k for k in range(8) if got[k] != new[k]))
        count = sum(a != b for a, b in zip(got, new, strict=True))
        axes.text(8.2, y + 0.4, f"{count} wrong", va="center")
    axes.set(xlim=(-4.2, 10), ylim=(-0.1, 5))
    axes.axis("off")
    return figure


def energy() -> plt.Figure:
    """Energy of writing one image's feature maps, by layer, at two error rates."""
    model, cell = mtjkit.load(CARRIED_MODEL), mtjkit.load_cell("asano2024")
    maps = np.array([layer.map_bits for layer in model.layers[:-1]])
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    x = np.arange(len(maps))
    for shift, rate, colour, name in (
        (-0.2, 1e-8, GREY, "conventional pulse (1e-8)"),
        (0.2, 0.024, ORANGE, "short pulse (2.4 %)"),
    ):
        pj = cell.write_energy_pj(cell.pulse_width_ns(rate))
        total = maps.sum() * pj * 1e-3
        axes.bar(x + shift, maps * pj * 1e-3, 0.4, color=colour, label=f"{name}: {total:.0f} nJ")
    axes.set_xticks(x, [f"layer {k}\n{n:,} bits" for k, n in enumerate(maps)], fontsize=7)
    axes.set_ylabel("write energy of an image, nJ\n(modelled)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def bits() -> plt.Figure:
    """From float weights to packed bits and one comparison."""
    figure, axes = plt.subplots(figsize=(6.4, 3.3))
    steps = [
        ("trained weights", "0.31  -0.72  0.05  -0.11"),
        ("signs: what the net computes with", "+1  -1  +1  -1"),
        ("bits in the model file", "1 0 1 0"),
        ("XNOR with the input's bits 1 1 1 0", "1 0 1 1  -> three agree"),
        ("sum = 2 x 3 - 4", "+2"),
        ("batch norm and sign: a threshold, here -1", "+2 >= -1  -> bit 1"),
    ]
    for k, (what, value) in enumerate(steps):
        y = len(steps) - k
        axes.text(0, y, what, va="center")
        axes.text(6.2, y, value, va="center", family="monospace",
                  bbox={"facecolor": "#e8eef4", "edgecolor": "none", "pad": 4})  # fmt: skip
        if k:
            arrow = FancyArrowPatch((6.0, y + 0.75), (6.0, y + 0.2), arrowstyle="->",
                                    mutation_scale=10, color=BLUE)  # fmt: skip
            axes.add_patch(arrow)
    axes.set(xlim=(-0.1, 10), ylim=(0.5, len(steps) + 0.5))
    axes.axis("off")
    return figure


if __name__ == "__main__":
    main()
