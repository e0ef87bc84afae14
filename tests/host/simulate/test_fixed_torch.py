"""Fixed-point nets: the simulators compute what the trained net does in torch's eval mode."""

import copy
from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from mtjkit_core.write_errors import CERTAIN, FLIP, WriteErrors, fail_limit
from mtjkit_export.formats.tflite.arithmetic import trace_int8
from mtjkit_host.simulate import draws
from mtjkit_host.simulate.fixed_numpy import FixedNumpy, pack, unpack
from mtjkit_host.simulate.simulator import open_simulator
from mtjkit_host.train import NetSpec, build_net, predict
from mtjkit_host.train.lower import fold_fixed

IMAGES = np.random.default_rng(5).integers(0, 256, (60, 8, 8, 3), np.uint8)


@cache
def settled_net(bits):
    """A small net of the paper's kind whose batch norm has seen images."""
    torch.set_num_threads(1)  # a net this small is not worth two
    net = build_net(
        NetSpec.vgg(f"fxp{bits}-test", bits, (6, 8, 8, 10), (12,), input_shape=(8, 8, 3)), seed=bits
    )
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.from_numpy(IMAGES))
        for block in net.blocks:  # both signs of the scale
            block.norm.weight[::3] *= -1.5
    return net.eval()


@pytest.fixture(scope="module", params=[8, 16, 32])
def net(request):
    return settled_net(request.param)


@pytest.mark.parametrize("engine", ["auto", "numpy"])
def test_error_free_is_the_trained_net(net, engine):
    expected = predict(net, IMAGES).double().numpy()
    simulator = open_simulator(fold_fixed(net), engine)
    scores, counts = simulator.run(IMAGES)
    if net.spec.bits < 32:
        assert np.array_equal(scores, expected)
    else:  # the net's own float64 sums are rounded: a code may differ by one step of 2**-31
        assert np.abs(scores - expected).max() < 1e-7
    assert (counts[:, 0] == simulator.net.map_bits).all()
    assert not counts[:, 2].any()


def test_8_bits_are_the_arithmetic_of_int8_files():
    """Factors of 24 bits, offsets in steps of the sums: what a TFLite file holds, rounded once."""
    trained, trace = copy.deepcopy(settled_net(8)), []
    with torch.no_grad():  # channels that are always the same code
        trained.blocks[0].norm.weight[1] = 0
        trained.blocks[1].norm.weight[2] = 1e-9
    net = fold_fixed(trained)
    simulator = FixedNumpy(net)
    scores, _ = simulator.run(IMAGES, trace=trace)
    expected, maps = trace_int8(net, IMAGES)
    for codes, stored in zip(maps, simulator.elements(trace), strict=True):
        assert np.array_equal(codes.reshape(stored.shape), stored)
    assert np.array_equal(scores, expected)
    assert np.array_equal(predict(trained, IMAGES).numpy(), scores)


@pytest.mark.parametrize("limit", [fail_limit(0.024), 1 << 30, CERTAIN])
def test_torch_with_the_same_masks_gives_the_same_scores(net, limit):
    """Forward hooks on the trained net flip the bits that the simulator's streams name."""
    bits, errors = net.spec.bits, WriteErrors(6, FLIP, limit)
    one, signed = 1 << (bits - 1), f"<i{bits // 8}"

    def flip(index, out):
        shape = out.permute(0, 2, 3, 1).shape if out.ndim == 4 else out.shape
        codes = (out.permute(0, 2, 3, 1) if out.ndim == 4 else out).double() * one
        codes = codes.reshape(len(codes), -1).numpy().astype(signed)
        words = pack(codes)
        lanes = draws.lane_masks(words.shape[1], codes.shape[1] * bits)
        images = np.arange(len(codes), dtype=np.uint32)
        failed = draws.failures(errors, images, index, lanes, words)
        wrong = unpack(words ^ failed, codes.shape[1], bits)
        stored = torch.from_numpy(wrong.astype(np.float64) / one)
        stored = stored.to(out.dtype).reshape(shape)
        return stored.permute(0, 3, 1, 2) if out.ndim == 4 else stored

    hooks = [
        block.register_forward_hook(lambda module, inputs, out, index=index: flip(index, out))
        for index, block in enumerate(net.blocks)
    ]
    expected = predict(net, IMAGES).double().numpy()
    for hook in hooks:
        hook.remove()
    scores, counts = open_simulator(fold_fixed(net)).run(IMAGES, errors=errors)
    assert np.allclose(scores, expected, rtol=0, atol=0 if bits < 32 else 1e-7)
    total = counts.sum(axis=0)
    n, p = total[0], limit / CERTAIN
    assert abs(total[2] - n * p) <= 5 * (n * p * (1 - p)) ** 0.5
