"""The reference network: XNOR-popcount layers in plain Python, written to be read.

Every other kernel (viper, assembler, C) and every host twin gives the same integers. Signed sums
are over products of +-1; a padded tap adds nothing.
"""

import struct

from mtjkit_core.bits import load_word, mismatches, store_word, tail_mask
from mtjkit_core.mtj_memory import write
from mtjkit_core.streams import BUFFER, seed_streams


def image_sum(model, layer, image, y, x, channel) -> int:
    """First layer: signed sum of int8 pixels over the 3x3 window of output (y, x).

    `image` is bytes-like, int8 two's complement in (y, x, channel) order.
    """
    depth = layer.in_channels
    total = 0
    bit = 32 * ((layer.weights_at >> 2) + channel * layer.row_words)
    for ky in range(3):
        for kx in range(3):
            iy = y + ky - layer.padding
            ix = x + kx - layer.padding
            if 0 <= iy < layer.in_height and 0 <= ix < layer.in_width:
                at = (iy * layer.in_width + ix) * depth
                for c in range(depth):
                    pixel = (image[at + c] ^ 128) - 128
                    weight = model.data[(bit + c) >> 3] >> ((bit + c) & 7) & 1
                    total += pixel if weight else -pixel
            bit += depth
    return total


def packed_sum(model, layer, cells, y, x, channel) -> int:
    """Hidden layer: n - 2 * popcount(map XOR weights) over the n in-image inputs of (y, x)."""
    run = 4 * layer.in_words  # bytes of one pixel
    row = layer.weights_at + 4 * channel * layer.row_words
    left = max(0, layer.padding - x)  # first and last column of the window inside the image
    right = min(layer.kernel_width, layer.in_width + layer.padding - x)
    n = 0
    differ = 0
    for ky in range(layer.kernel_height):
        iy = y + ky - layer.padding
        if 0 <= iy < layer.in_height:
            at = (iy * layer.in_width + x + left - layer.padding) * run
            weights_at = row + (ky * layer.kernel_width + left) * run
            differ += mismatches(cells, at, model.data, weights_at, (right - left) * run)
            n += (right - left) * layer.in_channels
    return n - 2 * differ


def layer_sum(model, layer, source, y, x, channel) -> int:
    """Signed sum of output (y, x, channel), before pooling."""
    one = image_sum if layer.index == 0 else packed_sum
    return one(model, layer, source, y, x, channel)


def layer_map(model, layer, source, out) -> None:
    """Fill `out` (bytearray) with a hidden layer's intended output: packed, pooled bits.

    bit = (S >= threshold) XOR inverted; 2x2 pooling is the OR of four bits.
    """
    corners = ((0, 0), (0, 1), (1, 0), (1, 1)) if layer.pool else ((0, 0),)
    w = 0
    for y in range(layer.map_height):
        for x in range(layer.map_width):
            for first in range(0, layer.out_channels, 32):
                inverted = load_word(model.data, (layer.inverted_at >> 2) + (first >> 5))
                word = 0
                for c in range(first, min(first + 32, layer.out_channels)):
                    (threshold,) = struct.unpack_from("<i", model.data, layer.thresholds_at + 4 * c)
                    for dy, dx in corners:
                        total = layer_sum(
                            model, layer, source, (y << layer.pool) + dy, (x << layer.pool) + dx, c
                        )
                        if (total >= threshold) != (inverted >> (c - first) & 1):
                            word |= 1 << (c - first)
                            break
                store_word(out, w, word)
                w += 1


def run_image(model, image, seed, index, threshold, errors, counts, trace=None) -> list:
    """Classify one image through the memory; the whole definition in one place.

    Args:
        model: mtjkit_core.model.Model.
        image: int8 pixels (bytes-like) in (y, x, channel) order.
        seed, index: seed of the run, index of the image in the data.
        threshold: feature-map error rate as an integer (memory.threshold_from_rate).
        errors: memory.FLIP or memory.KEEP.
        counts: [written, toggled, wrong] bits, added to.
        trace: None, or a list that receives each hidden layer's stored map (bytes).

    Returns:
        The scores: signed sums of the last layer.
    """
    halves = [bytearray(4 * words) for words in model.half_words]  # all cells in the P state
    state = [0] * 32
    source = image
    for layer in model.layers[:-1]:
        intended = bytearray(4 * layer.map_words)
        layer_map(model, layer, source, intended)
        cells = halves[layer.index & 1]
        seed_streams(state, seed, index, BUFFER, layer.index)
        write_map(layer, cells, intended, state, threshold, errors, counts)
        if trace is not None:
            trace.append(bytes(cells[: 4 * layer.map_words]))
        source = cells
    last = model.layers[-1]
    return [layer_sum(model, last, source, 0, 0, c) for c in range(last.out_channels)]


def write_map(layer, cells, intended, state, threshold, errors, counts) -> None:
    """Write a hidden layer's output into its half of the buffer."""
    tail = tail_mask(layer.out_channels)
    write(cells, intended, layer.map_words, layer.out_words, tail, state, threshold, errors, counts)
