"""Training, resumable at every epoch with the result of an unbroken run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mtjkit_core.errors import ConfigError
from torch import Tensor

from mtjkit_host.datasets.dataset import Dataset, Images, Labels
from mtjkit_host.simulate.compile import available
from mtjkit_host.train.augment import AUGMENTS, epoch_plan, pad_images
from mtjkit_host.train.config import EpochRecord, TrainConfig, TrainResult
from mtjkit_host.train.data import Parts, load_parts
from mtjkit_host.train.modules import Net, build_net
from mtjkit_host.train.predict import evaluate, evaluate_packed
from mtjkit_host.train.progress import EpochBar
from mtjkit_host.train.state import best_epoch, locked, resume_run, save_run, start_from, started
from mtjkit_host.train.step import Step, TrainingData, make_optimizer
from mtjkit_host.train.write_errors import TrainingErrors

_WRITE_ERRORS = 2
"""Number of the stream of write errors, beside those of `mtjkit_host.train.augment`."""


@dataclass(frozen=True)
class Data:
    """What a run trains and tests on; runs on one device may share it."""

    training: TrainingData
    """On the device."""
    test_images: Images
    """uint8 or int8 ``(N, H, W, C)``, on the CPU."""
    test_labels: Labels
    """``(N,)``."""


def train(config: TrainConfig, parts: Parts | None = None) -> TrainResult:
    """Train a net, or resume the run that ``config.run_dir`` holds.

    Writes ``last`` and ``best`` checkpoints, ``log.jsonl`` (one `EpochRecord` a line) and
    ``history.svg`` / ``history.png`` to the run folder after every epoch, or every
    ``save_every``. Everything random derives from (seed, epoch), so a run that was killed and
    resumed on the same device, and number of threads, gives, bit for bit, the weights of an
    unbroken one.

    Args:
        config: the settings.
        parts: what ``config.data`` holds, where it has been read already.

    Raises:
        ConfigError: a setting is wrong, or differs from that of the run to resume.
        FormatError: the data or a checkpoint is damaged.
    """
    run = training(config, load_data(config, parts))
    while True:
        try:
            next(run)
        except StopIteration as stop:
            result: TrainResult = stop.value
            return result


def load_data(config: TrainConfig, parts: Parts | None = None) -> Data:
    """Read the images and put those for training on the device; errors as those of `train`."""
    device = pick_device(config.device)
    parts = (parts or load_parts(config.data)).fitted(config.net)
    train, test = _first(parts.train, config.limit_train), _first(parts.test, config.limit_test)
    if train.labels is None or test.labels is None:
        raise ConfigError(f"training: {' '.join((*train.remarks, *test.remarks))}")
    pad, _ = AUGMENTS[config.augment]
    padded = pad_images(torch.from_numpy(np.ascontiguousarray(train.images)).to(device), pad)
    targets = torch.from_numpy(train.labels.astype(np.int64)).to(device)
    return Data(TrainingData(padded, targets, pad), test.images, test.labels)


def training(config: TrainConfig, data: Data) -> Generator[None, None, TrainResult]:
    """Do what `train` does, step by step: one training step from one ``next`` to the next.

    On a GPU a step only queues work, so that several runs can share it, each on a stream of its
    own: call ``next`` within ``torch.cuda.stream``.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    count = len(data.training.labels)
    if count < config.batch:
        raise ConfigError(
            f"{count} images do not fill a batch of {config.batch}; give a smaller --batch"
        )
    try:
        config.run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{config.run_dir}: cannot be made ({error.strerror})") from error

    with locked(config.run_dir):
        history = yield from _run(config, data)
    best, last = best_epoch(history), history[-1]
    if last.test_accuracy is None or best.test_accuracy is None:
        raise ConfigError(f"{config.run_dir}: the last epoch was not tested; train one more")
    return TrainResult(
        config.run_dir,
        len(history),
        len(history) >= config.epochs,
        last.test_accuracy,
        best.test_accuracy,
        best.epoch,
        tuple(history),
    )


def _run(config: TrainConfig, data: Data) -> Generator[None, None, list[EpochRecord]]:
    device = data.training.labels.device
    begun = time.perf_counter()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, which holds +-1 and 8-bit codes
        torch.backends.cudnn.deterministic = config.deterministic
        torch.backends.cudnn.benchmark = not config.deterministic
    net = build_net(config.net, config.seed, config.preset == "spread")
    history: list[EpochRecord] = []
    resume = started(config.run_dir)
    if config.start_from is not None and not resume:
        start_from(net, config.start_from, config.seed)
    net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.train_ber:
        rates = config.train_ber * (len(net.blocks) if len(config.train_ber) == 1 else 1)
        reused = config.cells_before == "random"
        net.write_errors = TrainingErrors(rates, config.errors == "keep", device, reused)
    optimizer = make_optimizer(config, net)
    if resume:
        history = resume_run(config, net, optimizer)

    test = _test(config, device)
    forward: Callable[[Tensor], Tensor] = net
    if config.compiled:
        forward = torch.compile(net, dynamic=False)
    step = Step(config, net, optimizer, data.training, forward, _autocast(config, device))
    stop = config.epochs
    if config.epochs_now:
        stop = min(stop, len(history) + config.epochs_now)
    for epoch in range(len(history) + 1, stop + 1):
        start = time.perf_counter()
        lr, loss, train_accuracy = yield from _train_epoch(config, net, step, epoch)
        late = bool(config.limit_s) and time.perf_counter() - begun > config.limit_s
        ends = late or epoch == stop
        accuracy = None
        if ends or epoch % config.test_every == 0:
            accuracy = test(net, data.test_images, data.test_labels)
        seconds = time.perf_counter() - start
        history.append(EpochRecord(epoch, lr, loss, train_accuracy, accuracy, seconds))
        if ends or epoch % config.save_every == 0:
            save_run(config, net, optimizer, history)
        if ends:
            break
    return history


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the rate of step number ``step`` (from 0): linear warm-up, then half a cosine to 0."""
    total = config.epochs * steps_per_epoch
    warmup = min(config.warmup_epochs, config.epochs / 4) * steps_per_epoch
    if step + 1 < warmup:
        return config.peak_lr * (step + 1) / warmup
    return config.peak_lr * 0.5 * (1.0 + math.cos(math.pi * (step + 1 - warmup) / (total - warmup)))


def error_share(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the share of ``train_ber`` at step number ``step`` (from 0): a line up to 1."""
    ramp = min(config.ramp_epochs, config.epochs / 4) * steps_per_epoch
    return min(1.0, step / ramp) if ramp else 1.0


def hardware_has_bfloat16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bfloat16 in hardware (AVX512-BF16, AMX, CUDA)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _train_epoch(
    config: TrainConfig, net: Net, step: Step, epoch: int
) -> Generator[None, None, tuple[float, float, float]]:
    net.train()
    steps = step.steps
    numbers = range((epoch - 1) * steps, epoch * steps)
    rates = [learning_rate(config, number, steps) for number in numbers]
    shares = [error_share(config, number, steps) for number in numbers]
    count = len(step.data.labels)
    plan = torch.from_numpy(epoch_plan(count, config.batch, config.seed, epoch, config.augment))
    step.begin(plan, torch.tensor(rates), torch.tensor(shares))
    if net.write_errors is not None:
        draw = np.random.default_rng((config.seed, epoch, _WRITE_ERRORS))
        net.write_errors.generator.manual_seed(int(draw.integers(2**62)))
    with EpochBar(epoch, config.epochs, steps) as bar:
        for _ in range(steps):
            step.run()
            bar.advance()
            yield
    mean_loss = step.loss_sum.item() / steps
    if not math.isfinite(mean_loss):
        raise ConfigError(
            f"training: the loss is not a number after epoch {epoch}; use a smaller --lr"
        )
    return rates[-1], mean_loss, step.right.item() / (steps * config.batch)


def _test(config: TrainConfig, device: torch.device) -> Callable[..., float]:
    if device.type == "cuda":
        return partial(evaluate, batch=500)
    return evaluate_packed if config.net.binary and available() else evaluate


def _first(data: Dataset, limit: int) -> Dataset:
    return data.take(min(limit or len(data), len(data)))


def pick_device(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means; raises ConfigError."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training: this machine has no CUDA device; use device auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _autocast(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    # -1 and +1, 8-bit codes and the int8 input are exact in bfloat16; wider codes are not, but on
    # CUDA their nets train better so than in TF32 (docs/results-training.md), and faster.
    fits = (config.net.bits <= 8 or device.type == "cuda") and hardware_has_bfloat16(device)
    if config.precision == "bfloat16" or (config.precision == "auto" and fits):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
