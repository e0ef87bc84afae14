"""The state of a run on disk: what is saved after an epoch, and how it comes back."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_export.files import Lock, write_atomically
from torch import Tensor

from mtjkit_host.train.architectures import NetSpec
from mtjkit_host.train.checkpoint import (
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from mtjkit_host.train.config import EpochRecord, TrainConfig
from mtjkit_host.train.modules import Net, build_net
from mtjkit_host.train.plot import plot_history
from mtjkit_host.train.widen import widen

_ADAM = ("step", "exp_avg", "exp_avg_sq")


def load_net(run_dir: str | Path, tag: str = "last") -> Net:
    """Return the trained net of a run folder, on the CPU, in eval mode.

    Args:
        run_dir: the run's folder.
        tag: ``last`` or ``best``.

    Raises:
        ConfigError: there is no such checkpoint.
        FormatError: it is damaged.
    """
    tensors, state = load_checkpoint(Path(run_dir), tag)
    config = state.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("net"), dict):
        raise FormatError(f"{run_dir}: the checkpoint does not say which net it holds")
    spec = NetSpec.from_json(config["net"])
    if spec.weights > sum(tensor.numel() for tensor in tensors.values()):
        raise FormatError(f"{run_dir}: the checkpoint has fewer tensors than its net needs")
    net = build_net(spec)
    _load_tensors(net, tensors, str(run_dir))
    return net.eval()


def save_run(
    config: TrainConfig, net: Net, optimizer: torch.optim.Optimizer, history: list[EpochRecord]
) -> None:
    """Write the checkpoints, the log and the plots after an epoch.

    Raises:
        ConfigError: the run's folder cannot be written.
    """
    epoch = len(history)
    records = [dataclasses.asdict(record) for record in history]
    state = {"config": config.recipe(), "history": records}
    tensors = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    is_best = best_epoch(history).epoch == epoch and history[-1].test_accuracy is not None
    if config.keep_best and is_best:
        save_checkpoint(config.run_dir, "best", epoch, tensors, state)
    # A finished run has nothing to resume: its net alone is a third of the bytes.
    unfinished = net.named_parameters() if epoch < config.epochs else ()
    for name, parameter in unfinished:
        for key in _ADAM:
            tensors[f"adam.{name}.{key}"] = optimizer.state[parameter][key]
    save_checkpoint(config.run_dir, "last", epoch, tensors, state)
    log = "".join(json.dumps(record) + "\n" for record in records)
    write_atomically(config.run_dir / "log.jsonl", log.encode())
    if config.plots:
        plot_history(history, config.run_dir / "history", title=config.net.name)


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the first of the tested epochs with the highest test accuracy."""
    return max(history, key=lambda record: -1.0 if (a := record.test_accuracy) is None else a)


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keep other trainers out of ``run_dir``, which must exist, until the block ends.

    Raises:
        ConfigError: another process trains there.
    """
    busy = f"{run_dir}: another process is training here; wait for it or use another folder"
    with Lock(run_dir / "training", busy):
        yield


def started(run_dir: Path) -> bool:
    """Return whether ``run_dir`` holds a run to resume."""
    return has_checkpoint(run_dir)


def resume_run(
    config: TrainConfig, net: Net, optimizer: torch.optim.Optimizer
) -> list[EpochRecord]:
    """Load the last checkpoint into a new net and optimizer; return the epochs done.

    Raises:
        ConfigError: the run was started with another recipe.
        FormatError: the checkpoint is damaged.
    """
    tensors, state = load_checkpoint(config.run_dir)
    old, new = state.get("config"), config.recipe()
    if not isinstance(old, dict):
        raise FormatError(f"{config.run_dir}: the checkpoint does not say how it was trained")
    # A setting that the run's version of the trainer did not know had its default value.
    default = {field.name: field.default for field in dataclasses.fields(config)}
    default["train_ber"] = []
    if isinstance(old.get("net"), dict):  # which an older version wrote in other words
        old = {**old, "net": NetSpec.from_json(old["net"]).to_json()}
    changed = sorted(key for key in new if old.get(key, default.get(key)) != new[key])
    if changed:
        raise ConfigError(
            f"{config.run_dir}: holds a run with another {', '.join(changed)}; "
            "use the same settings to resume it, or another run folder"
        )
    _load_tensors(net, tensors, str(config.run_dir))
    try:
        history = [EpochRecord(**record) for record in state["history"]]
        if not all(map(_is_record, history)):
            raise TypeError("a field has another type, or is out of range")
    except (KeyError, TypeError) as error:
        raise FormatError(f"{config.run_dir}: the checkpoint's history is damaged") from error
    unfinished = net.named_parameters() if len(history) < config.epochs else ()
    for name, parameter in unfinished:
        # Adam's moments are laid out as the parameter; its step count is where it needs it.
        moments = {key: torch.empty_like(parameter) for key in _ADAM[1:]}
        try:
            for key, moment in moments.items():
                moment.copy_(tensors[f"adam.{name}.{key}"])
            step = tensors[f"adam.{name}.step"].to(parameter.device)
        except (KeyError, RuntimeError) as error:
            raise FormatError(f"{config.run_dir}: bad optimizer state of {name}") from error
        optimizer.state[parameter] = {"step": step, **moments}
    return history


def _is_record(record: EpochRecord) -> bool:
    """Whether every field has its type and range."""
    accuracies = [record.train_accuracy]
    if record.test_accuracy is not None:
        accuracies.append(record.test_accuracy)
    numbers = [record.lr, record.loss, record.seconds, *accuracies]
    return (
        type(record.epoch) is int
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        and all(0 <= share <= 1 for share in accuracies)
    )


def start_from(net: Net, folder: Path, seed: int) -> None:
    """Take over another run's weights and batch norm; the head's scale stays the net's own.

    A narrower net is widened (`mtjkit_host.train.widen`), with noise that follows from ``seed``.

    Raises:
        ConfigError: ``folder`` holds no checkpoint.
        FormatError: its net has other layers, or wider ones.
    """
    source = load_net(folder)
    try:
        widen(source, net, torch.Generator().manual_seed(seed))
    except FormatError as error:
        raise FormatError(f"{folder}: {error}") from error


@torch.no_grad()
def _load_tensors(net: Net, tensors: dict[str, Tensor], where: str) -> None:
    for name, tensor in net.state_dict().items():
        source = tensors.get(f"net.{name}")
        if source is None or source.shape != tensor.shape:
            raise FormatError(
                f"{where}: the checkpoint's {name} does not fit {net.spec.name}; "
                "use a checkpoint of a net with the same layers"
            )
        tensor.copy_(source)
