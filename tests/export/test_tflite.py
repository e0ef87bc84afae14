"""Int8 TFLite files: their arithmetic to the last bit, and how far it is from the Fxp8 net's."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_export.formats.safetensors import load_fixed
from mtjkit_export.formats.tflite import convert as tflite
from mtjkit_export.formats.tflite.arithmetic import trace_int8
from mtjkit_export.formats.tflite.convert import encode_tflite, export_tflite, fold_int8, score_step
from mtjkit_export.formats.tflite.run import measure_tflite, run_tflite
from mtjkit_export.nets.fixed import FixedLayer, FixedNet, FoldedNorm
from mtjkit_host.datasets import cifar10
from mtjkit_host.simulate.simulator import open_simulator

pytest.importorskip("ai_edge_litert", reason="needs the extra tflite")

ROOT = Path(__file__).parents[2]
DATA = ROOT / "host" / "mtjkit_host" / "data"
IMAGES, LABELS = cifar10.load_test(DATA / "cifar10_test_500.bin")

EXACT = {"default": "float32", "optimized": "twice_up", "reference": "twice_away"}
"""Kernels -> how they round on x86-64."""
if platform.machine() not in ("x86_64", "AMD64"):
    EXACT = {"reference": "twice_away"}  # the only kernels that are the same everywhere


def random_net(seed=1):
    """A net with every special case: gammas of both signs and 0, codes of -128, a dead channel."""
    rng = np.random.default_rng(seed)

    def layer(kind, shape, pool=1):
        codes = rng.integers(-128, 128, shape).astype(np.int32)
        out, fan_in = shape[0], codes[0].size
        norm = FoldedNorm(
            rng.uniform(0.3, 1.2, out) * rng.choice([-1, 1], out, p=[0.3, 0.7]),
            rng.normal(0, 0.2, out),
            rng.normal(0, 0.3, out),
            0.3 * np.sqrt(fan_in) * rng.uniform(0.7, 1.4, out),
        )
        return FixedLayer(kind, 8, 8, codes, norm, int(kind == "conv"), pool)

    first = layer("conv", (6, 3, 3, 3))
    first.norm.gamma[0], first.codes[0, 0, 0, 0] = -0.8, -128  # +128 in the file
    second = layer("conv", (9, 6, 3, 3), 2)
    second.norm.gamma[:2] = abs(second.norm.gamma[:2])
    second.codes[0, 0, 0, 0] = -128
    second.norm.gamma[3], second.norm.beta[3] = 0, -0.3  # always -38
    second.norm.gamma[4], second.norm.beta[4] = 1e-7, 5  # always 127; its bias needs 41 bits
    third = layer("conv", (7, 9, 3, 3), 2)
    dense = layer("dense", (20, 8 * 8 * 7))
    head = rng.integers(-128, 128, (10, 20)).astype(np.int32)
    last = FixedLayer("dense", 8, 8, head, None, 0, 1)
    return FixedNet("random", 8, (first, second, third, dense, last))


@pytest.fixture(scope="module")
def net():
    return random_net()


@pytest.fixture(scope="module")
def file(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite") / "random.tflite"
    export_tflite(net, path)
    return path


@pytest.mark.parametrize("kernels", EXACT)
def test_every_score_to_the_last_bit(net, file, kernels):
    some = IMAGES[:100]
    scores, _ = trace_int8(net, some, EXACT[kernels])
    assert np.array_equal(run_tflite(file, some, kernels), scores)


def test_random_net_is_not_trivial(net):
    """Else the test above would prove little."""
    scores, maps = trace_int8(net, IMAGES[:50])
    for codes in maps:
        assert np.mean(abs(codes.astype(int)) < 127) > 0.5
        assert np.std(codes) > 20
    assert len(np.unique(scores.argmax(1))) > 1
    assert (maps[1][..., 3] == -38).all()
    assert (maps[1][..., 4] == 127).all()


def test_weights_stay_what_they_are(net):
    first, second, third, dense = net.layers[:-1]
    folded = fold_int8(second, (3, 3))
    kept = second.norm.gamma > 1e-6
    order = second.codes.transpose(0, 2, 3, 1)
    weights = folded.weights
    if folded.doubled:
        weights = weights[..., :6].astype(int) + weights[..., 6:]
    assert np.array_equal(weights[kept], order[kept])
    assert not weights[3:5].any()
    flat = fold_int8(dense, (8, 8)).weights
    assert flat.shape[1:3] == (8, 8)
    assert (folded.scales > 0).all()
    # The first layer's filter 0 is negated, and its -128 becomes 127 + 1.
    folded = fold_int8(first, (3, 3))
    assert folded.doubled
    assert folded.weights.min() >= -127
    halves = folded.weights[0].astype(int)
    assert np.array_equal(halves[..., :3] + halves[..., 3:], -first.codes[0].transpose(1, 2, 0))
    assert not fold_int8(replace(third, codes=third.codes.clip(-127)), (3, 3)).doubled


def test_same_bytes_again(net):
    assert encode_tflite(net) == encode_tflite(random_net())


def test_wrong_nets_and_files(net, file, tmp_path):
    layers = [replace(layer, bits=16, input_bits=16) for layer in net.layers]
    wide = FixedNet("wide", 16, (replace(layers[0], input_bits=8), *layers[1:]))
    with pytest.raises(ConfigError, match="8 bits only"):
        encode_tflite(wide)
    # Hardly any factor, but an offset between two codes: the sum still decides.
    weak = FoldedNorm(np.full(7, 1e-6), np.full(7, 0.5 / 128), np.zeros(7), np.full(7, 100.0))
    with pytest.raises(ConfigError, match=r"channel 0 .* does not fit"):
        fold_int8(replace(net.layers[2], norm=weak), (3, 3))
    with pytest.raises(ConfigError, match="uint8"):
        run_tflite(file, IMAGES[:, :16])
    with pytest.raises(ConfigError, match="kernels are"):
        run_tflite(file, IMAGES, "fast")
    with pytest.raises(ConfigError, match="No such file"):
        run_tflite(tmp_path / "none.tflite", IMAGES)
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    with pytest.raises(FormatError, match="not a TFLite model"):
        run_tflite(broken, IMAGES)
    with pytest.raises(ConfigError, match="cannot write"):
        export_tflite(net, file / "below.tflite")
    with pytest.raises(ConfigError, match="roundings are"):
        trace_int8(net, IMAGES, "down")


def test_measurement(file):
    found = measure_tflite(file, IMAGES[:20], LABELS[:20], warm_up=2)
    assert 0 < found.low_ms <= found.median_ms <= found.high_ms
    right = run_tflite(file, IMAGES[:20]).argmax(1) == LABELS[:20]
    assert (found.images, found.correct) == (20, right.sum())
    assert found.accuracy == right.mean()
    assert found.interpreter.startswith("ai-edge-litert ")
    for images, labels in ((IMAGES[:0], LABELS[:0]), (IMAGES[:2], LABELS[:3])):
        with pytest.raises(ConfigError, match="cannot be measured"):
            measure_tflite(file, images, labels)


@pytest.mark.parametrize("kernels", ["default", "optimized"])
def test_random_net_against_the_twin(net, file, kernels):
    some = IMAGES[:100]
    scores, _ = open_simulator(net).run(some)
    assert abs(run_tflite(file, some, kernels) - scores).max() <= score_step(net)


@pytest.fixture(scope="module", params=["fxp8-small", "fxp8-small-p99"])
def trained(request, tmp_path_factory):
    """A carried net, its file, and its scores of the carried images by the twin."""
    net = load_fixed(DATA / f"{request.param}.safetensors")
    path = tmp_path_factory.mktemp("tflite") / "fxp8.tflite"
    export_tflite(net, path)
    return net, path, open_simulator(net).run(IMAGES)[0]


def agree(net, scores, expected):
    """Within one step on every score, and the same prediction where that decides."""
    step = score_step(net)
    assert abs(scores - expected).max() <= step
    two = np.sort(expected, axis=1)[:, -2:]
    close = two[:, 1] - two[:, 0] <= 2 * abs(scores - expected).max()
    differ = scores.argmax(1) != expected.argmax(1)
    assert not differ[~close].any()
    return int(differ.sum())


def test_trained_net_agrees(trained):
    net, path, expected = trained
    assert agree(net, run_tflite(path, IMAGES), expected) == 0


@pytest.mark.parametrize("kernels", EXACT)
def test_trained_net_to_the_last_bit(trained, kernels):
    net, path, _ = trained
    some = IMAGES[:10]
    scores, _ = trace_int8(net, some, EXACT[kernels])
    assert np.array_equal(run_tflite(path, some, kernels), scores)


# tflite-runtime 2.14, the last one, loads no model under numpy 2: an environment of its own.


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """Run a file through tflite-runtime 2.14 in Python 3.11 with numpy 1."""
    exact = sys.version_info[:2] == (3, 11)
    python = sys.executable if exact else shutil.which("python3.11")
    if python is None:
        pytest.skip("tflite-runtime 2.14 needs Python 3.11, and there is no python3.11 here")
    home = ROOT / "build" / "tflite-runtime-2.14"
    inside = home / "bin" / "python"
    if not (home / "complete").is_file():
        shutil.rmtree(home, ignore_errors=True)
        for command in (
            [python, "-m", "venv", home],
            [inside, "-m", "pip", "install", "-q", "tflite-runtime==2.14.0", "numpy<2"],
        ):
            made = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if made.returncode:
                said = (made.stderr or made.stdout).strip().splitlines() or ["no message"]
                pytest.skip(f"no environment for tflite-runtime 2.14: {said[-1]}")
        (home / "complete").touch()
    folder = tmp_path_factory.mktemp("runtime")
    paths = [ROOT / "export", ROOT / "firmware" / "micropython" / "lib"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}

    def run(path, images, kernels="default"):
        np.save(folder / "images.npy", images)
        command = [inside, "-m", "mtjkit_export.formats.tflite.run", path]
        command += [folder / "images.npy", folder / "scores.npy", kernels]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "tflite-runtime 2.14.0"
        return np.load(folder / "scores.npy")

    return run


@pytest.mark.slow
@pytest.mark.skipif("optimized" not in EXACT, reason="its rounding is known on x86-64 only")
def test_runtime_2_14_to_the_last_bit(runtime, net, file):
    some = IMAGES[:100]
    scores, _ = trace_int8(net, some, "twice_up")
    assert np.array_equal(runtime(file, some), scores)
    assert np.array_equal(runtime(file, some, "optimized"), scores)


@pytest.mark.slow
def test_runtime_2_14_agrees_with_the_trained_net(runtime, trained):
    net, path, expected = trained
    assert agree(net, runtime(path, IMAGES), expected) == 0


def test_missing_extra_is_one_line(net, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ConfigError, match=r"ai_edge_litert is missing: pip install"):
        tflite.encode_tflite(net)
