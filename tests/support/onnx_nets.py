"""Random binarized networks as ONNX files, each in three dialects that compute the same.

"plain" has standard operators only, so that onnxruntime computes it; "qonnx" has latent weights and
BipolarQuant or one-bit Quant; "finn" has MultiThreshold.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIALECTS = ("plain", "qonnx", "finn")


class OnnxNet:
    """Writes one graph."""

    def __init__(self, dialect, shape, opset=13):
        self.dialect, self.shape, self.opset = dialect, shape, opset
        self.nodes, self.initializers = [], []
        self.last = "x"
        self.count = 0

    def constant(self, value):
        self.count += 1
        name = f"c{self.count}"
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op, *operands, domain="", **attributes):
        inputs = [self.last] + [o if isinstance(o, str) else self.constant(o) for o in operands]
        self.count += 1
        self.last = f"t{self.count}"
        self.nodes.append(
            helper.make_node(op, inputs, [self.last], f"n{self.count}", domain=domain, **attributes)
        )
        return self.last

    def weights(self, signs, rng):
        """Name of weights that become the signs."""
        if self.dialect != "qonnx":
            return self.constant(signs.astype(np.float32))
        latent = signs * rng.uniform(0.01, 1, signs.shape)
        kept = self.last
        self.last = self.constant(latent)
        if rng.random() < 0.5:
            name = self.add("BipolarQuant", np.float32(1), domain="qonnx.custom_op.general")
        else:
            name = self.add("Quant", np.float32(1), np.float32(0), np.float32(1), signed=1,
                            narrow=1, rounding_mode="ROUND", domain="onnx.brevitas")  # fmt: skip
        self.last = kept
        return name

    def sign(self, channels):
        """-1 or +1; 0 becomes +1."""
        if self.dialect == "plain":
            condition = self.add("GreaterOrEqual", np.float32(0))
            self.nodes.append(
                helper.make_node(
                    "Where",
                    [condition, self.constant(np.float32(1)), self.constant(np.float32(-1))],
                    [f"{condition}s"],
                )
            )
            self.last = f"{condition}s"
        elif self.dialect == "qonnx":
            self.add("BipolarQuant", np.float32(1), domain="qonnx.custom_op.general")
        else:
            self.add("MultiThreshold", np.zeros((channels, 1), np.float32), out_scale=2.0,
                     out_bias=-1.0, domain="finn.custom_op.general")  # fmt: skip

    def model(self):
        domains = [("", self.opset)] + [
            (domain, 1) for domain in sorted({node.domain for node in self.nodes} - {""})
        ]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            self.initializers,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid(d, v) for d, v in domains], ir_version=8
        )


def signs(rng, shape):
    return rng.choice(np.array([-1.0, 1.0]), shape)


def batch_norm(net, rng, channels):
    gamma = rng.uniform(0.1, 2, channels) * rng.choice([-1, 1, 1], channels)
    if rng.random() < 0.2:
        gamma[rng.integers(channels)] = 3e-7
    net.add("BatchNormalization", gamma, rng.normal(0, 1, channels), rng.normal(0, 4, channels),
            rng.uniform(1, 20, channels), epsilon=1e-4)  # fmt: skip


def random_net(seed, dialect):
    """One network: the same seed gives the same function in each dialect.

    Returns:
        The model, and what `--input` says of its input.
    """
    rng = np.random.default_rng(seed)
    image = rng.random() < 0.6
    latent = np.random.default_rng([seed, 1])
    if image:
        channels = int(rng.choice([1, 3]))
        height, width = (int(n) for n in rng.integers(5, 13, 2))
        net = OnnxNet(dialect, [1, channels, height, width], int(rng.integers(13, 20)))
    else:
        channels, height, width = int(rng.integers(4, 70)), 1, 1
        net = OnnxNet(dialect, [1, channels], int(rng.integers(13, 20)))
    scale = str(rng.choice(["bytes", "int8"]))
    if rng.random() < 0.4:
        net.add("Sub", np.float32(rng.integers(20, 200) - 0.5 if scale == "bytes" else 0.5))
        net.sign(channels)
    padded = False
    for number in range(int(rng.integers(1, 4)) if image else 0):
        out = int(rng.integers(1, 12))
        kernel = [int(n) for n in rng.integers(1, 1 + np.minimum(4, [height, width]))]
        strides = [int(n) for n in rng.choice([1, 1, 2], 2)]
        pads = [int(min(rng.integers(0, 3), k - 1)) for k in kernel * 2]
        if rng.random() < 0.5 or (number == 0 and scale == "bytes" and rng.random() < 0.7):
            pads = [0] * 4
        padded |= any(pads)
        w = net.weights(signs(rng, (out, channels, *kernel)), latent)
        more = [rng.normal(0, 3, out)] if rng.random() < 0.3 else []
        net.add("Conv", w, *more, kernel_shape=kernel, strides=strides, pads=pads)
        height = (height + pads[0] + pads[2] - kernel[0]) // strides[0] + 1
        width = (width + pads[1] + pads[3] - kernel[1]) // strides[1] + 1
        channels = out
        pool = min(height, width) >= 2 and rng.random() < 0.4
        first = rng.random() < 0.5
        if pool and first and rng.random() < 0.5:
            net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            pool, height, width = False, height // 2, width // 2
        batch_norm(net, rng, out)
        if pool and first:
            net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
            pool, height, width = False, height // 2, width // 2
        net.sign(out)
        if pool:
            net.add("MaxPool", kernel_shape=[2, 2], strides=[1, 2])
            height, width = height - 1, width // 2
    if image:
        if rng.random() < 0.5:
            net.add("Transpose", perm=[0, 2, 3, 1])
        if rng.random() < 0.5:
            net.add("Flatten")
        else:
            net.add("Reshape", np.array([1, -1]))
    inputs = channels * height * width
    for _ in range(int(rng.integers(0, 3))):
        out = int(rng.integers(2, 40))
        w = net.weights(signs(rng, (inputs, out)), latent)
        net.add("MatMul", w)
        batch_norm(net, rng, out)
        net.sign(out)
        inputs = out
    classes = int(rng.integers(2, 8))
    if rng.random() < 0.5:
        net.add("MatMul", net.weights(signs(rng, (inputs, classes)), latent))
    else:
        w = net.weights(signs(rng, (classes, inputs)), latent)
        net.add("Gemm", w, rng.normal(0, 2, classes), transB=1)
    if rng.random() < 0.3:
        net.add("Mul", np.float32(0.125))
    if rng.random() < 0.3:
        net.add("Softmax")
    return net.model(), scale


def bytes_of(model):
    return model.SerializeToString()


__all__ = ["DIALECTS", "OnnxNet", "batch_norm", "bytes_of", "onnx", "random_net", "signs"]
