"""The reference network against sums written out tap by tap; runs on CPython and MicroPython."""

import struct
import sys

import networks
import records
from mtjkit_core import reference as xnor
from mtjkit_core.bits import load_word
from mtjkit_core.geometry import AVERAGES, CLASS_BITS, NUMBERS, PLUS_MINUS, SIGNED, ZERO_ONE
from mtjkit_core.model import Model
from mtjkit_core.write_errors import NO_ERRORS, WriteErrors

ON_MICROPYTHON = sys.implementation.name == "micropython"


def bit_of(data, start_byte, bit):
    return data[start_byte + (bit >> 3)] >> (bit & 7) & 1


def sum_by_taps(model, layer, source, y, x, channel):
    """The sum by its definition: products of single +-1 (or pixels) over the taps in the image."""
    total = 0
    for ky in range(layer.kernel_height):
        for kx in range(layer.kernel_width):
            iy = y * layer.stride_y + ky - layer.pad_top
            ix = x * layer.stride_x + kx - layer.pad_left
            inside = 0 <= iy < layer.in_height and 0 <= ix < layer.in_width
            pixel = iy * layer.in_width + ix
            tap = ky * layer.kernel_width + kx
            row = layer.weights_at + 4 * channel * layer.row_words
            group = layer.in_channels // layer.groups
            first = channel // (layer.out_channels // layer.groups) * group
            run = group if layer.index == 0 or layer.groups > 1 else 32 * layer.in_words
            for c in range(group):
                at = pixel * layer.in_channels + first + c
                if not inside:
                    value = layer.pad_value
                elif layer.index == 0:
                    value = (source[at] ^ 128) - 128
                    if layer.reads == ZERO_ONE:
                        value = int(value > 0)
                    elif layer.reads == PLUS_MINUS:
                        value = 1 if value > 0 else -1
                elif layer.reads == NUMBERS:
                    (value,) = struct.unpack("<h", bytes(source[2 * at : 2 * at + 2]))
                else:
                    value = 2 * bit_of(source, 0, pixel * 32 * layer.in_words + first + c) - 1
                if layer.cells == 8:
                    at = row + tap * group + c
                    weight = (model.data[at] ^ 128) - 128
                else:
                    weight = 2 * bit_of(model.data, row, tap * run + c) - 1
                total += value * weight
    return total


def check_network(name):
    """Every bit of every map by the definition; returns how many sums equal their threshold."""
    model = Model(networks.build(name))
    image = networks.image(name, 1)
    maps = []
    scores = xnor.run_image(model, image, 0, NO_ERRORS, [0] * 5, maps)
    ties = 0
    source = image
    for layer, stored in zip(model.layers, maps):
        for y in range(layer.map_height):
            for x in range(layer.map_width):
                for c in range(layer.out_channels):
                    at = layer.thresholds_at + 4 * c
                    (threshold,) = struct.unpack("<i", model.data[at : at + 4])
                    inverted = bit_of(model.data, layer.inverted_at, c)
                    bit = ones = 0
                    for dy in range(layer.pool_height):
                        for dx in range(layer.pool_width):
                            at_y = y * layer.pool_stride_y + dy
                            at_x = x * layer.pool_stride_x + dx
                            total = sum_by_taps(model, layer, source, at_y, at_x, c)
                            bit |= (total >= threshold) ^ inverted
                            ones += (total >= threshold) ^ inverted
                            ties += total == threshold
                    pixel = y * layer.map_width + x
                    if layer.output == AVERAGES:
                        at = 2 * (pixel * layer.out_channels + c)
                        (average,) = struct.unpack("<h", stored[at : at + 2])
                        assert average == 2 * ones - layer.pool_height * layer.pool_width
                        continue
                    if layer.output == SIGNED:
                        bit ^= bit_of(model.data, layer.inverted_at + 4 * layer.out_words, c)
                    assert bit == bit_of(stored, 4 * pixel * layer.out_words, c)
                if layer.output == AVERAGES:
                    continue
                word = (y * layer.map_width + x + 1) * layer.out_words - 1
                assert load_word(stored, word) >> (layer.out_channels - 1 & 31) <= 1
        source = stored
    last = model.layers[-1]
    for c in range(last.out_channels):
        total = sum_by_taps(model, last, source, 0, 0, c)
        if last.output == CLASS_BITS:
            (threshold,) = struct.unpack_from("<i", model.data, last.thresholds_at + 4 * c)
            ties += total == threshold
            total = 1 if (total >= threshold) ^ bit_of(model.data, last.inverted_at, c) else -1
        assert scores[c] == total
    return ties


def some(names):
    """All of these networks; on MicroPython, which takes minutes for all, the four quickest.

    The kernel `python` computes a run of every record there: tests/device/test_engine.py.
    """
    if not ON_MICROPYTHON:
        return list(names)
    return sorted(names, key=lambda name: Model(networks.build(name)).macs)[:4]


def check_networks(names, least):
    """`check_network` of all these; at least `least` sums equal their threshold."""
    ties = 0
    for name in some(names):
        ties += check_network(name)
    assert ON_MICROPYTHON or ties > least  # sign(0) = +1 was at stake


def locked(what):
    """The records of a file, by the names of their networks."""
    return {record["name"]: record for record in records.load(what)}


def test_maps_and_scores_follow_the_definition():
    check_networks(("plain", "padded", "one pixel", "one row", "two by two", "thin"), 20)


def test_any_geometry_follows_the_definition():
    check_networks(networks.GEOMETRIES, 20)


def test_every_kind_follows_the_definition():
    check_networks(networks.KINDS, 10)


def test_kinds_are_locked():
    kinds = locked("kinds")
    for name in some(kinds):
        assert records.geometry_record(name) == kinds[name]


def test_geometries_are_locked():
    geometries = locked("geometries")
    for name in some(geometries):
        assert records.geometry_record(name)["runs"] == geometries[name]["runs"]


def test_version_2_of_a_file_computes_the_same():
    for name in some(networks.NETWORKS):
        old = networks.build(name)
        new = networks.as_version_2(old)
        image = networks.image(name, 1)
        results = []
        for data in (old, new):
            maps = []
            counts = [0] * 5
            errors = WriteErrors(5, limits=1 << 30)
            scores = xnor.run_image(Model(data), image, 6, errors, counts, maps)
            results.append((scores, counts, maps))
        assert Model(new).version == (2, 0) and Model(new).name == name
        assert results[0] == results[1], name


def test_runs_are_locked():
    runs = locked("networks")
    for name in some(runs):
        assert records.network_record(name)["runs"] == runs[name]["runs"]


def test_networks_are_locked():
    locked_records = [r for n in ("networks", "geometries", "kinds") for r in records.load(n)]
    assert len({record["crc"] for record in locked_records}) == len(locked_records)
    for record in locked_records:
        assert records.file_crc(networks.build(record["name"])) == record["crc"]
