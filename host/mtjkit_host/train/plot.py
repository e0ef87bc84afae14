"""The plot of loss and accuracy over the epochs of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from mtjkit_export.files import write_atomically

from mtjkit_host.figures import own_settings
from mtjkit_host.train.config import EpochRecord

# Okabe and Ito's palette: told apart by colour-blind readers too.
_BLUE, _ORANGE, _GREEN = "#0072B2", "#E69F00", "#009E73"


def plot_history(history: Sequence[EpochRecord], stem: Path, title: str) -> None:
    """Draw loss and accuracy to ``stem``.svg and ``stem``.png.

    Raises:
        ConfigError: they cannot be written.
    """
    with own_settings():
        _plot(history, stem, title)


def _plot(history: Sequence[EpochRecord], stem: Path, title: str) -> None:
    from matplotlib.figure import Figure  # slow to import, and only needed here
    from matplotlib.ticker import MaxNLocator

    epochs = [record.epoch for record in history]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    # Markers: a single epoch is not a line.
    left.plot(epochs, [record.loss for record in history], ".-", color=_BLUE)
    left.set(xlabel="epoch", ylabel="training loss (nats)")
    right.plot(
        epochs, [100 * r.train_accuracy for r in history], ".-", color=_ORANGE, label="training"
    )
    tested = [(r.epoch, 100 * r.test_accuracy) for r in history if r.test_accuracy is not None]
    right.plot(*zip(*tested, strict=True), ".-", color=_GREEN, label="test")
    right.set(xlabel="epoch", ylabel="accuracy (%)")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.suptitle(title)
    for kind in ("svg", "png"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=150)
        write_atomically(stem.with_suffix(f".{kind}"), buffer.getvalue())
