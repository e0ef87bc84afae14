"""Binary nets in compiled code: the bits of numpy's, which are the reference's."""

import os
from functools import cache
from pathlib import Path

import finn_cnv
import networks
import numpy as np
import pytest
import records
from mtjkit_core import geometry
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, NO_ERRORS, WriteErrors, fail_limit
from mtjkit_export import encode
from mtjkit_host.datasets.images import load_images
from mtjkit_host.simulate import binary_native as native
from mtjkit_host.simulate import binary_numpy, compile
from mtjkit_host.simulate.binary_native import BinaryNative
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from support.nets import random_images, random_net, small_model

SEED = 0xFEDCBA9876543210
INDICES = np.array([0, 7, 2**30 - 1, 2**32 - 1], np.uint32)
LIMITS = [0, 1, 43, fail_limit(0.024), 1 << 31, CERTAIN - 1, CERTAIN, *records.LIMITS[1:]]
FEW = [0, fail_limit(0.024), CERTAIN, *records.LIMITS[1:3]]
# Every limit on two small networks: how a word is written does not depend on the network's shape.
SMALL = ("one row", "thin")


def all_limits(name, layers):
    """The limits that a network's writes are tested with, for `count` layers."""
    return [*(LIMITS if name in SMALL else FEW), by_layer(layers)]


WIDTHS = (1, 31, 32, 33, 40, 64, 65, 96)

needs_compiler = pytest.mark.skipif(compile.compiler() is None, reason="no C compiler")


FEATURES = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
HAS_AVX512 = "avx512_vpopcntdq" in FEATURES
BELOW_BEST = ["avx512", "avx2"] if "amx_int8" in FEATURES else ["avx2"] if HAS_AVX512 else []


@pytest.fixture(params=["best", *BELOW_BEST, "portable"])
def kernels(request, monkeypatch):
    """All choices that the C source makes on this processor, as `compile.library`."""
    library = compile.library(*compile.LEVELS[request.param])
    monkeypatch.setattr(native, "library", lambda: library)


@needs_compiler
def test_the_level_can_be_lowered_and_is_told(monkeypatch):
    best = compile.library().mtj_simd().decode()
    assert best in ("AVX-512", "AMX") or not HAS_AVX512
    monkeypatch.setenv("MTJKIT_SIMD", "portable")
    compile.library.cache_clear()
    assert compile.library().mtj_simd() == b"portable"
    monkeypatch.setenv("MTJKIT_SIMD", "mmx")
    compile.library.cache_clear()
    with pytest.raises(ConfigError, match="mmx is unknown: best, avx512, avx2, portable"):
        compile.library()


def by_layer(count):
    """Limits of `count` layers, all different."""
    return [records.LIMITS[5 * n % len(records.LIMITS)] for n in range(count)]


@cache
def numpys(model, pixels, errors):
    """Scores, counts and maps in numpy, which is slow: once for both choices of the C source."""
    maps = []
    images = np.frombuffer(pixels, np.int8).reshape(-1, *model.input_shape)
    return *BinaryNumpy(model).run(images, INDICES, errors, maps), maps


@cache
def numpys_program(model, errors):
    """The programmed model and its counts in numpy."""
    stored, counts = binary_numpy.program(Model(model), errors)
    return bytes(stored.data), counts.tolist()


def assert_same(model, images, errors):
    maps = []
    expected_scores, expected_counts, expected_maps = numpys(model, images.tobytes(), errors)
    scores, counts = BinaryNative(model, 2).run(images, INDICES, errors, maps)
    assert (scores == expected_scores).all(), errors
    assert (counts == expected_counts).all(), errors
    assert len(maps) == len(expected_maps)
    for stored, expected_map in zip(maps, expected_maps, strict=True):
        assert (stored == expected_map).all(), errors


@needs_compiler
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_same_bits_as_the_twin(name):
    model, images = small_model(name)
    for limits in all_limits(name, len(model.layers) - 1):
        for kind in (FLIP, KEEP):
            assert_same(model, images, WriteErrors(SEED, kind, limits))


@needs_compiler
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("n", range(records.CHIP_RUNS))
@pytest.mark.parametrize("name", records.CHIP_NETWORKS)
def test_same_bits_on_chips(name, n):
    model, images = small_model(name)
    errors = records.chip_errors(n, len(model.layers))
    assert_same(model, images, errors)
    stored, counts = native.program(model, errors)
    assert (bytes(stored.data), counts.tolist()) == numpys_program(bytes(model.data), errors)


@needs_compiler
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("n", range(records.RANDOM_RUNS))
@pytest.mark.parametrize("name", [*records.CHIP_NETWORKS, "global average"])
def test_same_bits_over_random_bits(name, n):
    model, images = small_model(name)
    assert_same(model, images, records.random_errors(n, len(model.layers)))


@needs_compiler
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", [*networks.GEOMETRIES, *networks.KINDS])
def test_same_bits_of_every_kind(name):
    assert_same(*small_model(name), WriteErrors(SEED, KEEP, (1 << 29, 1 << 30)))


@needs_compiler
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("seed", range(25))
def test_same_bits_of_any_network(seed):
    model = Model(encode(random_net(np.random.default_rng(seed))))
    assert_same(model, random_images(model, 4, seed), WriteErrors(seed, KEEP, 1 << 30))


@needs_compiler
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("channels", WIDTHS)
@pytest.mark.parametrize("padding", [0, 1])
def test_odd_widths(monkeypatch, channels, padding):
    specs = [
        (geometry.CONV, 1, 0, channels),
        (geometry.CONV, padding, 0, WIDTHS[-1 - WIDTHS.index(channels)]),
        (geometry.CONV, 1, 1, channels),
        (geometry.DENSE, 0, 0, channels),
        (geometry.DENSE, 0, 0, 10),
    ]
    monkeypatch.setitem(networks.NETWORKS, "wide", ((6, 8, 3), specs))
    assert_same(*small_model("wide"), WriteErrors(SEED, KEEP, fail_limit(0.1)))


@needs_compiler
@pytest.mark.usefixtures("kernels")
def test_rows_longer_than_the_counters(monkeypatch):
    # 54,000 products: more than 16-bit sums hold, and more words than one block of the adders.
    specs = [(geometry.CONV, 1, 0, 1500), (geometry.DENSE, 0, 0, 5), (geometry.DENSE, 0, 0, 2)]
    monkeypatch.setitem(networks.NETWORKS, "long", ((6, 6, 1), specs))
    assert_same(*small_model("long"), NO_ERRORS)


@needs_compiler
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", [*SMALL, "to one"])
def test_same_programmed_weights_as_the_twin(name):
    model = Model(networks.build(name))
    for limits in all_limits(name, len(model.layers)):
        for kind in (FLIP, KEEP):
            errors = WriteErrors(SEED, kind, 0, limits)
            stored, counts = native.program(model, errors)
            expected = numpys_program(bytes(model.data), errors)
            assert (bytes(stored.data), counts.tolist()) == expected, errors


@needs_compiler
def test_images_of_the_wrong_shape_are_refused():
    model, images = small_model("plain")
    with pytest.raises(ConfigError, match="the net takes"):
        BinaryNative(model).run(images[:, 1:], INDICES)


@needs_compiler
def test_no_images_give_no_scores():
    model, images = small_model("plain")
    scores, counts = BinaryNative(model).run(images[:0], INDICES[:0])
    assert scores.shape == (0, 10)
    assert counts.shape == (0, 5)


def test_without_a_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(compile, "compiler", lambda: None)
    compile.library.cache_clear()
    with pytest.raises(ConfigError, match="no C compiler"):
        compile.library()
    assert not compile.available()


@pytest.mark.program
@needs_compiler
def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MTJKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(compile, "FLAGS", (*compile.FLAGS, "-DMTJKIT_H"))  # its header is skipped
    compile.library.cache_clear()
    with pytest.raises(ConfigError, match="cannot compile"):
        compile.library()
    assert not list(tmp_path.rglob("*.so")) + list(tmp_path.rglob("*.part"))


@needs_compiler
@pytest.mark.usefixtures("kernels")
def test_finn_cnv_gives_its_authors_scores(long_data):
    archive = np.load(long_data("cnv_w1a1_cifar10.npz"))
    model = Model(encode(finn_cnv.network(long_data("cnv_w1a1_cifar10.npz"))))
    count = int(os.environ.get("MTJKIT_CNV_IMAGES", "1000"))
    images = load_images(long_data("cifar-10-batches-bin"), model, count)
    np.arange(count, dtype=np.uint32)
    scores, counts = BinaryNative(model).run(images.images)
    assert (scores == archive["test_scores"][:count]).all()
    assert (counts[:, 0] == 95_360).all()
