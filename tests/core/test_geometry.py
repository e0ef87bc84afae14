"""A layer's numbers by name; runs on CPython and MicroPython."""

import networks
from mtjkit_core.avx2_kinds import beyond_3x3
from mtjkit_core.geometry import FIELDS, LayerShape
from mtjkit_core.model import Model
from mtjkit_core.mtjb import chain, conv_entry, entries_1


def test_numbers_are_the_fields_in_their_order():
    for name in ("pooled", "pad value +1", "dense first"):
        for layer in Model(networks.build(name)).layers:
            numbers = layer.numbers()
            assert len(numbers) == len(FIELDS)
            for at, field in enumerate(FIELDS):
                assert numbers[at] == getattr(layer, field)


def shape_of(*options):
    return LayerShape(1, False, (10, 9, 40), conv_entry(1, 33, *options))


def test_sizes_follow_from_kernel_stride_padding_and_pooling():
    layer = shape_of((5, 3), (2, 1), (2, 1, 1, 0), 1, (3, 2), (2, 1))
    assert (layer.fan_in, layer.run_bits, layer.run_words, layer.row_words) == (600, 40, 2, 30)
    assert (layer.out_height, layer.out_width) == (5, 8)  # (10 + 3 - 5) // 2 + 1, 9 + 1 - 3 + 1
    assert layer.map_shape == (2, 7, 33)  # (5 - 3) // 2 + 1, 8 - 2 + 1
    assert (layer.map_words, layer.map_bits) == (28, 462)
    assert layer.macs == 5 * 8 * 33 * 600
    assert (layer.padding, layer.pool) == (-1, -1)


def test_what_3x3_kernels_do_not_compute_is_said():
    assert (
        beyond_3x3(shape_of((3, 3), (1, 1), (1, 1, 1, 1), 0, (2, 2), (2, 2)))
        == "pooling of odd 10 x 9"
    )
    assert beyond_3x3(shape_of((3, 3), (1, 1), (1, 1, 1, 1))) == ""
    assert (
        beyond_3x3(shape_of((3, 3), (1, 1), (2, 2, 2, 2)))
        == "padding other than 0 or 1 on all sides"
    )
    assert (
        beyond_3x3(shape_of((3, 3), (1, 1), (1, 1, 0, 1)))
        == "padding other than 0 or 1 on all sides"
    )
    assert beyond_3x3(shape_of((3, 3), (1, 2))) == "a stride of 1 x 2"
    assert beyond_3x3(shape_of((3, 3), (1, 1), (1, 1, 1, 1), -1)) == "a pad value of -1"
    wide = chain((4, 4, 17), entries_1([(1, 1, 0, 2), (2, 0, 0, 2)]))
    assert beyond_3x3(wide[0]) == "an input of 17 channels"
    for name in networks.NETWORKS:
        assert not any([beyond_3x3(layer) for layer in Model(networks.build(name)).layers])
