"""The reference network against sums written out tap by tap; runs on CPython and MicroPython."""

import struct

import networks
import records
from mtjkit_core import reference as xnor
from mtjkit_core.bits import load_word
from mtjkit_core.model import Model


def bit_of(data, start_byte, bit):
    return data[start_byte + (bit >> 3)] >> (bit & 7) & 1


def sum_by_taps(model, layer, source, y, x, channel):
    """The sum by its definition: products of single +-1 (or pixels) over the taps in the image."""
    total = 0
    for ky in range(layer.kernel_height):
        for kx in range(layer.kernel_width):
            iy = y + ky - layer.padding
            ix = x + kx - layer.padding
            if not (0 <= iy < layer.in_height and 0 <= ix < layer.in_width):
                continue
            pixel = iy * layer.in_width + ix
            tap = ky * layer.kernel_width + kx
            row = layer.weights_at + 4 * channel * layer.row_words
            for c in range(layer.in_channels):
                if layer.index == 0:
                    at = pixel * layer.in_channels + c
                    (value,) = struct.unpack("b", bytes(source[at : at + 1]))
                    weight = bit_of(model.data, row, tap * layer.in_channels + c)
                else:
                    run = 32 * layer.in_words
                    value = 2 * bit_of(source, 0, pixel * run + c) - 1
                    weight = bit_of(model.data, row, tap * run + c)
                total += value if weight else -value
    return total


def check_network(name):
    """Every bit of every map by the definition; returns how many sums equal their threshold."""
    model = Model(networks.build(name))
    image = networks.image(name, 1)
    maps = []
    scores = xnor.run_image(model, image, 0, 0, 0, 0, [0, 0, 0], maps)
    ties = 0
    source = image
    for layer, stored in zip(model.layers, maps):
        for y in range(layer.map_height):
            for x in range(layer.map_width):
                for c in range(layer.out_channels):
                    at = layer.thresholds_at + 4 * c
                    (threshold,) = struct.unpack("<i", model.data[at : at + 4])
                    inverted = bit_of(model.data, layer.inverted_at, c)
                    bit = 0
                    for dy in range(1 + layer.pool):
                        for dx in range(1 + layer.pool):
                            at_y = (y << layer.pool) + dy
                            at_x = (x << layer.pool) + dx
                            total = sum_by_taps(model, layer, source, at_y, at_x, c)
                            bit |= (total >= threshold) ^ inverted
                            ties += total == threshold
                    pixel = y * layer.map_width + x
                    assert bit == bit_of(stored, 4 * pixel * layer.out_words, c)
                word = (y * layer.map_width + x + 1) * layer.out_words - 1
                assert load_word(stored, word) >> (layer.out_channels - 1 & 31) <= 1
        source = stored
    last = model.layers[-1]
    for c in range(last.out_channels):
        assert scores[c] == sum_by_taps(model, last, source, 0, 0, c)
    return ties


def test_maps_and_scores_follow_the_definition():
    ties = 0
    for name in ("plain", "padded", "one pixel", "one row", "two by two", "thin"):
        ties += check_network(name)
    assert ties > 20  # sign(0) = +1 was at stake


def test_runs_are_locked():
    for record in records.load("networks"):
        assert records.network_record(record["name"])["runs"] == record["runs"]


def test_networks_are_locked():
    for record in records.load("networks"):
        assert records.crc(networks.build(record["name"])) == record["crc"]
