"""One training step as a program of the device alone, which a GPU replays as a graph.

Everything that differs from step to step (images, crops, learning rate, error rates) is drawn for
the whole epoch, put on the device at its start and picked there by a counter. So within an epoch
nothing is transferred and nothing waits, and a step on CUDA is one graph launch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mtjkit_host.train.augment import CHOSEN, PAD, crop_and_flip
from mtjkit_host.train.config import TrainConfig
from mtjkit_host.train.modules import Linear, Net

_EAGER = 3
"""Steps before the graph is captured: libraries choose their kernels, Adam makes its state."""


@dataclass(frozen=True)
class TrainingData:
    """Images and labels where the net is."""

    padded: Tensor
    """uint8 or int8 ``(N, H + 2 pad, W + 2 pad, C)``, of `mtjkit_host.train.augment.pad_images`."""
    labels: Tensor
    """int64 ``(N,)``."""
    pad: int = PAD
    """Rows and columns that were added on every side."""


def make_optimizer(config: TrainConfig, net: Net) -> torch.optim.Adam:
    """Return Adam with one parameter group for each factor on the learning rate.

    Each group's ``lr`` is a tensor on the net's device, its ``factor`` the number that the
    schedule's rate is multiplied by.
    """
    device = net.log_scale.device
    groups: dict[float, list[torch.nn.Parameter]] = {1.0: []}
    layers = {m.weight: m.glorot_factor for m in net.modules() if isinstance(m, Linear)}
    for parameter in net.parameters():
        factor = layers.get(parameter, 1.0) if config.preset == "spread" else 1.0
        groups.setdefault(factor, []).append(parameter)
    return torch.optim.Adam(
        [
            {"params": params, "factor": factor, "lr": torch.zeros((), device=device)}
            for factor, params in groups.items()
        ],
        lr=torch.zeros((), device=device),
        fused=True,
        capturable=device.type == "cuda",
    )


class Step:
    """The steps of a run, in order.

    Args:
        config: the run's.
        net: in training mode while `run` is called; on the data's device.
        optimizer: of `make_optimizer`.
        data: the training images.
        forward: computes the logits from images: the net, or its compiled twin.
        autocast: the context that the forward pass runs in.
    """

    def __init__(
        self,
        config: TrainConfig,
        net: Net,
        optimizer: torch.optim.Optimizer,
        data: TrainingData,
        forward: Callable[[Tensor], Tensor],
        autocast: AbstractContextManager[Any],
    ) -> None:
        device = data.labels.device
        self._config, self._net, self._optimizer, self.data = config, net, optimizer, data
        self._forward, self._autocast = forward, autocast
        self.steps = len(data.labels) // config.batch
        self._plan = torch.zeros((self.steps, 4, config.batch), dtype=torch.int32, device=device)
        self._rates = torch.zeros(self.steps, device=device)
        self._shares = torch.ones(self.steps, device=device)
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.right = torch.zeros((), dtype=torch.int64, device=device)
        self._eager = _EAGER if device.type == "cuda" else math.inf
        self._graph: torch.cuda.CUDAGraph | None = None

    def begin(self, plan: Tensor, rates: Tensor, shares: Tensor) -> None:
        """Start an epoch, and its sums of loss and right answers at 0.

        Args:
            plan: ``(steps, 4, batch)``, of `mtjkit_host.train.augment.epoch_plan`.
            rates: ``(steps,)``, learning rates.
            shares: ``(steps,)`` of the error rates, 0 to 1.
        """
        self._plan.copy_(plan)
        self._rates.copy_(rates)
        self._shares.copy_(shares)
        for tensor in (self._at, self.loss_sum, self.right):
            tensor.zero_()

    def run(self) -> None:
        """Train on the next batch. On CUDA it returns before the device is done."""
        if self._graph is not None:
            self._graph.replay()
        elif self._eager > 0:
            self._eager -= 1
            self._body()
        else:
            self._capture()
            self.run()

    def _capture(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        if self._net.write_errors is not None:
            graph.register_generator_state(self._net.write_errors.generator)
        with torch.cuda.graph(graph):
            self._body()
        self._graph = graph

    def _body(self) -> None:
        batch = self._plan.index_select(0, self._at)[0]
        rate = self._rates.index_select(0, self._at)[0]
        for group in self._optimizer.param_groups:
            torch.mul(rate, group["factor"], out=group["lr"])
        if self._net.write_errors is not None:
            self._net.write_errors.share.copy_(self._shares.index_select(0, self._at)[0])
        self._at += 1
        images = crop_and_flip(self.data.padded, batch, self.data.pad)
        target = self.data.labels[batch[CHOSEN].long()]
        with self._autocast:
            logits = self._forward(images).float()
        smoothing = self._config.label_smoothing
        loss = functional.cross_entropy(logits, target, label_smoothing=smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        with torch.no_grad():
            self._net.clip_latent()
            self.loss_sum += loss.detach()
            self.right += (logits.argmax(1) == target).sum()
