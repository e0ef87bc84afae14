"""Fixed point: writes and the memory's definition, sums and Python's integers, nets and torch."""

import copy
import json
from functools import cache

import numpy as np
import pytest
import records

pytest.importorskip("torch", reason="needs the extra train")

import safetensors.numpy
import torch
from mtjkit_core import mtj_memory as core
from mtjkit_core.bits import tail_mask
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.streams import BUFFER, WEIGHTS, seed_streams
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export.formats.safetensors import encode_fixed, load_fixed, save_fixed
from mtjkit_export.formats.tflite.arithmetic import trace_int8
from mtjkit_export.nets.fixed import FixedLayer, FoldedNorm
from mtjkit_host.simulate import compile, draws
from mtjkit_host.simulate import fixed_memory as memory
from mtjkit_host.simulate import fixed_native as native
from mtjkit_host.simulate.fixed_native import NativeLayer
from mtjkit_host.simulate.fixed_torch import ENGINES, FixedTwin, TorchLayer
from mtjkit_host.train import NetSpec, build_net, predict
from mtjkit_host.train.lower import fold_fixed

BITS = (8, 16, 32)
TOGETHER = 50  # images that the twin computes together
IMAGES = np.random.default_rng(5).integers(0, 256, (TOGETHER + 10, 8, 8, 3), np.uint8)

compiled = pytest.mark.skipif(not compile.available(), reason="no C compiler")


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


def ones(words):
    return int(np.bitwise_count(words).sum(dtype=np.int64))


@pytest.mark.parametrize("write", [memory.write, pytest.param(native.write, marks=compiled)])
@pytest.mark.parametrize("kind", [FLIP, KEEP])
@pytest.mark.parametrize("place", [BUFFER, WEIGHTS])
@pytest.mark.parametrize(
    "limits", [(n, n) for n in (0, 43, fail_limit(0.024), 1 << 31, CERTAIN)] + records.LIMITS[1:]
)
def test_writes_are_those_of_the_memory_s_definition(write, kind, place, limits):
    rng, seed, first, layer, bits = np.random.default_rng(1), 0xFEDCBA9876543210, 9999, 3, 8 * 77
    old, new = (memory.pack(rng.integers(-128, 128, (3, 77)).astype(np.int8)) for _ in range(2))
    expected, state, total = [], [0] * 32, [0] * 5
    for row in range(3):
        cells = bytearray(old[row].tobytes())
        seed_streams(state, seed, first + row, place, layer)
        run = (len(old[row]), len(old[row]), tail_mask(bits))
        core.write(cells, new[row].tobytes(), *run, state, limits, kind, total)
        expected.append(np.frombuffer(cells, "<u4"))
    half = np.full((3, 30), 7, np.uint32)  # the cells are a part of a half
    half[:, : old.shape[1]] = old
    cells = half[:, : old.shape[1]]
    errors = WriteErrors(seed, kind, *((limits, 0) if place == BUFFER else (0, limits)))
    counts = write(cells, new, bits, errors, first, place, layer)
    assert np.array_equal(cells, expected)
    assert counts.tolist() == total
    assert total[0] == 3 * bits
    assert (half[:, old.shape[1] :] == 7).all()


@pytest.mark.parametrize("bits", BITS)
def test_codes_lie_one_after_the_other(bits):
    codes = np.arange(-3, 4).astype(f"<i{bits // 8}").reshape(1, 7)
    words = memory.pack(codes)
    assert words.shape == (1, -(-7 * bits // 32))
    whole = int.from_bytes(words.tobytes(), "little")
    found = [whole >> bits * i & (1 << bits) - 1 for i in range(8)]
    assert found == [code & (1 << bits) - 1 for code in (*range(-3, 4), 0)][: len(found)]
    assert np.array_equal(memory.unpack(words, 7, bits), codes)


def make_layer(rng, kind, shape, bits, input_bits, pool=1):
    """A layer with codes of the whole range, every kind of scale, and sums that saturate."""
    one = 1 << (bits - 1)
    codes = rng.integers(-one, one, shape).astype(np.int32)
    codes[0], codes[1] = -one, one - 1
    out = shape[0]
    gamma = rng.normal(0, 1, out)
    gamma[1::4] = 0
    std = rng.uniform(0.3, 3, out) * np.prod(shape[1:]) ** 0.5
    norm = FoldedNorm(gamma, rng.normal(0, 0.3, out), rng.normal(0, 1, out), std)
    return FixedLayer(kind, bits, input_bits, codes, norm, int(kind == "conv"), pool)


LEVELS = ("plain C", "AVX2", "AVX-512 VNNI")


@compiled
@pytest.mark.parametrize("level", range(3), ids=LEVELS)
@pytest.mark.parametrize(("bits", "input_bits"), [(8, 8), (16, 8), (16, 16), (32, 8), (32, 32)])
def test_compiled_layers_are_those_of_torch(bits, input_bits, level):
    if level > compile.library().mtj_fixed_level():
        pytest.skip(f"this processor has no {LEVELS[level]}")
    rng = np.random.default_rng(bits + input_bits)
    shapes = [  # odd numbers of channels and columns; sums longer than an int32 holds
        ("conv", (5, 3, 3, 3), 2, (9, 7, 3)),
        ("conv", (33, 64, 3, 3), 1, (3, 9, 64)),
        ("conv", (4, 345, 3, 3), 2, (2, 3, 345)),
        ("dense", (17, 1101), 1, (1101,)),
        ("dense", (9, 9 * 4), 1, (3, 3, 4)),
    ]
    one = 1 << (input_bits - 1)
    for kind, shape, pool, size in shapes:
        layer = make_layer(rng, kind, shape, bits, input_bits, pool)
        inputs = rng.integers(-one, one, (5, *size)).astype(f"<i{input_bits // 8}")
        inputs[0], inputs[1] = -one, one - 1
        expected, found = TorchLayer(layer), NativeLayer(layer, level)
        codes = expected.codes(inputs)
        assert len(np.unique(codes)) > 9
        assert np.array_equal(found.codes(inputs), codes)
        assert found.codes(inputs).dtype == codes.dtype
        assert np.array_equal(found.values(inputs), expected.values(inputs))


def test_error_free_is_the_trained_net(net):
    expected = predict(net, IMAGES).double().numpy()
    twin = FixedTwin(fold_fixed(net))
    scores, counts = twin.run(IMAGES)
    if net.spec.bits < 32:
        assert np.array_equal(scores, expected)
    else:  # the net's own float64 sums are rounded: a code may differ by one step of 2**-31
        assert np.abs(scores - expected).max() < 1e-7
    assert counts.tolist()[:3:2] == [len(IMAGES) * twin.net.map_bits, 0]


def test_8_bits_are_the_arithmetic_of_int8_files():
    """Factors of 24 bits, offsets in steps of the sums: what a TFLite file holds, rounded once."""
    trained, trace = copy.deepcopy(settled_net(8)), []
    with torch.no_grad():  # channels that are always the same code
        trained.blocks[0].norm.weight[1] = 0
        trained.blocks[1].norm.weight[2] = 1e-9
    net = fold_fixed(trained)
    scores, _ = FixedTwin(net).run(IMAGES[:TOGETHER], trace=trace)
    expected, maps = trace_int8(net, IMAGES[:TOGETHER])
    for codes, stored in zip(maps, trace[0], strict=True):
        assert np.array_equal(codes.reshape(stored.shape), stored)
    assert np.array_equal(scores, expected)
    assert np.array_equal(predict(trained, IMAGES[:TOGETHER]).numpy(), scores)


@pytest.mark.parametrize("kind", [TorchLayer, pytest.param(NativeLayer, marks=compiled)])
def test_sums_of_32_bits_are_python_s(kind):
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
        found = kind(layer).values(inputs)
        for n in range(2):
            x = inputs[n].astype(object)
            for o in range(5):
                w = codes[o].astype(object)
                if layer.kind == "conv":  # the middle output's window is the whole input
                    total, got = int((x.transpose(2, 0, 1) * w).sum()), found[n, 1, 1, o]
                else:
                    total, got = int((x.reshape(-1) * w.reshape(-1)).sum()), found[n, o]
                assert got == float(total) / 2**62  # Python rounds the exact integer once


@compiled
@pytest.mark.parametrize("kind", [FLIP, KEEP])
@pytest.mark.parametrize("uneven", [False, True])
def test_both_engines_give_the_same_bits(net, kind, uneven):
    fixed = fold_fixed(net)
    limits = [(n << 25, 1 << 27) for n in range(len(fixed.layers))] if uneven else [1 << 27]
    errors = WriteErrors(1 << 40, kind, limits[:-1] or limits[0], limits if uneven else limits[0])
    results = []
    for engine in ENGINES[1:]:
        twin, trace = FixedTwin(fixed, engine), []
        assert twin.engine == engine
        scores, counts = twin.run(IMAGES, 3, errors, trace)
        faulty, *bits = twin.corrupted(errors)
        results.append((scores, counts, *(m for maps in trace for m in maps), bits))
        results[-1] += (faulty.run(IMAGES)[0],)
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("limit", [fail_limit(0.024), 1 << 30, CERTAIN])
def test_torch_with_the_same_masks_gives_the_same_scores(net, limit):
    """Forward hooks on the trained net flip the bits that the twin's streams name."""
    bits, errors = net.spec.bits, WriteErrors(6, FLIP, limit)
    one, signed = 1 << (bits - 1), f"<i{bits // 8}"

    def flip(index, out):
        shape = out.permute(0, 2, 3, 1).shape if out.ndim == 4 else out.shape
        codes = (out.permute(0, 2, 3, 1) if out.ndim == 4 else out).double() * one
        codes = codes.reshape(len(codes), -1).numpy().astype(signed)
        words = memory.pack(codes)
        lanes = draws.lane_masks(words.shape[1], codes.shape[1] * bits)
        images = np.arange(len(codes), dtype=np.uint32)
        failed = draws.failures(errors, images, index, lanes, words)
        wrong = memory.unpack(words ^ failed, codes.shape[1], bits)
        stored = torch.from_numpy(wrong.astype(np.float64) / one)
        stored = stored.to(out.dtype).reshape(shape)
        return stored.permute(0, 3, 1, 2) if out.ndim == 4 else stored

    hooks = [
        block.register_forward_hook(lambda module, inputs, out, index=index: flip(index, out))
        for index, block in enumerate(net.blocks)
    ]
    expected = predict(net, IMAGES[:TOGETHER]).double().numpy()
    for hook in hooks:
        hook.remove()
    twin = FixedTwin(fold_fixed(net))
    scores, counts = twin.run(IMAGES[:TOGETHER], 0, errors)
    assert np.allclose(scores, expected, rtol=0, atol=0 if bits < 32 else 1e-7)
    n, p = counts[0], limit / CERTAIN
    assert abs(counts[2] - n * p) <= 5 * (n * p * (1 - p)) ** 0.5


def test_old_values_are_those_of_the_half(net):
    """Every write fails: the cells stay 0, and the last layer sees zeros."""
    twin = FixedTwin(fold_fixed(net))
    trace = []
    scores, counts = twin.run(IMAGES, errors=WriteErrors(0, KEEP, CERTAIN), trace=trace)
    assert not any(stored.any() for block in trace for stored in block)
    assert not scores.any()
    assert counts[1] == counts[2] > 0


def test_toggled_bits_are_against_the_layer_before_last(net):
    twin = FixedTwin(fold_fixed(net))
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
    twin = FixedTwin(fold_fixed(net))
    whole, counts = twin.run(IMAGES, 0, 9, 1 << 28, errors)
    parts = [
        twin.run(IMAGES[a:b], a, 9, 1 << 28, errors)
        for a, b in ((0, 7), (7, 7), (7, TOGETHER + 3), (TOGETHER + 3, len(IMAGES)))
    ]
    assert np.array_equal(whole, np.concatenate([scores for scores, _ in parts]))
    assert counts.tolist() == sum(bits for _, bits in parts).tolist()
    assert 0.03 < counts[2] / counts[0] < 0.065  # keep: about half of 1/16


def test_weights_are_written_once(net):
    fixed = fold_fixed(net)
    flipped, written, wrong = FixedTwin(fixed).corrupted(WriteErrors(4, FLIP, 0, CERTAIN))
    assert written == wrong == fixed.weight_bits
    for before, after in zip(fixed.layers, flipped.net.layers, strict=True):
        assert np.array_equal(after.codes, -1 - before.codes)
    kept, _, wrong = FixedTwin(fixed).corrupted(WriteErrors(4, KEEP, 0, CERTAIN))
    assert not any(layer.codes.any() for layer in kept.net.layers)
    unsigned = [layer.codes.astype(f"<i{fixed.bits // 8}").view(np.uint8) for layer in fixed.layers]
    assert wrong == sum(ones(codes) for codes in unsigned)
    assert FixedTwin(fixed).corrupted(WriteErrors(4))[2] == 0
    one, again = (
        FixedTwin(fixed).corrupted(WriteErrors(4, FLIP, 0, 1 << 26))[0].net for _ in range(2)
    )
    assert encode_fixed(one) == encode_fixed(again) != encode_fixed(fixed)


def test_a_saved_net_is_the_same_net(net, tmp_path):
    fixed = fold_fixed(net)
    save_fixed(fixed, tmp_path / "net.safetensors")
    again = load_fixed(tmp_path / "net.safetensors")
    assert encode_fixed(again) == encode_fixed(fixed)
    assert (again.name, again.bits, again.side) == (fixed.name, fixed.bits, fixed.side)
    assert np.array_equal(FixedTwin(again).run(IMAGES)[0], FixedTwin(fixed).run(IMAGES)[0])


def test_bad_files_end_in_one_line(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ConfigError):
        load_fixed(path)
    good = encode_fixed(fold_fixed(settled_net(8)))
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    foreign = path.read_bytes()
    safetensors.numpy.save_file({"a": np.zeros(3)}, path, {"mtjkit": json.dumps({"version": 9})})
    for data in (good[:-5], good[:40], b"", foreign, path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            load_fixed(path)
        assert "\n" not in str(caught.value)


def tampered(change):
    """The bytes of a net's file after `change(tensors, meta)`."""
    good = encode_fixed(fold_fixed(settled_net(8)))
    tensors = safetensors.numpy.load(good)
    head = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])
    meta = json.loads(head["__metadata__"]["mtjkit"])
    change(tensors, meta)
    return safetensors.numpy.save(tensors, {"mtjkit": json.dumps(meta)})


@pytest.mark.parametrize(
    "change",
    [
        lambda t, m: m.update(side=0),
        lambda t, m: m.update(side=8.0),
        lambda t, m: m.update(name=3),
        lambda t, m: m.update(layers=[]),
        lambda t, m: m["layers"][1].update(input_bits=32),
        lambda t, m: m["layers"][0].update(input_bits=64),
        lambda t, m: m["layers"][0].update(padding=0),
        lambda t, m: m["layers"][1].update(pool=True),
        lambda t, m: m["layers"][4].update(pool=2),
        lambda t, m: t.update({"gamma.0": t["gamma.0"][:1]}),
        lambda t, m: t.update({"std.1": t["std.1"] * 0}),
        lambda t, m: t.update({"mean.2": t["mean.2"] * np.nan}),
        lambda t, m: t.update({"codes.0": t["codes.0"][:0]}),
        lambda t, m: t.update({"codes.4": t["codes.4"][:, :-1]}),
        lambda t, m: t.update({"codes.5": t["codes.5"][0]}),
    ],
)
def test_nets_that_compiled_code_must_not_see_are_refused(change, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(tampered(lambda tensors, meta: None))
    load_fixed(path)
    path.write_bytes(tampered(change))
    with pytest.raises(FormatError) as caught:
        load_fixed(path)
    assert "\n" not in str(caught.value)


def test_layers_that_do_not_fit_are_refused():
    fixed = fold_fixed(settled_net(8))
    codes = [layer.codes for layer in fixed.layers]
    with pytest.raises(FormatError, match="layer 1"):
        fixed.with_codes([codes[0], codes[1][:, 1:], *codes[2:]])
    with pytest.raises(FormatError, match="more than 8 bits"):
        fixed.with_codes([codes[0] + 200, *codes[1:]])
    with pytest.raises(ConfigError, match="uint8"):
        FixedTwin(fixed).run(IMAGES[:, :4])
    with pytest.raises(ConfigError, match="engine"):
        FixedTwin(fixed, "quick")
