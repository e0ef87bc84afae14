"""The report's numbers, against the shapes that the paper and FINN's CNV have."""

import re

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_core.footprint import MAX_IMAGES, ram_bytes, slot_bytes
from mtjkit_core.messages import CHUNK
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet, encode
from mtjkit_export.cost import cost, summary
from mtjkit_export.heap import heap_in_use, heap_needed
from mtjkit_host.boards.catalog import processor_of, processors
from mtjkit_host.datasets import cifar10


def paper_shape(width):
    """The paper's Binary VGG at a share of its width: weights all +1."""
    layers, channels = [], 3
    for k, out in enumerate((128, 128, 256, 256, 512, 512)):
        out = int(out * width)
        ones = np.ones((out, channels, 3, 3), int)
        layers.append(BinaryLayer.conv(ones, np.zeros(out), padding=1, pool=k % 2 == 1))
        channels = out
    inputs, shape = 16 * channels, (4, 4, channels)
    for out in (int(1024 * width), int(1024 * width)):
        ones = np.ones((out, inputs), int)
        layers.append(BinaryLayer.dense(ones, np.zeros(out), input_shape=shape))
        inputs, shape = out, None
    layers.append(BinaryLayer.dense(np.ones((10, inputs), int)))
    return Model(encode(BinaryNet("vgg", layers, class_names=cifar10.CLASSES)))


def test_the_papers_network():
    total = cost(paper_shape(1))
    assert total.weight_bits == 14_022_016
    assert total.macs == 616_966_144
    assert total.written_bits == 288_768
    assert sum(one.written_bits for one in total.layers) == 288_768
    assert sum(one.macs for one in total.layers) == total.macs


def test_a_quarter_of_its_width_and_the_table():
    model = paper_shape(0.25)
    total = cost(model)
    assert total.file_bytes == len(model.data) == 114_296
    assert total.ram_bytes == ram_bytes(model, "viper")
    text = summary(model)
    for part in ("conv 3x3, padded, pooled", "16x16x32", "10 scores", "878,944", "72,192"):
        assert part in text
    assert "file 114,296 bytes" in text
    assert len({len(line) for line in text.splitlines()[1:12]}) == 1  # columns are aligned


@pytest.mark.parametrize("width", [0.25, 1])
def test_the_tables_fit_into_a_terminal(width):
    lines = summary(paper_shape(width), processors().values()).splitlines()
    assert max(map(len, lines)) <= 80
    assert ("   pooled" in lines) == (width == 1)  # folded where it must be


def test_dead_channels_are_counted_and_said():
    """A sum of 27 bytes lies in -3456 to 3429 (here +-3456), one of 5 bits in -5 to 5."""
    first = BinaryLayer.conv(np.ones((5, 3, 3, 3), int), [-3456, -3455, 3456, 3457, 0], pool=3)
    layers = [
        first,
        BinaryLayer.dense(np.ones((4, 5), int), [-5, -4, 5, 6], input_shape=(1, 1, 5)),
        BinaryLayer.dense(np.ones((2, 4), int)),
    ]
    model = Model(encode(BinaryNet("n", layers, (5, 5, 3))))
    assert [one.dead for one in cost(model).layers] == [2, 2, 0]
    assert "layer 1: 2 of 4 channels are dead" in summary(model)
    assert "dead" not in summary(paper_shape(0.25))


def test_the_heap_on_each_kind_of_device():
    model = paper_shape(0.25)
    assert "heap" not in summary(model)
    text = summary(model, processors().values())
    for device in processors().values():
        for kernel in device.shares:
            numbers = [
                f"{heap(model, device, kernel, mapped):,}"
                for mapped in ((False, True) if device.maps else (False,))
                for heap in (heap_needed, heap_in_use)
            ]
            line = " +".join([re.escape(device.name), kernel, *numbers]) + "\n"
            assert bool(re.search(line, text)) == (kernel != "python"), line


def test_mapped_weights_take_no_heap_and_every_image_takes_some():
    model = paper_shape(0.25)
    device = processor_of("armv7emdp")
    in_ram, mapped = (heap_in_use(model, device, "native", m) for m in (False, True))
    assert in_ram - mapped == len(model.data)
    fewer = heap_in_use(model, device, "native", True, MAX_IMAGES - 2)
    assert mapped - fewer == 2 * slot_bytes(model, CHUNK)


def test_a_device_without_the_kernel_is_named():
    with pytest.raises(ConfigError, match=r"Unix port.*asm_thumb.*native, viper, python"):
        heap_needed(paper_shape(0.25), processor_of("x64"), "asm_thumb")


def test_an_architecture_that_was_not_measured_counts_as_the_largest():
    model = paper_shape(0.25)
    needed = [heap_needed(model, d, "viper") for d in processors().values() if d.maps]
    assert heap_needed(model, processor_of("xtensawin"), "viper") == max(needed)


def test_the_kernel_in_plain_python_takes_less_ram():
    model = paper_shape(0.25)
    assert cost(model, "python").ram_bytes < cost(model, "viper").ram_bytes
