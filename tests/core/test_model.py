"""The model reader's rules, one test for each; runs on CPython and MicroPython."""

import struct
import sys

import networks
from mtjkit_core import forget
from mtjkit_core.errors import FormatError
from mtjkit_core.geometry import CONV, DENSE
from mtjkit_core.model import Model
from mtjkit_core.mtjb import chain, entries_1


def refused(data, word):
    """Reading `data` must raise a FormatError of one line that holds `word`."""
    try:
        Model(data)
    except FormatError as error:
        assert word in str(error), str(error)
        assert "\n" not in str(error)
        return
    raise AssertionError("not refused: " + word)


def changed(name, at, fmt, *values):
    data = networks.build(name)
    struct.pack_into(fmt, data, at, *values)
    return networks.sealed(data)


def test_networks_are_read():
    for name in networks.NETWORKS:
        shape, specs = networks.NETWORKS[name]
        model = Model(networks.build(name))
        assert model.name == name
        assert model.input_shape == shape
        assert model.pixel_rule == (2, 255, 2)
        assert [layer.out_channels for layer in model.layers] == [spec[3] for spec in specs]
        assert model.layers[-1].last and not model.layers[0].last


def test_geometry_of_a_pooled_padded_network():
    layers = Model(networks.build("pooled")).layers
    assert [layer.map_shape for layer in layers] == [(6, 4, 33), (3, 2, 40), (3, 2, 31), (1, 1, 5)]
    assert [layer.map_bits for layer in layers] == [792, 240, 186, 0]
    assert [layer.map_words for layer in layers] == [48, 12, 6, 0]
    assert [layer.row_words for layer in layers] == [1, 18, 18, 6]
    assert layers[1].macs == 6 * 4 * 40 * 9 * 33
    assert Model(networks.build("pooled")).half_words == (48, 12)


def test_a_truncated_file():
    data = networks.build("plain")
    for size in (0, 3, 4, 67, len(data) - 1):
        refused(data[:size], "truncated" if size > 3 else "not an .mtjb")
    refused(data + b"\0", "after the model's end")


def test_a_foreign_file():
    refused(b"PK\3\4" + bytes(200), "not an .mtjb")


def test_every_flipped_bit_is_noticed():
    data = networks.build("thin")
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit >> 3] ^= 1 << (bit & 7)
        refused(broken, "")


def test_header_rules():
    refused(changed("plain", 4, "<B", 3), "version")
    refused(changed("plain", 5, "<B", 1), "version")
    refused(changed("plain", 6, "<B", 1), "2 to 64 layers")
    refused(changed("plain", 7, "<B", 1), "reserved")
    refused(changed("plain", 12, "<H", 0), "sides")
    refused(changed("plain", 16, "<H", 17), "channels")
    refused(changed("plain", 22, "<H", 0), "divides by 0")
    refused(changed("plain", 24, "<H", 3), "multiple of 4")
    refused(changed("plain", 24, "<H", 0xFFFC), "longer than the file")
    refused(changed("plain", 28, "<I", 1), "reserved")
    refused(changed("plain", 28, "<I", 0) + b"\0\0\0\0", "after the model's end")
    refused(changed("plain", 32, "<B", 0xFF), "UTF-8")
    refused(changed("plain", 32, "<B", 7), "control")
    refused(changed("plain", 63, "<B", 7), "after its end")


def test_layer_rules():
    table = 64  # no class names; 8 bytes a layer: kind, padding, pool, 0, out, 0
    refused(changed("plain", table, "<B", 3), "kind 3")
    refused(changed("plain", table + 1, "<B", 2), "padding and pooling")
    refused(changed("plain", table + 2, "<B", 1), "odd")
    refused(changed("plain", table + 3, "<B", 1), "reserved")
    refused(changed("plain", table + 4, "<H", 0), "outputs")
    refused(changed("plain", table + 6, "<H", 1), "reserved")
    refused(changed("plain", table, "<B", DENSE), "first layer")
    refused(changed("plain", table + 8, "<B", DENSE), "the layers need")
    refused(changed("plain", table + 16, "<B", CONV), "last layer is dense")
    refused(changed("plain", table + 17, "<B", 1), "no padding")
    refused(changed("padded", table + 24, "<B", CONV), "cannot follow")
    refused(changed("padded", table + 20, "<H", 65), "the layers need")
    refused(changed("one pixel", table + 1, "<B", 0), "too small")


def test_sums_are_bounded():
    specs = [(1, 1, 0, 16384), (2, 0, 0, 2)]
    try:
        chain((1024, 1024, 3), entries_1(specs))
    except FormatError as error:
        assert "too long" in str(error)
        return
    raise AssertionError


def test_padding_bits_are_0():
    model = Model(networks.build("plain"))
    first, second = model.layers[:2]
    weights = bytearray(model.data)
    weights[first.weights_at + 3] |= 0x80  # 27 weights in a word of 32
    refused(networks.sealed(weights), "weight padding")
    mask = bytearray(model.data)
    mask[second.inverted_at + 7] |= 0x80  # 33 channels in two words
    refused(networks.sealed(mask), "inversion mask padding")


def test_the_padding_of_every_run_is_checked():
    data = networks.build("to one")  # runs of 1 to 10 words
    for layer in Model(data).layers:
        for word in range(layer.run_words - 1, layer.weight_words, layer.run_words):
            at = layer.weights_at + 4 * word + 3
            data[at] ^= 0x80
            refused_here = layer.run_bits & 31 != 0
            try:
                Model(data, check_crc=False)
                assert not refused_here
            except FormatError:
                assert refused_here
            data[at] ^= 0x80


def test_a_bad_checksum_can_be_let_pass():
    data = networks.build("plain")
    data[-1] ^= 1
    refused(data, "checksum")
    assert Model(data, check_crc=False).name == "plain"


def test_the_reader_is_read_again_once_it_was_forgotten():
    data = networks.build("thin")
    before = Model(data)
    forget("mtjkit_core.mtjb")
    assert "mtjkit_core.mtjb" not in sys.modules
    forget("mtjkit_core.mtjb")
    after = Model(data)
    assert "mtjkit_core.mtjb" in sys.modules
    assert after.layers[0].numbers() == before.layers[0].numbers()
