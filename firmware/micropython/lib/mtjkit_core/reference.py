"""The reference network: XNOR-popcount layers in plain Python, written to be read.

Every other kernel (viper, assembler, C) and every host twin gives the same integers. Signed sums
are over products of +-1; a tap beyond the map adds nothing, unless the layer has a pad value.
"""

import struct

from mtjkit_core.bits import load_word, mismatches, store_word, tail_mask
from mtjkit_core.geometry import CLASS_BITS, INT8, PACKED, PLUS_MINUS
from mtjkit_core.mtj_memory import write
from mtjkit_core.streams import BUFFER, seed_streams


def image_sum(model, layer, image, y, x, channel) -> int:
    """First layer: signed sum of input values over the window of output (y, x).

    `image` is bytes-like, int8 two's complement in (y, x, channel) order. A layer that reads 0 and
    1, or -1 and +1, takes a byte above 0 as 1.
    """
    depth = layer.in_channels
    low = -1 if layer.reads == PLUS_MINUS else 0
    top = y * layer.stride_y - layer.pad_top
    left = x * layer.stride_x - layer.pad_left
    total = 0
    bit = 32 * ((layer.weights_at >> 2) + channel * layer.row_words)
    for iy in range(top, top + layer.kernel_height):
        for ix in range(left, left + layer.kernel_width):
            inside = 0 <= iy < layer.in_height and 0 <= ix < layer.in_width
            at = (iy * layer.in_width + ix) * depth
            for c in range(depth):
                pixel = (image[at + c] ^ 128) - 128 if inside else layer.pad_value
                if inside and layer.reads != INT8:
                    pixel = 1 if pixel > 0 else low
                weight = model.data[(bit + c) >> 3] >> ((bit + c) & 7) & 1
                total += pixel if weight else -pixel
            bit += depth
    return total


def packed_sum(model, layer, cells, y, x, channel) -> int:
    """Hidden layer: n - 2 * popcount(map XOR weights) over the n inputs of output (y, x).

    Taps beyond the map are inputs too if the pad value is +1 or -1.
    """
    run = 4 * layer.in_words  # bytes of one pixel
    weights_at = layer.weights_at + 4 * channel * layer.row_words
    top = y * layer.stride_y - layer.pad_top
    left = x * layer.stride_x - layer.pad_left
    width = layer.kernel_width
    first = max(0, -left)  # taps first .. end - 1 of the window's rows lie inside the map
    end = min(width, layer.in_width - left)
    n = 0
    differ = 0
    for iy in range(top, top + layer.kernel_height):
        if 0 <= iy < layer.in_height:
            at = (iy * layer.in_width + left + first) * run
            size = (end - first) * run
            differ += mismatches(cells, at, model.data, weights_at + first * run, size)
            n += (end - first) * layer.in_channels
            beyond = (0, first, end, width)
        else:
            beyond = (0, width, 0, 0)
        if layer.pad_value:
            for a, b in (beyond[:2], beyond[2:]):
                bits = (b - a) * layer.in_channels
                size = (b - a) * run
                ones = mismatches(bytes(size), 0, model.data, weights_at + a * run, size)
                differ += bits - ones if layer.pad_value > 0 else ones
                n += bits
        weights_at += width * run
    return n - 2 * differ


def layer_sum(model, layer, source, y, x, channel) -> int:
    """Signed sum of output (y, x, channel), before pooling."""
    one = packed_sum if layer.reads == PACKED else image_sum
    return one(model, layer, source, y, x, channel)


def layer_map(model, layer, source, out) -> None:
    """Fill `out` (bytearray) with a hidden layer's intended output: packed, pooled bits.

    bit = (S >= threshold) XOR inverted; max pooling is the OR of the bits of its window.
    """
    w = 0
    for y in range(layer.map_height):
        for x in range(layer.map_width):
            for first in range(0, layer.out_channels, 32):
                inverted = load_word(model.data, (layer.inverted_at >> 2) + (first >> 5))
                word = 0
                for c in range(first, min(first + 32, layer.out_channels)):
                    bit = inverted >> (c - first) & 1
                    word |= pooled_bit(model, layer, source, y, x, c, bit) << (c - first)
                store_word(out, w, word)
                w += 1


def pooled_bit(model, layer, source, y, x, channel, inverted) -> int:
    """The bit of a stored pixel (y, x): 1 if a sum of its pooling window gives 1."""
    (threshold,) = struct.unpack_from("<i", model.data, layer.thresholds_at + 4 * channel)
    top = y * layer.pool_stride_y
    left = x * layer.pool_stride_x
    for sy in range(top, top + layer.pool_height):
        for sx in range(left, left + layer.pool_width):
            total = layer_sum(model, layer, source, sy, sx, channel)
            if (total >= threshold) != inverted:
                return 1
    return 0


def layer_scores(model, layer, source) -> list:
    """The last layer's scores: its signed sums, or 1 and -1 for the bits of its thresholds."""
    scores = [layer_sum(model, layer, source, 0, 0, c) for c in range(layer.out_channels)]
    if layer.output == CLASS_BITS:
        for c in range(layer.out_channels):
            inverted = load_word(model.data, (layer.inverted_at >> 2) + (c >> 5)) >> (c & 31) & 1
            (threshold,) = struct.unpack_from("<i", model.data, layer.thresholds_at + 4 * c)
            scores[c] = 1 if (scores[c] >= threshold) != inverted else -1
    return scores


def run_image(model, image, index, errors, counts, trace=None) -> list:
    """Classify one image through the memory; the whole definition in one place.

    Args:
        model: mtjkit_core.model.Model.
        image: int8 pixels (bytes-like) in (y, x, channel) order.
        index: index of the image in the data.
        errors: mtjkit_core.write_errors.WriteErrors; its limits of weights take no part.
        counts: five numbers of bits, added to: see write_errors.COUNTS.
        trace: None, or a list that receives each hidden layer's stored map (bytes).

    Returns:
        The scores: see `layer_scores`.
    """
    halves = [bytearray(4 * words) for words in model.half_words]  # all cells in the P state
    state = [0] * 32
    source = image
    for layer in model.layers[:-1]:
        intended = bytearray(4 * layer.map_words)
        layer_map(model, layer, source, intended)
        cells = halves[layer.index & 1]
        seed_streams(state, errors.seed, index, BUFFER, layer.index)
        limits = errors.of_map(layer.index)
        write_map(layer, cells, intended, state, limits, errors.kind, counts)
        if trace is not None:
            trace.append(bytes(cells[: 4 * layer.map_words]))
        source = cells
    return layer_scores(model, model.layers[-1], source)


def write_map(layer, cells, intended, state, limits, kind, counts) -> None:
    """Write a hidden layer's output into its half of the buffer: see mtj_memory.write."""
    tail = tail_mask(layer.out_channels)
    write(cells, intended, layer.map_words, layer.out_words, tail, state, limits, kind, counts)
