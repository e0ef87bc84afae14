"""The reference network: XNOR-popcount layers in plain Python, written to be read.

Every other kernel (viper, assembler, C) and every simulator gives the same integers. Signed sums
are over products of +-1; a tap beyond the map adds nothing, unless the layer has a pad value.
"""

import struct

from mtjkit_core.bits import load_word, mismatches, store_word, tail_mask
from mtjkit_core.geometry import AVERAGES, CLASS_BITS, INT8, NUMBERS, PACKED, PLUS_MINUS, SIGNED
from mtjkit_core.mtj_memory import write
from mtjkit_core.streams import BUFFER, seed_streams


def plain_sum(model, layer, values, y, x, channel) -> int:
    """Signed sum of the products over the window of output (y, x), one by one: of any layer.

    `values` is the list of the layer's input values: see `input_values`.
    """
    data = model.data
    group = layer.in_channels // layer.groups  # channels of a group, and the first one
    first = channel // (layer.out_channels // layer.groups) * group
    top = y * layer.stride_y - layer.pad_top
    left = x * layer.stride_x - layer.pad_left
    beyond = [layer.pad_value] * group
    total = 0
    row = layer.weights_at + 4 * channel * layer.row_words
    at = 0  # the weight's bit in the row; with int8 weights its byte
    step = group if layer.run_is_row else 32 * layer.in_words
    for iy in range(top, top + layer.kernel_height):
        for ix in range(left, left + layer.kernel_width):
            tap = beyond
            if 0 <= iy < layer.in_height and 0 <= ix < layer.in_width:
                start = (iy * layer.in_width + ix) * layer.in_channels + first
                tap = values[start : start + group]
            weight = at
            for value in tap:
                if layer.cells > 1:
                    total += value * ((data[row + weight] ^ 128) - 128)
                elif data[row + (weight >> 3)] >> (weight & 7) & 1:
                    total += value
                else:
                    total -= value
                weight += 1
            at += step
    return total


def input_values(layer, source) -> list:
    """A layer's input values in (y, x, channel) order.

    `source` is bytes-like: an image of int8, packed bits or int16. A layer that reads 0 and 1, or
    -1 and +1, takes a byte above 0 as 1.
    """
    depth = layer.in_channels
    pixels = layer.in_height * layer.in_width
    if layer.reads == NUMBERS:
        return list(struct.unpack_from("<%dh" % (depth * pixels), source, 0))
    if layer.reads == PACKED:
        values = []
        for run in range(0, 4 * layer.in_words * pixels, 4 * layer.in_words):
            values += [2 * (source[run + (c >> 3)] >> (c & 7) & 1) - 1 for c in range(depth)]
        return values
    values = [(value ^ 128) - 128 for value in source[: depth * pixels]]
    if layer.reads == INT8:
        return values
    low = (0, -1)[layer.reads == PLUS_MINUS]
    return [1 if value > 0 else low for value in values]


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


def is_packed(layer) -> bool:
    """Whether `packed_sum` computes the layer: it reads whole words of a packed map."""
    return layer.reads == PACKED and not layer.run_is_row


def inputs(layer, source):
    """What `layer_sum` reads: a packed map as it is, else the list of the input values."""
    return source if is_packed(layer) else input_values(layer, source)


def layer_sum(model, layer, inputs, y, x, channel) -> int:
    """Signed sum of output (y, x, channel), before pooling."""
    one = packed_sum if is_packed(layer) else plain_sum
    return one(model, layer, inputs, y, x, channel)


def layer_map(model, layer, source, out) -> None:
    """Fill `out` (bytearray) with a hidden layer's intended output: packed, pooled bits.

    bit = (S >= threshold) XOR inverted; max pooling is the OR of the bits of its window, and the
    sign mask of SIGNED changes the pooled bits. The output of average pooling is int16: how many
    bits of a window are 1, less how many are 0.
    """
    source = inputs(layer, source)
    w = 0
    if layer.output == AVERAGES:
        for y in range(layer.map_height):
            for x in range(layer.map_width):
                for c in range(layer.out_channels):
                    ones = window_ones(model, layer, source, y, x, c)
                    average = 2 * ones - layer.pool_height * layer.pool_width
                    struct.pack_into("<h", out, 2 * w, average)
                    w += 1
        if w & 1:  # up to a whole word
            struct.pack_into("<h", out, 2 * w, 0)
        return
    for y in range(layer.map_height):
        for x in range(layer.map_width):
            for first in range(0, layer.out_channels, 32):
                word = 0
                for c in range(first, min(first + 32, layer.out_channels)):
                    ones = window_ones(model, layer, source, y, x, c, 1)
                    word |= ones << (c - first)
                if layer.output == SIGNED:
                    signs = (layer.inverted_at >> 2) + layer.out_words
                    word ^= load_word(model.data, signs + (first >> 5))
                store_word(out, w, word)
                w += 1


def window_ones(model, layer, inputs, y, x, channel, enough=0) -> int:
    """How many bits of the pooling window of output (y, x) are 1; counted up to `enough`."""
    threshold, inverted = decision(model, layer, channel)
    top = y * layer.pool_stride_y
    left = x * layer.pool_stride_x
    ones = 0
    for sy in range(top, top + layer.pool_height):
        for sx in range(left, left + layer.pool_width):
            total = layer_sum(model, layer, inputs, sy, sx, channel)
            if (total >= threshold) != inverted:
                ones += 1
                if ones == enough:
                    return ones
    return ones


def decision(model, layer, channel) -> tuple:
    """Threshold of an output, and whether its bit is inverted."""
    (threshold,) = struct.unpack_from("<i", model.data, layer.thresholds_at + 4 * channel)
    mask = load_word(model.data, (layer.inverted_at >> 2) + (channel >> 5))
    return threshold, mask >> (channel & 31) & 1


def layer_scores(model, layer, source) -> list:
    """The last layer's scores: its signed sums, or 1 and -1 for the bits of its thresholds."""
    source = inputs(layer, source)
    scores = [layer_sum(model, layer, source, 0, 0, c) for c in range(layer.out_channels)]
    if layer.output == CLASS_BITS:
        for c in range(layer.out_channels):
            threshold, inverted = decision(model, layer, c)
            scores[c] = 1 if (scores[c] >= threshold) != inverted else -1
    return scores


def run_image(model, image, index, errors, counts, trace=None) -> list:
    """Classify one image through the memory; the whole definition in one place.

    Args:
        model: mtjkit_core.model.Model.
        image: int8 pixels (bytes-like) in (y, x, channel) order.
        index: index of the image in the data.
        errors: mtjkit_core.write_errors.WriteErrors, or chip_errors.ChipErrors; what they say
            of weights takes no part.
        counts: five numbers of bits, added to: see write_errors.COUNTS.
        trace: None, or a list that receives each hidden layer's stored map, or averages (bytes).

    Returns:
        The scores: see `layer_scores`.
    """
    halves = [bytearray(4 * words) for words in model.half_words]  # all cells in the P state
    if not errors.plain:
        from mtjkit_core import chip_memory

        chip_memory.begin(halves, errors, index)
    state = [0] * 32
    source = image
    for layer in model.layers[:-1]:
        intended = bytearray(4 * layer.map_words)
        layer_map(model, layer, source, intended)
        source = intended
        if layer.output != AVERAGES:  # which are never in the memory
            source = halves[layer.index & 1]
            seed_streams(state, errors.seed, index, BUFFER, layer.index)
            if errors.plain:
                limits = errors.of_map(layer.index)
                write_map(layer, source, intended, state, limits, errors.kind, counts)
            else:
                chip_memory.write_map(layer, source, intended, state, errors, counts)
        if trace is not None:
            trace.append(bytes(source[: 4 * layer.map_words]))
    return layer_scores(model, model.layers[-1], source)


def write_map(layer, cells, intended, state, limits, kind, counts) -> None:
    """Write a hidden layer's output into its half of the buffer: see mtj_memory.write."""
    tail = tail_mask(layer.out_channels)
    write(cells, intended, layer.map_words, layer.out_words, tail, state, limits, kind, counts)
