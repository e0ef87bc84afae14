"""Exact inference with a trained net."""

from __future__ import annotations

import numpy as np
import torch
from mtjkit_core.model import Model
from mtjkit_export.formats.mtjb_writer import encode
from torch import Tensor

from mtjkit_host.datasets.dataset import Images, Labels
from mtjkit_host.simulate.binary_native import BinaryNative
from mtjkit_host.train.lower import fold
from mtjkit_host.train.modules import Net


@torch.no_grad()
def predict(net: Net, images: Images, batch: int = 100) -> Tensor:
    """Return the scores S ``(N, classes)`` of images ``(N, H, W, C)``, exactly, on the CPU.

    Puts the net in eval mode. float32, or float64 for 16- and 32-bit nets.
    """
    net.eval()
    device = net.log_scale.device
    parts = [
        net.scores(torch.from_numpy(images[i : i + batch]).to(device))
        for i in range(0, len(images), batch)
    ]
    return torch.cat(parts).cpu()


def evaluate(net: Net, images: Images, labels: Labels, batch: int = 100) -> float:
    """Return the share of images, 0 to 1, whose highest score (lowest class on a tie) is right."""
    scores = predict(net, images, batch).numpy()
    return float(np.mean(scores.argmax(axis=1) == labels))


def evaluate_packed(net: Net, images: Images, labels: Labels) -> float:
    """Return what `evaluate` returns for a binary net, from its packed model: several times faster.

    It computes on as many threads as torch has.

    Raises:
        ConfigError: the net is a fixed-point one, or there is no C compiler.
    """
    model = Model(encode(fold(net)))
    simulator = BinaryNative(model, torch.get_num_threads())
    scores, _ = simulator.run(images)
    return float(np.mean(scores.argmax(axis=1) == labels))
