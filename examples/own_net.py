"""A binarized network in plain torch, trained on gestures, as a model file for a board.

    python examples/gestures.py build/gestures.npz
    python examples/own_net.py build/gestures.npz build/own-net.mtjb

Only the last call is mtjkit's. docs/tutorial-own-net.md goes on from here.
"""

from __future__ import annotations

import sys

import mtjkit
import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Step(torch.autograd.Function):
    """+1 where x >= 0, else -1; the gradient passes where |x| <= 1 (Hubara et al. 2016)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


class Sign(nn.Module):
    """The activation of every hidden layer."""

    def forward(self, x):
        return Step.apply(x) if self.training else torch.where(x >= 0, 1.0, -1.0)


class BinaryConv(nn.Conv2d):
    """A convolution whose weights are the signs of latent ones."""

    def forward(self, x):
        w = Step.apply(self.weight) if self.training else torch.where(self.weight >= 0, 1.0, -1.0)
        return functional.conv2d(x, w, None, self.stride, self.padding)


class BinaryLinear(nn.Linear):
    """A dense layer whose weights are the signs of latent ones."""

    def forward(self, x):
        w = Step.apply(self.weight) if self.training else torch.where(self.weight >= 0, 1.0, -1.0)
        return functional.linear(x, w)


def network(classes):
    """Input (n, 3, 64, 1): three axes, 64 samples."""
    return nn.Sequential(
        BinaryConv(3, 32, (5, 1), padding=(2, 0), bias=False), nn.MaxPool2d((2, 1)),
        nn.BatchNorm2d(32), Sign(),
        BinaryConv(32, 32, (5, 1), padding=(2, 0), bias=False), nn.MaxPool2d((4, 1)),
        nn.BatchNorm2d(32), Sign(), nn.Flatten(),
        BinaryLinear(32 * 8, 64, bias=False), nn.BatchNorm1d(64), Sign(),
        BinaryLinear(64, classes, bias=False),
    )  # fmt: skip


def train(net, x, y, epochs, batch=64):
    """Adam with a falling rate; latent weights stay in [-1, 1]."""
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    for step in range(steps):
        some = torch.randint(len(x), (batch,))
        loss = functional.cross_entropy(net(x[some]) / 8, y[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for module in net:
                if isinstance(module, (BinaryConv, BinaryLinear)):
                    module.weight.clamp_(-1, 1)
        if (step + 1) % (len(x) // batch) == 0:
            print(f"step {step + 1} of {steps}, loss {loss.item():.2f}")


def main(data, output, epochs="5"):
    torch.manual_seed(0)
    arrays = np.load(data)
    classes = arrays["classes"].tolist()
    x = torch.from_numpy(arrays["x_train"]).permute(0, 3, 1, 2).float()
    y = torch.from_numpy(arrays["y_train"]).long()
    net = network(len(classes))
    train(net, x, y, int(epochs))
    some = arrays["x_test"][:100], arrays["y_test"][:100]  # compared score by score, too
    print(mtjkit.from_torch(net, x[:1], output, input="int8", classes=classes, images=some))


if __name__ == "__main__":
    main(*sys.argv[1:])
