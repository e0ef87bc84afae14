"""What a training run is told, and what it returns."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtjkit_core.errors import ConfigError

from mtjkit_host.parse import shown
from mtjkit_host.train.architectures import NetSpec

PRECISIONS = ("auto", "float32", "bfloat16")
DEVICES = ("auto", "cpu", "cuda")

_FREE = ("data", "run_dir", "device", "threads", "epochs_now")
"""Fields that a resumed run may change: they do not belong to the recipe."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The same configuration on the same run folder resumes it."""

    net: NetSpec
    """The network; `NetSpec.named` has the presets."""
    data: Path
    """Folder with the official CIFAR-10 binary files."""
    run_dir: Path
    """Folder for checkpoints, log and plots; made when missing."""
    epochs: int = 60
    """Length of the learning-rate schedule, in passes over the training images."""
    batch: int = 128
    """Images per step; the last, incomplete batch of an epoch is left out."""
    peak_lr: float = 2e-3
    """Adam's learning rate after the warm-up."""
    warmup_epochs: float = 3.0
    """Epochs in which the learning rate rises linearly from 0 to its peak; at most a quarter of
    the run, so that short trials work with the default."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    seed: int = 0
    """All chance follows from it: initial weights, order of images, crops, flips."""
    precision: str = "auto"
    """``float32``, ``bfloat16`` (autocast), or ``auto``: bfloat16 where the hardware has it
    and the net's values fit it (1 and 8 bits). Tests are exact in any case."""
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

    def __post_init__(self) -> None:
        """Check every field; raises ConfigError, naming the first that is wrong."""
        checks = {
            "epochs must be at least 1": self.epochs >= 1,
            "batch must be at least 2": self.batch >= 2,
            "peak_lr must be a number above 0": 0 < self.peak_lr < math.inf,
            "warmup_epochs must be a number of 0 or more": 0 <= self.warmup_epochs < math.inf,
            "label_smoothing must be 0 or more and below 1": 0 <= self.label_smoothing < 1,
            "seed must be 0 or more": self.seed >= 0,
            f"precision must be one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
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
        fields["net"] = {
            k: list(v) if isinstance(v, tuple) else v for k, v in fields["net"].items()
        }
        return fields


def spec_from_json(fields: dict[str, Any]) -> NetSpec:
    """Rebuild the NetSpec that `TrainConfig.recipe` wrote; raises ConfigError when it cannot."""
    try:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
        }
        return NetSpec(**values)
    except (TypeError, AttributeError, ConfigError) as error:
        why = shown(str(error), 100)
        raise ConfigError(f"the checkpoint does not describe a net we know: {why}") from error


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
    test_accuracy: float
    """Share of right answers on the test images after the epoch, 0 to 1, computed exactly."""
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
