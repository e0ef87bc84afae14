"""Writer of fixed-point nets of 8 bits as int8 TFLite files (TFLITE.md); extra ``tflite``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from mtjkit_core.errors import ConfigError
from numpy.typing import NDArray

from mtjkit_export.files import write_atomically
from mtjkit_export.needs import needs
from mtjkit_export.nets.fixed import FixedLayer, FixedNet, FoldedNorm

ONE = 128
"""Codes for the value 1: a code of 8 bits stands for code / 128."""


@dataclass(frozen=True)
class Int8Layer:
    """A hidden layer in TFLite's terms: code = clip(round(scale * (A + bias))).

    A is the integer sum of products of codes, TFLite's int32 accumulator.
    """

    weights: NDArray[np.int8]
    """(out, height, width, in), or (out, height, width, 2 in) where ``doubled``."""
    scales: NDArray[np.float32]
    """(out,): of the weights, |gamma| / (128 std). The input's and the output's scale are both
    1/128, so this is also the factor from A to the output code."""
    bias: NDArray[np.int32]
    """(out,), in steps of A."""
    doubled: bool
    """The input's channels come twice: a weight of +128 is the sum of two."""


def fold_int8(layer: FixedLayer, shape: tuple[int, int]) -> Int8Layer:
    """Fold a hidden layer's batch norm into scales and biases.

    Args:
        layer: with batch norm.
        shape: (height, width) of the kernel: (3, 3), or the whole map for a dense layer.

    Raises:
        ConfigError: the layer has no batch norm, or a channel needs a bias or a factor that int32
            arithmetic does not hold.
    """
    norm = layer.norm
    if norm is None:
        raise ConfigError("TFLite: a hidden layer has no batch norm")
    weights = weight_codes(layer, shape)
    reach = np.abs(weights).reshape(len(weights), -1).sum(1) * ONE  # the largest |A| there is
    gain = np.abs(norm.gamma) / norm.std / ONE
    scales = gain.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = np.rint((norm.beta - norm.gamma * norm.mean / norm.std) * ONE / scales)
        # A kernel shifts the sum left before it multiplies where the factor is above 1.
        shift = np.exp2(np.maximum(np.frexp(scales)[1], 0))
        fits = (scales >= 2.0**-31) & ((np.abs(bias) + reach) * shift < 2**31)
    low, high = (_codes(norm, sign * reach) for sign in (-1, 1))
    if not np.all(fits | (low == high)):
        channel = int(np.argmin(fits | (low == high)))
        raise ConfigError(
            f"TFLite: batch norm of channel {channel} (gamma {norm.gamma[channel]:g}, "
            f"std {norm.std[channel]:g}) does not fit int32 arithmetic; train further"
        )
    weights[norm.gamma < 0] *= -1  # scales are positive
    weights[~fits] = 0  # a channel whose code is the same for every input
    doubled = bool((weights > ONE - 1).any())
    if doubled:
        kept = weights.clip(1 - ONE, ONE - 1)
        weights = np.concatenate([kept, weights - kept], axis=-1)
    return Int8Layer(
        weights.astype(np.int8),
        np.where(fits, scales, 1).astype(np.float32),
        np.where(fits, bias, low).astype(np.int32),
        doubled,
    )


def encode_tflite(net: FixedNet) -> bytes:
    """Turn a fixed-point net of 8 bits into the bytes of a TFLite file.

    The input is int8 (1, side, side, channels), q = pixel - 128; the output float32 (1, classes),
    the sums S of the last layer.

    Raises:
        ConfigError: another number of bits, a channel that does not fit, or the extra ``tflite``
            is not installed.
    """
    if net.bits != 8:
        raise ConfigError(f"{net.name}: a TFLite file holds nets of 8 bits only (fxp8)")
    with needs("tflite"):
        from ai_edge_litert import schema_py_generated as schema

        from mtjkit_export.formats.tflite.graph import Graph
    step = np.array([1 / ONE], np.float32)
    graph = Graph(f"mtjkit {net.name}: feature maps and weights in [-1, 1), steps of 1/128")
    channels = net.layers[0].codes.shape[1]
    at = image = graph.tensor("image", (1, net.side, net.side, channels), "int8", step)
    for index, layer in enumerate(net.layers[:-1]):
        _, rows, columns, channels = graph.shape(at)
        conv = layer.kind == "conv"
        folded = fold_int8(layer, (3, 3) if conv else (rows, columns))
        out = len(folded.weights)
        if folded.doubled:
            twice = graph.tensor(f"twice{index}", (1, rows, columns, 2 * channels), "int8", step)
            options = schema.ConcatenationOptionsT(axis=3)
            at = graph.operator("CONCATENATION", 2, [at, at], twice, options)
        if not conv:  # one place that sees the whole map
            rows = columns = 1
        weights = graph.constant(f"weights{index}", folded.weights, folded.scales)
        bias = graph.constant(f"bias{index}", folded.bias, folded.scales * step)
        codes = graph.tensor(f"codes{index}", (1, rows, columns, out), "int8", step)
        padding = schema.Padding.SAME if conv else schema.Padding.VALID
        options = schema.Conv2DOptionsT(padding, strideW=1, strideH=1)
        at = graph.operator("CONV_2D", 3, [at, weights, bias], codes, options)
        if layer.pool == 2:
            pooled = graph.tensor(f"map{index}", (1, rows // 2, columns // 2, out), "int8", step)
            options = schema.Pool2DOptionsT(schema.Padding.VALID, 2, 2, 2, 2)
            at = graph.operator("MAX_POOL_2D", 2, [at], pooled, options)
    # The last layer's sums in float32, exact: every partial sum is an integer below 2^24 in
    # steps of 2^-14. An int8 output would give the two highest scores the same code too often.
    head = net.layers[-1]
    _, rows, columns, channels = graph.shape(at)
    flat = weight_codes(head, (rows, columns)).reshape(len(head.codes), -1).astype(np.int8)
    stored = graph.constant("weights", flat, step)
    values = graph.operator(
        "DEQUANTIZE", 2, [stored], graph.tensor("weight_values", flat.shape, "float32")
    )
    inputs = graph.operator(
        "DEQUANTIZE", 2, [at], graph.tensor("last_values", graph.shape(at), "float32")
    )
    scores = graph.tensor("scores", (1, len(flat)), "float32")
    options = schema.FullyConnectedOptionsT()
    graph.operator("FULLY_CONNECTED", 1, [inputs, values, -1], scores, options)
    return graph.encode([image], [scores])


def export_tflite(net: FixedNet, path: str | os.PathLike[str]) -> bytes:
    """Write a fixed-point net of 8 bits as a TFLite file, atomically, and return its bytes.

    Raises:
        ConfigError: see `encode_tflite`; or the file cannot be written.
    """
    data = encode_tflite(net)
    write_atomically(path, data)
    return data


def score_step(net: FixedNet) -> float:
    """Return the step of an int8 tensor that could hold every score of this net.

    max over classes of sum |w| / 128. It is also how far a score can move when every code of the
    last feature map moves by one step.
    """
    codes: NDArray[Any] = np.abs(net.layers[-1].codes.astype(np.int64))
    return float(codes.sum(1).max()) / ONE**2


def weight_codes(layer: FixedLayer, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return weights as (out, height, width, in); a dense layer has them in (y, x, in) order."""
    if layer.kind == "conv":
        return layer.codes.transpose(0, 2, 3, 1).astype(np.int32)
    return layer.codes.reshape(len(layer.codes), *shape, -1).astype(np.int32)


def _codes(norm: FoldedNorm, sums: NDArray[np.int64]) -> NDArray[np.float64]:
    y = norm(sums / ONE**2)
    codes: NDArray[np.float64] = np.rint(y * ONE).clip(-ONE, ONE - 1)
    return codes
