"""The same images again: what is kept from one pass to the next changes no bit."""

import numpy as np
import pytest
from mtjkit_core.model import Model
from mtjkit_core.streams import BUFFER, place_word
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, NO_ERRORS, WriteErrors, fail_limit
from mtjkit_export import encode
from mtjkit_host.simulate import compile, draws, first_maps, repeated
from mtjkit_host.simulate.binary_native import BinaryNative
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from mtjkit_host.simulate.fixed_native import FixedNative
from mtjkit_host.simulate.repeated import Repeated, is_native
from mtjkit_host.simulate.simulator import run_in_batches
from support.nets import fixed_net, random_images, random_net, tiny_network

pytestmark = pytest.mark.skipif(compile.compiler() is None, reason="no C compiler")
SEED = 0x0123456789ABCDEF
RATES = (0, 1e-5, 3e-4, 0.1)


class Counting(BinaryNative):
    """Counts the images that it computes."""

    computed = 0

    def run(self, images, *args, **options):
        self.computed += len(images)
        return super().run(images, *args, **options)


def simulators():
    rng = np.random.default_rng(3)
    binary = [Model(encode(net)) for net in (tiny_network(), random_net(rng), random_net(rng))]
    binary = [net for net in binary if len(net.layers) > 1]
    fixed = [fixed_net(bits) for bits in (8, 32)]
    return [*(BinaryNative(net, 2) for net in binary), *(FixedNative(net, 2) for net in fixed)]


def images_of(net, count):
    shape = (count, *net.input_shape)
    return np.random.default_rng(7).integers(-128, 128, shape, np.int8)


@pytest.mark.parametrize("level", ["best", "avx2", "portable"])
def test_spared_images_are_those_whose_draws_fail_nowhere(level, monkeypatch):
    library = compile.library(*compile.LEVELS[level])
    monkeypatch.setattr(repeated, "library", lambda: library)
    numbers = np.arange(18, dtype=np.uint32) * 0x01000193
    found = set()
    for simulator in simulators():
        kept = Repeated(simulator, 0)
        hidden = len(simulator.net.layers) - 1
        for limit in (0, 43, *map(fail_limit, (1e-4, 2e-3)), CERTAIN):
            errors = WriteErrors(SEED, FLIP, [((limit,) * 2, (0, 0))[n % 2] for n in range(hidden)])
            fails = np.zeros(len(numbers), bool)
            for layer, (words, run_words, run_bits, place) in enumerate(kept._places.tolist()):
                if words:
                    assert place == place_word(BUFFER, layer, 0)
                    lanes = draws.lane_masks(words, run_bits)
                    assert len(lanes) % run_words == 0
                    nothing = np.zeros((len(numbers), words), np.uint32)
                    failed = draws.failures(errors, numbers, layer, lanes, nothing)
                    fails |= failed.any(axis=1)
            assert np.array_equal(kept.spared(numbers, errors), ~fails)
            found.add(0 < fails.sum() < len(fails))
    assert found == {True, False}


def test_limits_that_ask_what_is_written_are_left_to_the_simulator():
    kept = Repeated(BinaryNative(Model(encode(tiny_network()))), 9)
    assert kept.spared(np.arange(9), WriteErrors(1, FLIP, [(7, 8)] * 3)) is None


@pytest.mark.parametrize("room", [first_maps.MOST_BYTES, 9000, 0])
def test_passes_give_the_bits_of_the_simulator_alone(room, monkeypatch):
    monkeypatch.setattr(first_maps, "MOST_BYTES", room)
    for simulator in simulators():
        images, hidden = images_of(simulator.net, 23), len(simulator.net.layers) - 1
        kept = Repeated(simulator, len(images))
        assert kept._first.maps.nbytes <= room
        processes = [WriteErrors(SEED, kind, fail_limit(p)) for p in RATES for kind in (FLIP, KEEP)]
        processes += [WriteErrors(4, KEEP, [(90000, 7)] * hidden), NO_ERRORS]
        for errors in processes:
            batches = list(run_in_batches(kept, images, errors, size=10))
            scores, counts = simulator.run(images, errors=errors)
            assert np.array_equal(np.concatenate([one.scores for one in batches]), scores)
            assert np.array_equal(np.concatenate([one.counts for one in batches]), counts)
            some = np.array([22, 3, 11], np.uint32)
            trace, expected = [], []
            simulator.run(images[some], some, errors, expected)
            for traced in (None, trace):
                found = kept.run(images[some], some, errors, traced)
                assert np.array_equal(found[0], scores[some])
                assert np.array_equal(found[1], counts[some])
            for one, other in zip(trace, expected, strict=True):
                assert np.array_equal(one, other)


def test_what_no_error_reaches_is_computed_once():
    net = Model(encode(tiny_network()))
    simulator = Counting(net, 1)
    kept, images = Repeated(simulator, 50), random_images(net, 50)
    for seed in range(3):  # about one bit of a million fails: 1,697 are written for an image
        kept.run(images, errors=WriteErrors(seed, FLIP, fail_limit(1e-9)))
    assert simulator.computed == 50
    assert kept._first.there.all()
    kept._first.maps[:] = 0  # what is kept is what is taken
    scores, _ = kept.run(images, errors=WriteErrors(1, FLIP, fail_limit(0.1)))
    assert simulator.computed == 100
    alone, _ = simulator.run(images, errors=WriteErrors(1, FLIP, fail_limit(0.1)))
    assert not np.array_equal(scores, alone)


def test_only_compiled_simulators_keep_anything():
    net = Model(encode(tiny_network()))
    assert is_native(BinaryNative(net))
    assert not is_native(BinaryNumpy(net))
