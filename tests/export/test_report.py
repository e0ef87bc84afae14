"""The report's numbers, against the shapes that the paper and FINN's CNV have."""

import numpy as np
from mtjkit_core.footprint import ram_bytes
from mtjkit_core.model import Model
from mtjkit_export import LayerSpec, Network, encode
from mtjkit_export.report import cost, summary


def paper_shape(width):
    """The paper's Binary VGG at a share of its width: weights all +1."""
    layers, channels = [], 3
    for k, out in enumerate((128, 128, 256, 256, 512, 512)):
        out = int(out * width)
        ones = np.ones((out, channels, 3, 3), int)
        layers.append(LayerSpec.conv(ones, np.zeros(out), padding=1, pool=k % 2 == 1))
        channels = out
    inputs, shape = 16 * channels, (4, 4, channels)
    for out in (int(1024 * width), int(1024 * width)):
        ones = np.ones((out, inputs), int)
        layers.append(LayerSpec.dense(ones, np.zeros(out), input_shape=shape))
        inputs, shape = out, None
    layers.append(LayerSpec.dense(np.ones((10, inputs), int)))
    return Model(encode(Network("vgg", layers)))


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
    assert total.file_bytes == len(model.data) == 114_048
    assert total.ram_bytes == ram_bytes(model, "viper")
    text = summary(model)
    for part in ("conv 3x3, padded, pooled", "16 x 16 x 32", "10 scores", "878,944", "72,192"):
        assert part in text
    assert f"{total.file_bytes + total.ram_bytes:,} bytes" in text
    assert len({len(line) for line in text.splitlines()[1:-3]}) == 1  # columns are aligned


def test_the_kernel_in_plain_python_takes_less_ram():
    model = paper_shape(0.25)
    assert cost(model, "python").ram_bytes < cost(model, "viper").ram_bytes
