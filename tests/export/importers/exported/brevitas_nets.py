"""Writes the networks of this folder that Brevitas exports: `python brevitas_nets.py FOLDER`.

Needs brevitas and onnxoptimizer. Each NAME.onnx is what `export_qonnx` wrote; NAME.npz holds images
and the scores that torch gave for them.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from brevitas import nn as qnn
from brevitas.export import export_qonnx
from brevitas.quant import SignedBinaryActPerTensorConst, SignedBinaryWeightPerTensorConst
from torch import nn


class Weight(SignedBinaryWeightPerTensorConst):
    scaling_const = 1.0


class Act(SignedBinaryActPerTensorConst):
    scaling_const = 1.0


def sign():
    return qnn.QuantIdentity(act_quant=Act)


def dense(inputs, outputs):
    return qnn.QuantLinear(inputs, outputs, bias=False, weight_quant=Weight)


def conv(inputs, outputs, kernel, **more):
    return qnn.QuantConv2d(inputs, outputs, kernel, bias=False, weight_quant=Weight, **more)


class Middle(nn.Module):
    """Bytes around 0."""

    def forward(self, x):
        return x - 127.5


def mlp():
    return nn.Sequential(
        Middle(), sign(), dense(64, 48), nn.BatchNorm1d(48), sign(), dense(48, 32),
        nn.BatchNorm1d(32), sign(), dense(32, 10),
    )  # fmt: skip


def vgg():
    return nn.Sequential(
        conv(3, 8, 3, padding=1), nn.BatchNorm2d(8), sign(),
        conv(8, 8, 3), nn.MaxPool2d(2), nn.BatchNorm2d(8), sign(),
        conv(8, 16, 3), nn.BatchNorm2d(16), sign(), nn.MaxPool2d(2), nn.Flatten(),
        dense(16 * 2 * 2, 32), nn.BatchNorm1d(32), sign(), dense(32, 10), nn.BatchNorm1d(10),
    )  # fmt: skip


def lenet():
    return nn.Sequential(
        conv(1, 6, 5, stride=2), nn.BatchNorm2d(6), sign(),
        conv(6, 16, 5, stride=2), nn.BatchNorm2d(16), sign(), nn.Flatten(),
        dense(16 * 4 * 4, 32), nn.BatchNorm1d(32), sign(), dense(32, 10),
    )  # fmt: skip


def keywords():
    """Depthwise-separable, on maps of 49 frames and 10 coefficients."""
    return nn.Sequential(
        conv(1, 16, (10, 4), stride=2), nn.BatchNorm2d(16), sign(),
        conv(16, 16, 3, groups=16), nn.BatchNorm2d(16), sign(),
        conv(16, 24, 1), nn.BatchNorm2d(24), sign(),
        nn.AvgPool2d((18, 2)), nn.Flatten(), dense(24, 12),
    )  # fmt: skip


def detector():
    """One output, whose sign decides."""
    return nn.Sequential(dense(40, 24), nn.BatchNorm1d(24), sign(), dense(24, 1), nn.BatchNorm1d(1))


def samples():
    """A 1-D convolution over 187 samples."""

    def conv1(inputs, outputs, kernel, **more):
        return qnn.QuantConv1d(inputs, outputs, kernel, bias=False, weight_quant=Weight, **more)

    return nn.Sequential(
        conv1(1, 8, 7, stride=2), nn.BatchNorm1d(8), sign(), nn.MaxPool1d(2),
        conv1(8, 8, 5), nn.BatchNorm1d(8), nn.MaxPool1d(3), sign(), nn.Flatten(),
        dense(8 * 13, 5),
    )  # fmt: skip


NETS = {
    mlp: (64,),
    vgg: (3, 14, 14),
    lenet: (1, 28, 28),
    keywords: (1, 49, 10),
    detector: (40,),
    samples: (1, 187),
}
IMAGES = 16


def main():
    folder = Path(sys.argv[1])
    for make, shape in NETS.items():
        torch.manual_seed(1)
        net = make().eval()
        for module in net:
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
                nn.init.normal_(module.running_mean, 0, 4)
                nn.init.uniform_(module.running_var, 1, 30)
        path = folder / f"brevitas_{make.__name__}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export_qonnx(net, args=torch.zeros(1, *shape), export_path=str(path))
        model = onnx.load(path)
        for item in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model):
            item.ClearField("metadata_props")  # lines of source
        onnx.save(model, path)  # as one file
        path.with_suffix(".onnx.data").unlink(missing_ok=True)
        low, high = (0, 256) if make is mlp else (-128, 128)
        kind = np.uint8 if make is mlp else np.int8
        images = np.random.default_rng(2).integers(low, high, (IMAGES, *shape), kind)
        with torch.no_grad():
            scores = net(torch.from_numpy(images.astype(np.float32))).numpy()
        np.savez_compressed(path.with_suffix(".npz"), images=images, scores=scores)


if __name__ == "__main__":
    main()
