"""A torch module, imported: its own forward pass gives the scores."""

import numpy as np
import torch
from mtjkit_core.model import Model
from mtjkit_export import encode
from mtjkit_export.importers.inputs import parse_scale
from mtjkit_export.importers.lower import Options, lower
from mtjkit_export.importers.torch_module import from_torch
from mtjkit_host.importing.check import check, random_images
from mtjkit_host.simulate.simulator import open_simulator
from torch import nn


class Sign(nn.Module):
    def forward(self, x):
        return torch.where(x >= 0, 1.0, -1.0)


class BinaryConv(nn.Conv2d):
    """Latent weights, whose signs the forward pass takes."""

    def forward(self, x):
        w = torch.where(self.weight >= 0, 1.0, -1.0)
        return nn.functional.conv2d(x, w, None, self.stride, self.padding)


class BinaryLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, torch.where(self.weight >= 0, 1.0, -1.0))


def test_a_lenet_with_5x5_kernels_and_stride_2(tmp_path):
    torch.manual_seed(3)
    net = nn.Sequential(
        BinaryConv(1, 6, 5, stride=2), nn.BatchNorm2d(6), Sign(),
        BinaryConv(6, 8, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(8), Sign(), nn.Flatten(),
        BinaryLinear(8 * 6 * 6, 20), nn.BatchNorm1d(20), Sign(), BinaryLinear(20, 10),
    )  # fmt: skip
    for module in net:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.running_mean, 0, 5)
            nn.init.uniform_(module.running_var, 1, 30)
    graph = from_torch(net, torch.zeros(1, 1, 28, 28))
    lowered = lower(graph, Options(scale=parse_scale("bytes")))
    images = random_images(lowered, 16)
    check(lowered, images, "image")
    scores, _ = open_simulator(Model(encode(lowered.net))).run(images)
    with torch.no_grad():
        expected = net(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32)))
    assert (scores == expected.numpy()).all()


def test_weights_that_are_centred_and_scaled(tmp_path):
    """XNOR-Net's weights: the sign of w - mean, times the mean of absolute values."""

    class Scaled(nn.Linear):
        def forward(self, x):
            w = (self.weight - self.weight.mean(1, keepdim=True)).clamp(-1, 1)
            scale = w.abs().sum(1, keepdim=True).div(w[0].nelement())
            return nn.functional.linear(x, w.sign().mul(scale.expand(w.size())))

    torch.manual_seed(4)
    net = nn.Sequential(nn.Flatten(), Scaled(16, 9), nn.BatchNorm1d(9), Sign(), Scaled(9, 4))
    graph = from_torch(net, torch.zeros(1, 1, 4, 4))
    lowered = lower(graph, Options(scale=parse_scale("int8")))
    images = random_images(lowered, 16)
    check(lowered, images, "image")
    scores, _ = open_simulator(Model(encode(lowered.net))).run(images)
    with torch.no_grad():
        expected = net(torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    assert np.allclose(lowered.values(scores), expected, rtol=1e-5, atol=1e-6)
