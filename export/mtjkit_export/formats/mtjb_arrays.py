"""What a model file holds, as arrays: the way back from `mtjb_writer.encode`."""

from __future__ import annotations

import numpy as np
from mtjkit_core.geometry import AVERAGES, BITS, CONV, DENSE, SIGNED, SUMS, LayerShape
from mtjkit_core.model import Model
from numpy.typing import NDArray

from mtjkit_export.nets.binary import INPUTS, BinaryLayer, BinaryNet
from mtjkit_export.nets.pixels import PixelRule, PixelTables


def decode(model: Model) -> BinaryNet:
    """A model as arrays; `encode` makes the same network of them, in the lowest version it can.

    Taps beyond the map that no window reaches may be left out.
    """
    pixels: PixelRule | PixelTables | None = PixelRule(*model.pixel_rule)
    if model.tables_at:
        channels = model.input_shape[2]
        tables = np.frombuffer(model.data, np.int8, 256 * channels, model.tables_at)
        pixels = PixelTables(tables.reshape(channels, 256))
    elif model.pixels:
        pixels = None
    scale = offset = None
    if model.scales_at:
        pairs = np.frombuffer(model.data, "<f4", 2 * model.classes, model.scales_at)
        scale, offset = pairs[::2], pairs[1::2]
    names = {reads: name for name, reads in INPUTS.items()}
    return BinaryNet(
        model.name,
        [_layer(model, layer) for layer in model.layers],
        model.input_shape,
        pixels,
        tuple(model.class_names),
        names[model.layers[0].reads],
        scale,
        offset,
        model.by_sign,
    )


def _layer(model: Model, layer: LayerShape) -> BinaryLayer:
    shape = (layer.out_channels, layer.kernel_height, layer.kernel_width, -1)
    words = np.frombuffer(model.data, "<u4", layer.weight_words, layer.weights_at)
    if layer.cells > 1:
        rows = words.view(np.int8).reshape(layer.out_channels, -1)[:, : layer.fan_in]
    else:
        rows = 2 * unpack_runs(words.reshape(-1, layer.run_words), layer.run_bits).view(np.int8) - 1
    weights = rows.astype(np.int8).reshape(shape)
    bits = 8 if layer.cells > 1 else 1
    thresholds = inverted = signs = None
    if layer.output != SUMS:
        data, count = model.data, layer.out_channels
        thresholds = np.frombuffer(data, "<i4", count, layer.thresholds_at).astype(np.int32)
        inverted = _mask(model, layer, layer.inverted_at)
    if layer.kind == DENSE:
        return BinaryLayer(DENSE, weights, thresholds, inverted, weight_bits=bits)
    if layer.output == SIGNED:
        signs = _mask(model, layer, layer.inverted_at + 4 * layer.out_words)
    pool = (layer.pool_height, layer.pool_width)
    steps = (layer.pool_stride_y, layer.pool_stride_x)
    pooled = layer.output != BITS or (pool, steps) != ((1, 1), (1, 1))
    return BinaryLayer(
        CONV,
        weights,
        thresholds,
        inverted,
        (layer.stride_y, layer.stride_x),
        _pads(layer),
        layer.pad_value,
        pool if pooled else None,
        steps if pooled else None,
        "average" if layer.output == AVERAGES else "max",
        layer.groups,
        bits,
        signs,
    )


def _pads(layer: LayerShape) -> tuple[int, int, int, int]:
    """Taps beyond the map: top, left, bottom, right."""
    if layer.padding >= 0:
        return (layer.padding,) * 4
    bottom = (layer.out_height - 1) * layer.stride_y + layer.kernel_height - layer.pad_top
    right = (layer.out_width - 1) * layer.stride_x + layer.kernel_width - layer.pad_left
    beyond = max(0, bottom - layer.in_height), max(0, right - layer.in_width)
    return (layer.pad_top, layer.pad_left, *beyond)


def _mask(model: Model, layer: LayerShape, at: int) -> NDArray[np.bool_]:
    words = np.frombuffer(model.data, "<u4", layer.out_words, at)
    return unpack_runs(words, layer.out_channels).astype(np.bool_)


def unpack_runs(words: NDArray[np.uint32], count: int) -> NDArray[np.uint8]:
    """The first `count` bits of each run: (..., words) -> (..., count) 0 or 1."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=count, bitorder="little")
