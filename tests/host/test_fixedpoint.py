"""Fixed point: masks and the binomial law, sums and Python's integers, nets and torch."""

import json
from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import safetensors.numpy
import torch
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.memory import CERTAIN, FLIP, KEEP, threshold_from_rate
from mtjkit_core.random import BUFFER
from mtjkit_host.fixed import FixedNet, FixedTwin
from mtjkit_host.fixed.memory import BLOCK, error_masks, generator, ones, write
from mtjkit_host.fixed.twin import _Layer
from mtjkit_host.train import NetSpec, build_net, predict
from mtjkit_host.train.lower import FixedLayer

BITS = (8, 16, 32)
IMAGES = np.random.default_rng(5).integers(0, 256, (BLOCK + 10, 8, 8, 3), np.uint8)


@cache
def settled_net(bits):
    """A small net of the paper's kind whose batch norm has seen images."""
    torch.set_num_threads(1)  # a net this small is not worth two
    net = build_net(NetSpec(f"fxp{bits}-test", bits, (6, 8, 8, 10), (12,), side=8), seed=bits)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.from_numpy(IMAGES))
        for block in net.blocks:  # both signs of the scale
            block.norm.weight[::3] *= -1.5
    return net.eval()


@pytest.fixture(scope="module", params=BITS)
def net(request):
    return settled_net(request.param)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("rate", [1e-8, 1e-3, 0.024, 0.0799, 0.0801, 0.15, 0.3, 0.5, 0.9])
def test_masks_follow_the_binomial_law(bits, rate):
    # N = 2**21 bits: the count's sigma is sqrt(N p (1 - p)); 5 sigma fail once in 1.7 million.
    words = (1 << 21) // bits
    masks = error_masks(generator(7, 0, 1, 2), words, bits, threshold_from_rate(rate))
    assert masks.shape == (words,)
    assert masks.dtype.itemsize * 8 == bits
    n, p = words * bits, threshold_from_rate(rate) / CERTAIN
    assert abs(ones(masks) - n * p) <= 5 * (n * p * (1 - p)) ** 0.5 + 1
    if rate >= 1e-3:  # every bit of a word alike, and neighbours independent
        per_bit = [ones(masks >> np.array(k, masks.dtype) & 1) for k in range(bits)]
        assert np.allclose(per_bit, words * p, atol=5 * (words * p * (1 - p)) ** 0.5)
        pairs = ones(masks & (masks >> np.array(1, masks.dtype)))
        m = words * (bits - 1)
        assert abs(pairs - m * p * p) <= 6 * (m * p * p) ** 0.5


@pytest.mark.parametrize("bits", BITS)
def test_no_error_and_certain_error(bits):
    assert not error_masks(generator(0, 0, 0, 0), 77, bits, 0).any()
    assert ones(error_masks(generator(0, 0, 0, 0), 77, bits, CERTAIN)) == 77 * bits


def test_the_same_place_gives_the_same_errors():
    draws = [error_masks(generator(*p), 500, 32, 1 << 30) for p in ((1, 0, 2, 3), (1, 0, 2, 3))]
    assert np.array_equal(*draws)
    for other in ((2, 0, 2, 3), (1, 1, 2, 3), (1, 0, 3, 3), (1, 0, 2, 4), (1 << 32, 0, 2, 3)):
        assert not np.array_equal(draws[0], error_masks(generator(*other), 500, 32, 1 << 30))


def test_a_write_flips_or_keeps():
    old, new = np.array([0b0101, -1], np.int8), np.array([0b0011, 0], np.int8)
    masks = np.array([0b0111, 0b1], np.uint8)
    cells = old.copy()
    assert write(cells, new, masks, FLIP) == (2 + 8, 3 + 1)
    assert cells.tolist() == [0b0100, 1]
    cells = old.copy()
    assert write(cells, new, masks, KEEP) == (2 + 8, 2 + 1)  # bit 0 of the first did not change
    assert cells.tolist() == [0b0101, 1]
    cells = old.copy()
    write(cells, new, np.full(2, 255, np.uint8), KEEP)
    assert cells.tolist() == old.tolist()


def test_error_free_is_the_trained_net(net):
    expected = predict(net, IMAGES).double().numpy()
    twin = FixedTwin(FixedNet.from_net(net))
    scores, counts = twin.run(IMAGES)
    if net.spec.bits < 32:
        assert twin.exact
        assert twin.sum_error == 0
        assert np.array_equal(scores, expected)
    else:  # torch's own float64 sums round too: a code may differ by one step of 2**-31
        assert not twin.exact
        assert 0 < twin.sum_error < 0.5
        assert np.abs(scores - expected).max() < 1e-7
    assert counts.tolist()[::2] == [len(IMAGES) * twin.net.map_bits, 0]


def test_exact_sums_of_32_bits_are_python_s():
    rng = np.random.default_rng(3)
    low, high = -(1 << 31), 1 << 31
    codes = rng.integers(low, high, (5, 4, 3, 3)).astype(np.int32)
    codes[0], codes[1, 0] = low, high - 1
    layers = (
        FixedLayer("conv", 32, 32, codes, None, 1, 1),
        FixedLayer("dense", 32, 32, codes.reshape(5, 36), None, 0, 1),
    )
    inputs = rng.integers(low, high, (2, 3, 3, 4)).astype(np.int32)
    inputs[0] = low
    for layer in layers:
        exact, rounded = _Layer(layer, "exact"), _Layer(layer, "float64")
        assert (exact.method, rounded.method) == ("halves", "rounded")
        found = exact.values(torch.from_numpy(inputs)).numpy()
        close = rounded.values(torch.from_numpy(inputs)).numpy()
        for n in range(2):
            x = inputs[n].astype(object)
            for o in range(5):
                w = codes[o].astype(object)
                if layer.kind == "conv":  # the middle output's window is the whole input
                    total = int((x.transpose(2, 0, 1) * w).sum())
                    got, near = found[n, o, 1, 1], close[n, o, 1, 1]
                else:
                    total = int((x.reshape(-1) * w.reshape(-1)).sum())
                    got, near = found[n, o], close[n, o]
                assert got == float(total) / 2**62  # Python rounds the exact integer once
                assert abs(near - got) * 2**31 <= rounded.sum_error


def test_float64_sums_stay_within_their_bound_of_the_exact_ones():
    net = FixedNet.from_net(settled_net(32))
    traces = []
    for sums in ("float64", "exact"):
        trace = []
        FixedTwin(net, sums).run(IMAGES[:BLOCK], trace=trace)
        traces.append(trace[0])
    assert FixedTwin(net, "exact").exact
    for a, b in zip(*traces, strict=True):
        # One layer's code differs by one step at most; the next layers carry it on.
        assert np.abs(a.astype(np.int64) - b).max() <= 4
    assert np.abs(traces[0][0].astype(np.int64) - traces[1][0]).max() == 0  # its sums are exact


@pytest.mark.parametrize("threshold", [threshold_from_rate(0.024), 1 << 30, CERTAIN])
def test_torch_with_the_same_masks_gives_the_same_scores(net, threshold):
    """Forward hooks on the trained net flip the bits that the twin's streams name."""
    bits, seed = net.spec.bits, 6
    one, signed = 1 << (bits - 1), f"<i{bits // 8}"

    def flip(index, out):
        shape = out.permute(0, 2, 3, 1).shape if out.ndim == 4 else out.shape
        codes = (out.permute(0, 2, 3, 1) if out.ndim == 4 else out).double() * one
        codes = codes.reshape(-1).numpy().astype(signed)
        masks = error_masks(generator(seed, BUFFER, index, 0), codes.size, bits, threshold)
        stored = torch.from_numpy((codes ^ masks.view(signed)).astype(np.float64) / one)
        stored = stored.to(out.dtype).reshape(shape)
        return stored.permute(0, 3, 1, 2) if out.ndim == 4 else stored

    hooks = [
        block.register_forward_hook(lambda module, inputs, out, index=index: flip(index, out))
        for index, block in enumerate(net.blocks)
    ]
    expected = predict(net, IMAGES[:BLOCK]).double().numpy()
    for hook in hooks:
        hook.remove()
    twin = FixedTwin(FixedNet.from_net(net))
    scores, counts = twin.run(IMAGES[:BLOCK], 0, seed, threshold)
    assert np.allclose(scores, expected, rtol=0, atol=0 if bits < 32 else 1e-7)
    n, p = counts[0], threshold / CERTAIN
    assert abs(counts[2] - n * p) <= 5 * (n * p * (1 - p)) ** 0.5


def test_old_values_are_those_of_the_half(net):
    """Every write fails: the cells stay 0, and the last layer sees zeros."""
    twin = FixedTwin(FixedNet.from_net(net))
    trace = []
    scores, counts = twin.run(IMAGES, threshold=CERTAIN, errors=KEEP, trace=trace)
    assert not any(stored.any() for block in trace for stored in block)
    assert not scores.any()
    assert counts[1] == counts[2] > 0


def test_toggled_bits_are_against_the_layer_before_last(net):
    twin = FixedTwin(FixedNet.from_net(net))
    trace = []
    _, counts = twin.run(IMAGES[:3], trace=trace)
    unsigned = f"<u{net.spec.bits // 8}"
    toggled = 0
    halves = [np.zeros((3, 4096), unsigned) for _ in range(2)]
    for index, stored in enumerate(trace[0]):
        new = stored.view(unsigned)
        cells = halves[index & 1][:, : new.shape[1]]
        toggled += ones(cells ^ new)
        cells[:] = new
    assert counts[1] == toggled


@pytest.mark.parametrize("errors", [FLIP, KEEP])
def test_a_result_does_not_depend_on_how_images_are_shared_out(net, errors):
    twin = FixedTwin(FixedNet.from_net(net))
    whole, counts = twin.run(IMAGES, 0, 9, 1 << 28, errors)
    parts = [
        twin.run(IMAGES[a:b], a, 9, 1 << 28, errors)
        for a, b in ((0, 7), (7, 7), (7, BLOCK + 3), (BLOCK + 3, len(IMAGES)))
    ]
    assert np.array_equal(whole, np.concatenate([scores for scores, _ in parts]))
    assert counts.tolist() == sum(bits for _, bits in parts).tolist()
    assert 0.03 < counts[2] / counts[0] < 0.065  # keep: about half of 1/16


def test_weights_are_written_once(net):
    fixed = FixedNet.from_net(net)
    flipped, written, wrong = FixedTwin(fixed).corrupted(4, CERTAIN, FLIP)
    assert written == wrong == fixed.weight_bits
    for before, after in zip(fixed.layers, flipped.net.layers, strict=True):
        assert np.array_equal(after.codes, -1 - before.codes)
    kept, _, wrong = FixedTwin(fixed).corrupted(4, CERTAIN, KEEP)
    assert not any(layer.codes.any() for layer in kept.net.layers)
    unsigned = [layer.codes.astype(f"<i{fixed.bits // 8}").view(np.uint8) for layer in fixed.layers]
    assert wrong == sum(ones(codes) for codes in unsigned)
    assert FixedTwin(fixed).corrupted(4, 0, FLIP)[2] == 0
    one, again = (FixedTwin(fixed).corrupted(4, 1 << 26, FLIP)[0].net for _ in range(2))
    assert one.sha256 == again.sha256 != fixed.sha256


def test_a_saved_net_is_the_same_net(net, tmp_path):
    fixed = FixedNet.from_net(net)
    fixed.save(tmp_path / "net.safetensors")
    again = FixedNet.load(tmp_path / "net.safetensors")
    assert again.sha256 == fixed.sha256
    assert (again.name, again.bits, again.side) == (fixed.name, fixed.bits, fixed.side)
    assert np.array_equal(FixedTwin(again).run(IMAGES)[0], FixedTwin(fixed).run(IMAGES)[0])


def test_bad_files_end_in_one_line(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ConfigError):
        FixedNet.load(path)
    good = FixedNet.from_net(settled_net(8)).encode()
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    foreign = path.read_bytes()
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"mtjkit": json.dumps({"version": 9})})
    for data in (good[:-5], good[:40], b"", foreign, path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            FixedNet.load(path)
        assert "\n" not in str(caught.value)


def test_layers_that_do_not_fit_are_refused():
    fixed = FixedNet.from_net(settled_net(8))
    codes = [layer.codes for layer in fixed.layers]
    with pytest.raises(FormatError, match="layer 1"):
        fixed.with_codes([codes[0][:-1], *codes[1:]])
    with pytest.raises(FormatError, match="more than 8 bits"):
        fixed.with_codes([codes[0] + 200, *codes[1:]])
    with pytest.raises(ConfigError, match="uint8"):
        FixedTwin(fixed).run(IMAGES[:, :4])
    with pytest.raises(ConfigError, match="sums"):
        FixedTwin(fixed, "quick")
