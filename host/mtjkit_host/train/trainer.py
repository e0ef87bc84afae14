"""Training on CIFAR-10, resumable at every epoch with the result of an unbroken run."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from mtjkit_core.errors import ConfigError
from torch.nn import functional

from mtjkit_host.datasets import cifar10
from mtjkit_host.simulate.compile import available
from mtjkit_host.train.augment import augment_rng, crop_and_flip, epoch_order, pad_images
from mtjkit_host.train.config import EpochRecord, TrainConfig, TrainResult
from mtjkit_host.train.modules import Net, build_net
from mtjkit_host.train.predict import evaluate, evaluate_packed
from mtjkit_host.train.progress import EpochBar
from mtjkit_host.train.state import best_epoch, locked, resume_run, save_run, start_from, started


def train(config: TrainConfig) -> TrainResult:
    """Train a net, or resume the run that ``config.run_dir`` holds.

    Writes ``last`` and ``best`` checkpoints, ``log.jsonl`` (one `EpochRecord` a line) and
    ``history.svg`` / ``history.png`` to the run folder after every epoch. Everything random
    derives from (seed, epoch), so a run that was killed and resumed on the same number of
    threads gives, bit for bit, the weights of an unbroken one.

    Raises ConfigError for a wrong setting, or one that differs from that of the run to resume,
    and FormatError for damaged data or checkpoints.
    """
    device = _pick_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    images, labels = _first(cifar10.load_train(config.data), config.limit_train)
    test_images, test_labels = _first(cifar10.load_test(config.data), config.limit_test)
    if len(images) < config.batch:
        raise ConfigError(f"training: {len(images)} images do not fill a batch of {config.batch}")
    try:
        config.run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{config.run_dir}: cannot be made ({error.strerror})") from error

    with locked(config.run_dir):
        history = _run(config, device, images, labels, test_images, test_labels)
    best = best_epoch(history)
    return TrainResult(
        config.run_dir,
        len(history),
        len(history) >= config.epochs,
        history[-1].test_accuracy,
        best.test_accuracy,
        best.epoch,
        tuple(history),
    )


def _run(
    config: TrainConfig,
    device: torch.device,
    images: cifar10.Images,
    labels: cifar10.Labels,
    test_images: cifar10.Images,
    test_labels: cifar10.Labels,
) -> list[EpochRecord]:
    net = build_net(config.net, config.seed)
    history: list[EpochRecord] = []
    resume = started(config.run_dir)
    if config.start_from is not None and not resume:
        start_from(net, config.start_from, config.seed)
    net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Fused: one pass over the memory, a fifth of the time; on CUDA it wants its steps there too.
    on_cpu = device.type == "cpu"
    optimizer = torch.optim.Adam(net.parameters(), lr=config.peak_lr, fused=on_cpu)
    if resume:
        history = resume_run(config, net, optimizer)

    padded = pad_images(images)
    autocast = _autocast(config, device)
    packed = config.net.binary and on_cpu and available()
    test = evaluate_packed if packed else evaluate
    stop = config.epochs
    if config.epochs_now:
        stop = min(stop, len(history) + config.epochs_now)
    for epoch in range(len(history) + 1, stop + 1):
        start = time.perf_counter()
        lr, loss, train_accuracy = _train_epoch(
            config, net, optimizer, padded, labels, epoch, autocast, device
        )
        accuracy = test(net, test_images, test_labels)
        seconds = time.perf_counter() - start
        history.append(EpochRecord(epoch, lr, loss, train_accuracy, accuracy, seconds))
        save_run(config, net, optimizer, history)
    return history


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the rate of step number ``step`` (from 0): linear warm-up, then half a cosine to 0."""
    total = config.epochs * steps_per_epoch
    warmup = min(config.warmup_epochs, config.epochs / 4) * steps_per_epoch
    if step + 1 < warmup:
        return config.peak_lr * (step + 1) / warmup
    return config.peak_lr * 0.5 * (1.0 + math.cos(math.pi * (step + 1 - warmup) / (total - warmup)))


def hardware_has_bfloat16(device: torch.device) -> bool:
    """Return whether ``device`` multiplies bfloat16 in hardware (AVX512-BF16, AMX, CUDA)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _train_epoch(
    config: TrainConfig,
    net: Net,
    optimizer: torch.optim.Optimizer,
    padded: cifar10.Images,
    labels: cifar10.Labels,
    epoch: int,
    autocast: AbstractContextManager[Any],
    device: torch.device,
) -> tuple[float, float, float]:
    net.train()
    order = epoch_order(len(labels), config.seed, epoch)
    rng = augment_rng(config.seed, epoch)
    steps = len(labels) // config.batch
    loss_sum = torch.zeros((), device=device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    lr = 0.0
    with EpochBar(epoch, config.epochs, steps) as bar:
        for step in range(steps):
            chosen = order[step * config.batch : (step + 1) * config.batch]
            x = torch.from_numpy(crop_and_flip(padded, chosen, rng)).to(device)
            target = torch.from_numpy(labels[chosen].astype(np.int64)).to(device)
            lr = learning_rate(config, (epoch - 1) * steps + step, steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            with autocast:
                logits = net(x).float()
            loss = functional.cross_entropy(logits, target, label_smoothing=config.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            net.clip_latent()
            loss_sum += loss.detach()
            right += (logits.argmax(1) == target).sum()
            bar.advance()
    mean_loss = loss_sum.item() / steps
    if not math.isfinite(mean_loss):
        raise ConfigError(
            f"training: the loss is not a number after epoch {epoch}; use a smaller --lr"
        )
    return lr, mean_loss, right.item() / (steps * config.batch)


def _first(
    data: tuple[cifar10.Images, cifar10.Labels], limit: int
) -> tuple[cifar10.Images, cifar10.Labels]:
    end = limit or len(data[1])
    return data[0][:end], data[1][:end]


def _pick_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training: this machine has no CUDA device; use device auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _autocast(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    # -1 and +1, 8-bit codes and the int8 input are exact in bfloat16; 16-bit codes are not.
    fits = config.net.bits <= 8 and hardware_has_bfloat16(device)
    if config.precision == "bfloat16" or (config.precision == "auto" and fits):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
