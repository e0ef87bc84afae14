"""What a training run is told, and what it returns."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError

from mtjkit_host.runs.options import CELLS_BEFORE, KINDS
from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.augment import AUGMENTS

PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")
PRESETS = ("plain", "spread")

_FREE = (
    *("data", "run_dir", "device", "threads", "epochs_now", "limit_s", "save_every", "test_every"),
    *("keep_best", "plots", "deterministic", "compiled"),
)
"""Fields that a resumed run may change: they do not belong to the recipe."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The same configuration on the same run folder resumes it."""

    net: NetSpec
    """The network; `NetSpec.named` has the presets."""
    data: Path
    """The data set: what `mtjkit_host.train.data.load_parts` takes."""
    run_dir: Path
    """Folder for checkpoints, log and plots; made when missing."""
    epochs: int = 60
    """Length of the learning-rate schedule, in passes over the training images."""
    batch: int = 128
    """Images per step; the last, incomplete batch of an epoch is left out."""
    peak_lr: float = 2e-3
    """Adam's learning rate after the warm-up."""
    preset: str = "plain"
    """``plain``: Kaiming-uniform latent weights, one learning rate. ``spread``: latent weights
    uniform over [-1, 1], and a learning rate that each layer multiplies by its Glorot factor
    (`mtjkit_host.train.modules.Linear.glorot_factor`), as in Hubara et al. 2016: a fixed-point
    net's weights then fill their range, and a wrong bit is small beside them."""
    train_ber: tuple[float, ...] = ()
    """Error rate of feature-map writes while training, 0 to 1: one for all hidden layers, or one
    for each; empty for none. Binary nets only. Tests are without errors."""
    errors: str = "flip"
    """What a failed write does while training: ``flip`` or ``keep``, as in a run."""
    cells_before: str = "erased"
    """What cells hold before an image while training: ``erased`` (0 everywhere) or ``random``
    bits, as in a run. Only ``keep`` errors hang on it."""
    ramp_epochs: float = 5.0
    """Epochs in which ``train_ber`` rises linearly from 0; at most a quarter of the run."""
    warmup_epochs: float = 3.0
    """Epochs in which the learning rate rises linearly from 0 to its peak; at most a quarter of
    the run, so that short trials work with the default."""
    augment: str = "crop,flip"
    """How images are varied: ``crop`` shifts them by up to 4 pixels, ``flip`` mirrors half of
    them, ``crop,flip`` does both, ``none`` neither."""
    data_sha256: str = ""
    """Hash of the images that are trained on, of data that are not CIFAR's: a run goes on with
    these only."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    seed: int = 0
    """All chance follows from it: initial weights, order of images, crops, flips."""
    precision: str = "auto"
    """``float32`` (on CUDA with TF32 products), ``bfloat16`` (autocast), or ``auto``: bfloat16
    where the hardware has it, on a CPU only for nets whose values fit it (1 and 8 bits). Tests
    are exact in any case."""
    device: str = "auto"
    """``cpu``, ``cuda``, or ``auto``: CUDA when present."""
    threads: int = 0
    """Threads of torch on the CPU; 0 leaves torch's own choice."""
    start_from: Path | None = None
    """Run folder of a net whose weights the training starts from: one with the same layers, as
    wide or narrower (which is widened)."""
    limit_train: int = 0
    """How many training images to use, the first ones; 0 uses all."""
    limit_test: int = 0
    """How many test images to use, the first ones; 0 uses all."""
    epochs_now: int = 0
    """Epochs after which this call stops, to be resumed later; 0 runs to the end."""
    limit_s: float = 0.0
    """Seconds after which the call stops, at the end of the epoch under way, to be resumed
    later; 0 for no limit."""
    save_every: int = 1
    """Epochs from one checkpoint to the next. The call's last epoch is saved always."""
    test_every: int = 1
    """Epochs from one test to the next. The call's last epoch is tested always."""
    keep_best: bool = True
    """Keep the epoch with the best test accuracy too, not only the last one."""
    plots: bool = True
    """Draw loss and accuracy beside every checkpoint."""
    deterministic: bool = True
    """On CUDA: kernels that give the same bits every time, not those that a trial finds fastest."""
    compiled: bool = False
    """Compile the net with torch's compiler: faster steps after a minute or so, on CUDA."""

    def __post_init__(self) -> None:
        """Check every field; raises ConfigError, naming the first that is wrong."""
        hidden = len(self.net.conv) + len(self.net.dense)
        checks = {
            "epochs must be at least 1": self.epochs >= 1,
            "batch must be at least 2": self.batch >= 2,
            "peak_lr must be a number above 0": 0 < self.peak_lr < math.inf,
            "warmup_epochs must be a number of 0 or more": 0 <= self.warmup_epochs < math.inf,
            "label_smoothing must be 0 or more and below 1": 0 <= self.label_smoothing < 1,
            "seed must be 0 or more": self.seed >= 0,
            f"precision must be one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
            f"preset must be one of {', '.join(PRESETS)}": self.preset in PRESETS,
            f"augment must be one of {', '.join(AUGMENTS)}": self.augment in AUGMENTS,
            f"errors must be one of {', '.join(KINDS)}": self.errors in KINDS,
            f"cells_before must be one of {', '.join(CELLS_BEFORE)}": (
                self.cells_before in CELLS_BEFORE
            ),
            "ramp_epochs must be a number of 0 or more": 0 <= self.ramp_epochs < math.inf,
            "train_ber needs rates from 0 to 1": all(0 <= rate <= 1 for rate in self.train_ber),
            f"train_ber needs one rate, or one for each of the {hidden} hidden layers": (
                len(self.train_ber) in (0, 1, hidden)
            ),
            "train_ber is for binary nets": self.net.binary or not self.train_ber,
            "limit_s must be a number of 0 or more": 0 <= self.limit_s < math.inf,
            "save_every and test_every must be at least 1": (
                min(self.save_every, self.test_every) >= 1
            ),
            f"device must be one of {', '.join(DEVICES)}": self.device in DEVICES,
            "threads, limit_train, limit_test and epochs_now must be 0 or more": (
                min(self.threads, self.limit_train, self.limit_test, self.epochs_now) >= 0
            ),
        }
        for message, good in checks.items():
            if not good:
                raise ConfigError(f"training: {message}")

    def recipe(self) -> dict[str, Any]:
        """Return the fields that fix the result, as JSON values, for the checkpoint."""
        fields = dataclasses.asdict(self)
        for name in _FREE:
            del fields[name]
        fields["start_from"] = None if self.start_from is None else str(self.start_from)
        fields["net"] = self.net.to_json()
        fields["train_ber"] = list(self.train_ber)
        return fields


def recommended(binary: bool, preset: str | None = None) -> dict[str, Any]:
    """Return the ``preset`` and ``peak_lr`` that train a binary or a fixed-point net best.

    Binary nets: ``plain``, 0.01 (six epochs of Binary at its full size on 20,000 images, batch
    128: 65.6 % of the test images; 62.0 % at 0.003, 61.2 % with ``spread`` and 0.001). Fixed
    point: ``spread``, 0.001 (Fxp8 alike, five epochs: 70.9 %; ``plain`` and 0.002: 69.4 %).
    Pass ``preset`` where it is chosen already.
    """
    preset = preset or ("plain" if binary else "spread")
    if preset == "spread":
        return {"preset": preset, "peak_lr": 1e-3}
    return {"preset": preset, "peak_lr": 1e-2 if binary else 2e-3}


@dataclass(frozen=True)
class EpochRecord:
    """One line of the log."""

    epoch: int
    """Counted from 1."""
    lr: float
    """Learning rate of the epoch's last step."""
    loss: float
    """Mean training loss (cross-entropy, in nats) over the epoch."""
    train_accuracy: float
    """Share of right answers on the augmented images while training, 0 to 1."""
    test_accuracy: float | None
    """Share of right answers on the test images after the epoch, 0 to 1, computed exactly; None
    after an epoch that was not tested."""
    seconds: float
    """Wall time of the epoch, test included."""


@dataclass(frozen=True)
class TrainResult:
    """What `train` returns."""

    run_dir: Path
    """Where the checkpoints lie."""
    epochs: int
    """Epochs done in all, over every call."""
    finished: bool
    """Whether the schedule has come to its end."""
    test_accuracy: float
    """After the last epoch, 0 to 1: the result to report, since nothing was chosen by it."""
    best_accuracy: float
    """Of the epoch with the best test accuracy, 0 to 1. It was chosen on the test images, so it
    is optimistic by the noise between epochs."""
    best_epoch: int
    """That epoch, counted from 1."""
    history: tuple[EpochRecord, ...]
    """All epochs, in order."""
