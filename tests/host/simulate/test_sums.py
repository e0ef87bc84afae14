"""Compiled sums, histograms and writes are those of numpy."""

import networks
import numpy as np
import pytest
from mtjkit_core.geometry import AVERAGES
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export import encode
from mtjkit_host.simulate import compile
from mtjkit_host.simulate.simulator import open_simulator
from mtjkit_host.simulate.sums import LayerSums
from support.nets import random_images, random_net, tiny_network

pytestmark = pytest.mark.skipif(compile.compiler() is None, reason="no C compiler")


def nets():
    rng = np.random.default_rng(11)
    for name in networks.NETWORKS:
        yield Model(bytes(networks.build(name)))
    yield Model(encode(tiny_network()))
    for _ in range(4):
        yield Model(encode(random_net(rng)))


def test_compiled_layers_are_those_of_numpy():
    compiled = 0
    for net in nets():
        images, trace = random_images(net, 5), []
        simulator = open_simulator(net)
        simulator.run(images, trace=trace)
        indices = np.arange(len(images), dtype=np.uint32) + 3
        limits = [(fail_limit(0.2), fail_limit(0.05 * (n % 5))) for n in range(len(trace))]
        for layer in net.layers[:-1]:
            if layer.output == AVERAGES:
                continue
            source = trace[layer.index - 1] if layer.index else images
            pair = [LayerSums(net, layer, native) for native in (True, False)]
            compiled += pair[0]._work > 0
            ours, theirs = (one.pooled(source) for one in pair)
            assert np.array_equal(ours, theirs)
            bits = trace[layer.index] ^ np.uint32(0x5A5A5A5A)
            for (a, some), (b, same) in zip(
                *(one.histograms(ours, bits) for one in pair), strict=True
            ):
                assert a == b
                assert np.array_equal(some, same)
            for kind in (FLIP, KEEP):
                errors = WriteErrors(9, kind, limits)
                halves = np.full((2, len(images), layer.map_words + 3), 0x33333333, np.uint32)
                for one, cells in zip(pair, halves[..., : layer.map_words], strict=True):
                    cells &= one.arrays.lanes
                    one.write(cells, trace[layer.index], errors, indices)
                assert np.array_equal(*halves)
    assert compiled > 10 or compile.library().mtj_simd() not in (b"AVX2", b"AVX-512")
