"""Fixed-point nets: writes by the memory's definition, Python's sums, engines that agree."""

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import records
from mtjkit_core import chip_memory
from mtjkit_core import mtj_memory as core
from mtjkit_core.bits import tail_mask
from mtjkit_core.chip_errors import RANDOM, ChipErrors
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.streams import BUFFER, WEIGHTS, seed_streams
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export.formats.safetensors import encode_fixed, save_fixed
from mtjkit_export.nets.fixed import FixedLayer, FoldedNorm
from mtjkit_host.simulate import compile, fixed_matrix, fixed_native, fixed_numpy
from mtjkit_host.simulate.fixed_native import FixedNative, NativeLayer
from mtjkit_host.simulate.fixed_numpy import FixedNumpy, NumpyLayer, pack, unpack
from mtjkit_host.simulate.simulator import open_simulator
from support.nets import fixed_layer, fixed_net

BITS = (8, 16, 32)
TOGETHER = 50  # images that are computed together
IMAGES = np.random.default_rng(5).integers(0, 256, (TOGETHER + 10, 8, 8, 3), np.uint8)

compiled = pytest.mark.skipif(not compile.available(), reason="no C compiler")


@pytest.fixture(scope="module", params=BITS)
def net(request):
    return fixed_net(request.param)


@pytest.fixture(params=[FixedNumpy, pytest.param(FixedNative, marks=compiled)])
def simulator(request, net):
    return request.param(net)


def ones(words):
    return int(np.bitwise_count(words).sum(dtype=np.int64))


@pytest.mark.parametrize(
    "write", [fixed_numpy.write, pytest.param(fixed_native.write, marks=compiled)]
)
@pytest.mark.parametrize("kind", [FLIP, KEEP])
@pytest.mark.parametrize("place", [BUFFER, WEIGHTS])
@pytest.mark.parametrize(
    "limits", [(n, n) for n in (0, 43, fail_limit(0.024), 1 << 31, CERTAIN)] + records.LIMITS[1:]
)
def test_writes_are_those_of_the_memory_s_definition(write, kind, place, limits):
    rng, seed, layer, bits = np.random.default_rng(1), 0xFEDCBA9876543210, 3, 8 * 77
    old, new = (pack(rng.integers(-128, 128, (9, 77)).astype(np.int8)) for _ in range(2))
    images = np.array([9999, 2**32 - 1, 0, 1, 77, 1 << 31, 5, 6, 9999], np.uint32)
    expected, state, totals = [], [0] * 32, []
    for row, image in enumerate(images.tolist()):
        cells, total = bytearray(old[row].tobytes()), [0] * 5
        seed_streams(state, seed, image, place, layer)
        run = (len(old[row]), len(old[row]), tail_mask(bits))
        core.write(cells, new[row].tobytes(), *run, state, limits, kind, total)
        expected.append(np.frombuffer(cells, "<u4"))
        totals.append(total)
    half = np.full((9, 30), 7, np.uint32)  # the cells are a part of a half
    half[:, : old.shape[1]] = old
    cells = half[:, : old.shape[1]]
    errors = WriteErrors(seed, kind, *((limits, 0) if place == BUFFER else (0, limits)))
    counts = write(cells, new, bits, errors, images, layer, place)
    assert np.array_equal(cells, expected)
    assert counts.tolist() == totals
    assert totals[0][0] == bits
    assert (half[:, old.shape[1] :] == 7).all()


@pytest.mark.parametrize(
    "write", [fixed_numpy.write, pytest.param(fixed_native.write, marks=compiled)]
)
@pytest.mark.parametrize("n", range(records.CHIP_RUNS))
def test_writes_on_a_chip_are_those_of_the_memory_s_definition(write, n):
    errors, index, bits = records.chip_errors(n, 4), 1, 8 * 77
    rng = np.random.default_rng(n)
    cells, new = (pack(rng.integers(-128, 128, (1, 77)).astype(np.int8)) for _ in range(2))
    stored, state, total = bytearray(cells.tobytes()), [0] * 32, [0] * 5
    seed_streams(state, errors.seed, 5, BUFFER, index)
    one_run = SimpleNamespace(
        map_words=new.shape[1], out_words=new.shape[1], out_channels=bits, index=index
    )
    chip_memory.write_map(one_run, stored, new.tobytes(), state, errors, total)
    counts = write(cells, new, bits, errors, np.array([5], np.uint32), index)
    assert cells.tobytes() == bytes(stored)
    assert counts[0].tolist() == total
    assert total[2] > 0


def test_a_chip_s_slow_cells_are_the_same_in_every_run(simulator):
    slow = [0, 0, 0, 1 << 31]  # a quarter of the cells, which fail half of their writes
    clean = []
    simulator.run(IMAGES[:1], trace=clean)
    failed = np.zeros_like(clean[0])
    once = 0
    for seed in range(8):
        trace = []
        errors = ChipErrors(seed, FLIP, chip=9, classes=slow, weight_classes=slow)
        simulator.run(IMAGES[:1], errors=errors, trace=trace)
        failed |= trace[0] ^ clean[0]
        once += ones(trace[0] ^ clean[0]) / 8
        _, counts = simulator.program(errors)
        assert counts[2] / counts[0] == pytest.approx(1 / 8, abs=0.02)
    # Half of the slow cells fail at a time, all but 1 in 256 at least once.
    assert ones(failed) == pytest.approx(2 * once, rel=0.1)


def test_a_write_that_always_fails_leaves_the_random_bits(simulator):
    errors, trace = ChipErrors(3, KEEP, CERTAIN, before=RANDOM), []
    _, counts = simulator.run(IMAGES[:2], np.array([7, 1 << 29]), errors, trace)
    for stored, image in zip(trace[0], (7, 1 << 29), strict=True):
        halves = [bytearray(4 * len(stored)), bytearray(0)]
        chip_memory.begin(halves, errors, image)
        assert stored[:-1].tobytes() == bytes(halves[0][:-4])
    assert (counts[:, 1] == counts[:, 2]).all()


@pytest.mark.parametrize("bits", BITS)
def test_codes_lie_one_after_the_other(bits):
    codes = np.arange(-3, 4).astype(f"<i{bits // 8}").reshape(1, 7)
    words = pack(codes)
    assert words.shape == (1, -(-7 * bits // 32))
    whole = int.from_bytes(words.tobytes(), "little")
    found = [whole >> bits * i & (1 << bits) - 1 for i in range(8)]
    assert found == [code & (1 << bits) - 1 for code in (*range(-3, 4), 0)][: len(found)]
    assert np.array_equal(unpack(words, 7, bits), codes)


LEVELS = ("plain C", "AVX2", "AVX-512 VNNI", "AMX")


@compiled
@pytest.mark.parametrize("level", range(4), ids=LEVELS)
@pytest.mark.parametrize(("bits", "input_bits"), [(8, 8), (16, 8), (16, 16), (32, 8), (32, 32)])
def test_compiled_layers_are_those_of_numpy(bits, input_bits, level):
    if level > compile.library().mtj_fixed_level():
        pytest.skip(f"this processor has no {LEVELS[level]}")
    rng = np.random.default_rng(bits + input_bits)
    shapes = [  # odd numbers of channels and columns; sums longer than an int32 holds
        ("conv", (5, 3, 3, 3), 2, (9, 7, 3)),
        ("conv", (33, 64, 3, 3), 1, (3, 9, 64)),
        ("conv", (4, 345, 3, 3), 2, (2, 3, 345)),
        ("conv", (40, 20, 3, 3), 2, (7, 10, 20)),
        ("conv", (17, 65, 3, 3), 2, (5, 5, 65)),
        ("conv", (18, 16, 3, 3), 1, (1, 1, 16)),
        ("conv", (16, 16, 3, 3), 1, (2, 3, 16)),
        ("conv", (17, 32, 3, 3), 2, (6, 16, 32)),  # where AMX shares pixels among windows
        ("conv", (18, 64, 3, 3), 2, (7, 32, 64)),  # and reads the map itself
        ("conv", (6, 3, 3, 3), 2, (17, 33, 3)),  # more than AMX takes at once, also in a row
        ("dense", (17, 1101), 1, (1101,)),
        ("dense", (9, 9 * 4), 1, (3, 3, 4)),
        ("dense", (33, 64), 1, (64,)),
    ]
    one = 1 << (input_bits - 1)
    for number, (kind, shape, pool, size) in enumerate(shapes):
        layer = fixed_layer(rng, kind, shape, bits, input_bits, pool)
        inputs = rng.integers(-one, one, (5 + 14 * (number % 2), *size))
        inputs = inputs.astype(f"<i{input_bits // 8}")
        inputs[0], inputs[1] = -one, one - 1
        expected, found = NumpyLayer(layer), NativeLayer(layer, level)
        codes = expected.codes(inputs)
        assert len(np.unique(codes)) > 9
        assert np.array_equal(found.codes(inputs), codes)
        assert found.codes(inputs).dtype == codes.dtype
        assert np.array_equal(found.values(inputs), expected.values(inputs))


@compiled
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("channels", [96, 113, 256])
def test_the_largest_sums_of_a_convolution_are_exact(bits, channels):
    """All inputs and weights at an end: pieces of 8 bits, and chunks of channels, at their most."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    codes = np.full((4, channels, 3, 3), low, np.int32)
    codes[1], codes[2, ::2], codes[3] = high, high, 0x7F7F7F7F >> 32 - bits
    zero, one = np.zeros(4), np.ones(4)
    norm = FoldedNorm(one / (18 * channels), zero, zero, one)  # the largest sum becomes 0.5
    layer = FixedLayer("conv", bits, bits, codes, norm, 1, 1)
    inputs = np.full((4, 4, 5, channels), low).astype(f"<i{bits // 8}")
    inputs[1], inputs[2, ::2, :, ::2], inputs[3] = high, high, 0x7F7F7F7F >> 32 - bits
    expected = NumpyLayer(layer).codes(inputs)
    assert len(np.unique(expected)) > 9
    for level in range(compile.library().mtj_fixed_level() + 1):
        assert np.array_equal(NativeLayer(layer, level).codes(inputs), expected)


@compiled
@pytest.mark.parametrize(("bits", "most"), [(16, 16512), (32, 8256)])
def test_the_largest_sums_of_digits_are_exact(bits, most):
    """Bytes at their ends in the longest rows that AMX takes, and in longer ones."""
    ends = np.array([-32513, 32767, -(1 << 15), 255]) << bits - 16 | (1 << bits - 16) - 1
    for products in (most, most + 1):
        codes = np.repeat(ends[:, None], products, 1).astype(np.int32)
        inputs = codes.astype(f"<i{bits // 8}")
        norm = FoldedNorm(np.full(4, 0.5 / products), *np.zeros((2, 4)), np.ones(4))
        layer = FixedLayer("dense", bits, bits, codes, norm, 0, 1)
        assert fixed_matrix.fits(layer) == (products == most)
        expected = NumpyLayer(layer).codes(inputs)
        assert len(np.unique(expected)) > 4
        for level in range(compile.library().mtj_fixed_level() + 1):
            assert np.array_equal(NativeLayer(layer, level).codes(inputs), expected)


@compiled
def test_codes_near_a_tie_are_those_of_the_definition():
    """Every sum from -300 to 299 where each second or third code is a tie, and close to ties."""
    rng = np.random.default_rng(6)
    weights = np.zeros((64, 32), np.int32)
    weights[:, 0], weights[:, 1] = 1, 3
    step = 2.0 ** rng.integers(-3, 2, 64) / 128
    gamma = 128 * step * 128 * rng.choice([1, -1, 1 + 2**-30, 1 - 2**-40, 1e9, 1e45], 64)
    offset = rng.choice([0, 0.5, 1e-9, 1e5, -1e12], 64)
    norm = FoldedNorm(gamma, offset, offset * rng.choice([0, 1], 64) / 7, np.full(64, 1.0))
    layer = FixedLayer("dense", 8, 8, weights, norm, 0, 1)
    inputs = np.zeros((600, 32), np.int8)
    inputs[:, 1] = np.arange(-300, 300) // 3
    inputs[:, 0] = np.arange(-300, 300) % 3
    expected = NumpyLayer(layer).codes(inputs)
    for level in range(compile.library().mtj_fixed_level() + 1):
        assert np.array_equal(NativeLayer(layer, level).codes(inputs), expected)


@compiled
@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("pool", [1, 2])
def test_wide_codes_are_exact_where_rounded_sums_are_not(bits, pool):
    """Products of whole ranges cancel, what is left are a few ties: of every sum, or close to."""
    rng = np.random.default_rng(bits + pool)
    one = 1 << bits - 1
    codes = np.zeros((12, 33, 3, 3), np.int32)
    codes[:, :32:2] = rng.integers(-one, one - 1, (12, 16, 3, 3), dtype=np.int64)
    codes[:, 1:32:2] = -1 - codes[:, :32:2].astype(np.int64)
    codes[6:, :32] = 0
    codes[:, 32, 1, 1] = 3
    inputs = np.zeros((3, 6, 5, 33), f"<i{bits // 8}")
    inputs[..., :32:2] = inputs[..., 1:32:2] = rng.integers(-one, one, (3, 6, 5, 16))
    inputs[..., 32] = rng.integers(-400, 400, (3, 6, 5))
    inputs[0, ..., :32] = 0
    sums = NumpyLayer(FixedLayer("conv", bits, bits, codes, None, 1, 1)).values(inputs)
    mean = np.median(sums, (0, 1, 2)) * (np.arange(12) % 3 > 0)
    slope = 0.5 ** np.arange(1, 4)[np.arange(12) // 2 % 3] * rng.choice([1, -1, 1 + 2**-40], 12)
    norm = FoldedNorm(slope * one, mean, np.full(12, 0.5 / one) * (np.arange(12) % 2), np.ones(12))
    layer = FixedLayer("conv", bits, bits, codes, norm, 1, pool)
    expected = NumpyLayer(layer).codes(inputs)
    assert len(np.unique(expected)) > 50
    for level in range(compile.library().mtj_fixed_level() + 1):
        assert np.array_equal(NativeLayer(layer, level).codes(inputs), expected)


@pytest.mark.parametrize("kind", [NumpyLayer, pytest.param(NativeLayer, marks=compiled)])
@pytest.mark.parametrize("bits", BITS)
def test_sums_are_python_s(kind, bits):
    """Of the largest codes too: in 32 bits their sums take 66 bits, and are rounded once."""
    rng = np.random.default_rng(3)
    low, high = -(1 << bits - 1), 1 << bits - 1
    codes = rng.integers(low, high, (5, 4, 3, 3)).astype(np.int32)
    codes[0], codes[1, 0] = low, high - 1
    layers = (
        FixedLayer("conv", bits, bits, codes, None, 1, 1),
        FixedLayer("dense", bits, bits, codes.reshape(5, 36), None, 0, 1),
    )
    inputs = rng.integers(low, high, (2, 3, 3, 4)).astype(f"<i{bits // 8}")
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
                assert got == float(total) / 2 ** (2 * bits - 2)  # Python rounds once, exactly


@pytest.mark.parametrize("kind", [NumpyLayer, pytest.param(NativeLayer, marks=compiled)])
def test_codes_are_rounded_clipped_and_pooled_as_written(kind):
    """Against the sentence of the specification, number by number."""
    rng = np.random.default_rng(4)
    layer = fixed_layer(rng, "conv", (7, 3, 3, 3), 8, 8, 2)
    inputs = rng.integers(-128, 128, (2, 5, 6, 3)).astype(np.int8)
    sums = NumpyLayer(layer).values(inputs)
    found = kind(layer).codes(inputs)
    assert found.shape == (2, 2, 3, 7)  # a last row that has no partner is left out
    for n, y, x, c in np.ndindex(*found.shape):
        norm = layer.norm
        four = []
        for row, col in np.ndindex(2, 2):
            s = float(sums[n, 2 * y + row, 2 * x + col, c])
            v = (s - float(norm.mean[c])) * float(norm.gamma[c]) / float(norm.std[c])
            four.append(max(-128, min(127, round((v + float(norm.beta[c])) * 128))))
        assert found[n, y, x, c] == max(four)


@compiled
@pytest.mark.parametrize("kind", [FLIP, KEEP])
@pytest.mark.parametrize("uneven", [False, True])
def test_both_engines_give_the_same_bits(net, kind, uneven):
    limits, weights = 1 << 27, 1 << 27
    if uneven:
        limits = [records.LIMITS[5 * n % len(records.LIMITS)] for n in range(5)]
        weights = [records.LIMITS[7 * n % len(records.LIMITS)] for n in range(6)]
    errors = WriteErrors(1 << 40, kind, limits, weights)
    indices = np.arange(len(IMAGES))[::-1] * 1000
    results = []
    for engine in ("numpy", "native"):
        simulator, trace = open_simulator(net, engine, threads=3), []
        assert simulator.engine == engine
        assert (simulator.net, simulator.bits) == (net, net.bits)
        scores, counts = simulator.run(IMAGES, indices, errors, trace)
        stored, weight_counts = simulator.program(errors)
        assert stored.engine == engine
        results.append((scores, counts, *trace, *simulator.elements(trace), weight_counts))
        results[-1] += (stored.run(IMAGES)[0],)
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_pixels_and_their_int8_input_are_the_same(simulator):
    scores, _ = simulator.run(IMAGES[:5])
    inputs = (IMAGES[:5].astype(np.int16) - 128).astype(np.int8)
    assert np.array_equal(simulator.run(inputs)[0], scores)
    assert np.array_equal(
        simulator.run(inputs.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3))[0], scores
    )


def test_old_values_are_those_of_the_half(simulator):
    """Every write fails: the cells stay 0, and the last layer sees zeros."""
    trace = []
    scores, counts = simulator.run(IMAGES, errors=WriteErrors(0, KEEP, CERTAIN), trace=trace)
    assert not any(stored.any() for stored in trace)
    assert not scores.any()
    assert (counts[:, 1] == counts[:, 2]).all()
    assert (counts[:, 1] > 0).all()


def test_toggled_bits_are_against_the_layer_before_last(simulator):
    trace = []
    _, counts = simulator.run(IMAGES[:3], trace=trace)
    unsigned = f"<u{simulator.bits // 8}"
    toggled = 0
    halves = [np.zeros((3, 4096), unsigned) for _ in range(2)]
    for index, stored in enumerate(simulator.elements(trace)):
        new = stored.view(unsigned)
        cells = halves[index & 1][:, : new.shape[1]]
        toggled += ones(cells ^ new)
        cells[:] = new
    assert counts[:, 1].sum() == toggled
    assert (counts[:, 0] == simulator.net.map_bits).all()
    assert not counts[:, 2].any()


@pytest.mark.parametrize("kind", [FLIP, KEEP])
def test_a_result_does_not_depend_on_how_images_are_shared_out(simulator, kind, monkeypatch):
    largest = max(simulator.net.map_elements()) * simulator.bits // 8
    monkeypatch.setattr(fixed_numpy, "_MAP_BYTES", largest * TOGETHER)
    errors = WriteErrors(9, kind, 1 << 28)
    maps = []
    whole, counts = simulator.run(IMAGES, errors=errors, trace=maps)
    indices = np.arange(len(IMAGES))
    edges = (0, 7, 7, TOGETHER + 3, len(IMAGES))
    parts, traces = [], []
    for a, b in itertools.pairwise(edges):
        trace = []
        parts.append(simulator.run(IMAGES[a:b], indices[a:b], errors, trace))
        traces.append(trace)
    assert np.array_equal(whole, np.concatenate([scores for scores, _ in parts]))
    assert np.array_equal(counts, np.concatenate([bits for _, bits in parts]))
    for layer, stored in enumerate(maps):
        assert np.array_equal(stored, np.concatenate([trace[layer] for trace in traces]))
    total = counts.sum(axis=0)
    assert 0.025 < total[2] / total[0] < 0.065  # keep: about half of 1/16


def test_weights_are_written_once(simulator):
    net = simulator.net
    flipped, counts = simulator.program(WriteErrors(4, FLIP, 0, CERTAIN))
    assert counts[0] == counts[2] == net.weight_bits
    for before, after in zip(net.layers, flipped.net.layers, strict=True):
        assert np.array_equal(after.codes, -1 - before.codes)
    kept, counts = simulator.program(WriteErrors(4, KEEP, 0, CERTAIN))
    assert not any(layer.codes.any() for layer in kept.net.layers)
    stored = [layer.codes.astype(f"<i{net.bits // 8}").view(np.uint8) for layer in net.layers]
    assert counts[1] == counts[2] == counts[3] == sum(ones(codes) for codes in stored)
    assert simulator.program(WriteErrors(4))[1][2] == 0
    one, again = (simulator.program(WriteErrors(4, FLIP, 0, 1 << 26))[0].net for _ in range(2))
    assert encode_fixed(one) == encode_fixed(again) != encode_fixed(net)


def test_layers_and_images_that_do_not_fit_are_refused():
    net = fixed_net(8)
    codes = [layer.codes for layer in net.layers]
    with pytest.raises(FormatError, match="layer 1"):
        net.with_codes([codes[0], codes[1][:, 1:], *codes[2:]])
    with pytest.raises(FormatError, match="more than 8 bits"):
        net.with_codes([codes[0] + 200, *codes[1:]])
    simulator = open_simulator(net)
    with pytest.raises(ConfigError, match="the net takes uint8 or int8"):
        simulator.run(IMAGES[:, :4])
    with pytest.raises(ConfigError, match="the net takes uint8 or int8"):
        simulator.run(IMAGES.astype(np.float32))
    with pytest.raises(ConfigError, match="60 images need as many indices"):
        simulator.run(IMAGES, np.arange(59))
    with pytest.raises(ConfigError, match="fail limits of 3 layers"):
        simulator.run(IMAGES, errors=WriteErrors(0, FLIP, [(0, 1), (1, 0), (0, 2)]))
    with pytest.raises(ConfigError, match="engine"):
        open_simulator(net, "quick")


def test_torch_is_not_needed(tmp_path):
    """A file is read, its weights written and its images classified where torch cannot load."""
    net = fixed_net(16)
    save_fixed(net, tmp_path / "net.safetensors")
    np.save(tmp_path / "images.npy", IMAGES[:4])
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from mtjkit_core.write_errors import WriteErrors\n"
        "from mtjkit_host.campaign.nets import load_net\n"
        "from mtjkit_host.simulate.simulator import open_simulator\n"
        "from pathlib import Path\n"
        "folder = Path(sys.argv[1])\n"
        "simulator = open_simulator(load_net(folder / 'net.safetensors'))\n"
        "errors = WriteErrors(3, 0, 1 << 27, 1 << 27)\n"
        "stored, _ = simulator.program(errors)\n"
        "scores, _ = stored.run(np.load(folder / 'images.npy'), errors=errors)\n"
        "np.save(folder / 'scores.npy', scores)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    errors = WriteErrors(3, FLIP, 1 << 27, 1 << 27)
    stored, _ = FixedNumpy(net).program(errors)
    expected, _ = stored.run(IMAGES[:4], errors=errors)
    assert np.array_equal(np.load(tmp_path / "scores.npy"), expected)
