"""The twin gives the reference's bits: scores, counts, every stored map; FINN's CNV its scores."""

import finn_cnv
import networks
import numpy as np
import pytest
import records
from mtjkit_core.bits import load_word, tail_mask
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.mtj_memory import draw_failures, draw_uneven
from mtjkit_core.reference import run_image
from mtjkit_core.streams import BUFFER, STREAMS, seed_streams
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, WriteErrors, fail_limit
from mtjkit_export import encode
from mtjkit_host.datasets.images import load_images
from mtjkit_host.simulate import compile as native
from mtjkit_host.simulate import draws
from mtjkit_host.simulate.binary_numpy import BinaryNumpy, program
from mtjkit_host.simulate.simulator import open_simulator
from support.nets import small_model

SEED = 0xFEDCBA9876543210
INDICES = np.array([0, 7, 2**30 - 1, 2**32 - 1], np.uint32)
LIMITS = [0, 1, 43, fail_limit(0.024), 1 << 31, CERTAIN - 1, CERTAIN]
UNEVEN = records.LIMITS[1:]


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_same_bits_as_the_reference(name):
    model, images = small_model(name)
    by_layer = [UNEVEN[5 * n % len(UNEVEN)] for n in range(len(model.layers) - 1)]
    if model.macs > 400_000:  # the reference is slow: one image, which the others do not change
        images = images[3:]
    for limits in (0, fail_limit(0.024), CERTAIN, (0, fail_limit(0.3)), by_layer):
        for kind in (FLIP, KEEP):
            same_bits_as_the_reference(model, images, WriteErrors(SEED, kind, limits))


@pytest.mark.parametrize("name", [*networks.GEOMETRIES, *networks.KINDS])
def test_same_bits_of_every_kind(name):
    model, images = small_model(name, 2)
    same_bits_as_the_reference(model, images, WriteErrors(SEED, KEEP, (1 << 29, 1 << 30)))


def same_bits_as_the_reference(model, images, errors):
    maps = []
    indices = INDICES[: len(images)]
    scores, counts = BinaryNumpy(model).run(images, indices, errors, maps)
    for k, index in enumerate(indices.tolist()):
        expected_counts, trace = [0] * 5, []
        expected = run_image(model, images[k].tobytes(), index, errors, expected_counts, trace)
        assert scores[k].tolist() == expected, errors
        assert counts[k].tolist() == expected_counts, errors
        assert [stored[k].tobytes() for stored in maps] == trace, errors


@pytest.mark.parametrize("record", records.load("networks_1_2"), ids=lambda one: one["name"])
def test_chips_match_the_vectors(record):
    name = record["name"]
    data = networks.build(name)
    model = Model(data)
    for n, (run, done) in enumerate(zip(record["runs"], record["programs"], strict=True)):
        errors = records.chip_errors(n, len(model.layers))
        image = np.frombuffer(networks.image(name, n % 3), np.int8).reshape(1, *model.input_shape)
        maps = []
        index = np.array([77777 * n], np.uint32)
        scores, counts = BinaryNumpy(model).run(image, index, errors, maps)
        assert scores[0].tolist() == run["scores"]
        assert counts[0].tolist() == run["counts"]
        assert [records.crc(stored.tobytes()) for stored in maps] == run["maps"]
        stored, counts = program(Model(data), errors)
        assert [int(counts[0]), int(counts[2])] == done["bits"]
        # The record is of the weights as they were stored, under the file's old checksum.
        assert records.crc(bytes(stored.data)[:-4] + data[-4:]) == done["crc"]


@pytest.mark.parametrize("limits", LIMITS + UNEVEN)
def test_same_draws_as_the_reference(limits):
    words, run_bits = 45, 70  # 15 runs of three words, the last with six lanes
    lanes = draws.lane_masks(words, run_bits)
    rng = np.random.default_rng(1)
    new = rng.integers(0, 1 << 32, (len(INDICES), words), np.uint32) & lanes
    failed = draws.failures(WriteErrors(SEED, FLIP, limits), INDICES, 3, lanes, new)
    for k, index in enumerate(INDICES.tolist()):
        state = [0] * 32
        seed_streams(state, SEED, index, BUFFER, 3)
        for w in range(words):
            mask = tail_mask(run_bits) if w % 3 == 2 else 0xFFFFFFFF
            if isinstance(limits, int):
                expected = draw_failures(state, w % STREAMS, limits, mask)
            else:
                expected = draw_uneven(state, w % STREAMS, limits, mask, int(new[k, w]))
            assert failed[k, w] == expected


@pytest.mark.parametrize("limit", LIMITS)
def test_two_equal_limits_draw_what_one_does(limit):
    lanes = np.array([0xFFFFFFFF, 0x0FFFFFFF] * 4, np.uint32)
    one = draws.seed_states(SEED, INDICES[:1], 3).reshape(4, -1)
    two = one.copy()
    new = np.arange(8, dtype=np.uint32) * np.uint32(0x12345677)
    for _ in range(20):
        failed = draws.draw_failures(one, limit, lanes)
        assert (draws.draw_uneven(two, (limit, limit), lanes, new) == failed).all()
        assert (one == two).all()


def test_an_image_does_not_depend_on_its_company():
    model, images = small_model("pooled")
    many = np.tile(images, (70, 1, 1, 1))  # more than are drawn together
    indices = np.arange(len(many), dtype=np.uint32)
    errors = WriteErrors(SEED, KEEP, (fail_limit(0.1), fail_limit(0.2)))
    scores, counts = BinaryNumpy(model).run(many, indices, errors)
    for k in (3, 255, 256, 279):
        one, bits = BinaryNumpy(model).run(many[k : k + 1], indices[k : k + 1], errors)
        assert (one[0] == scores[k]).all()
        assert (bits[0] == counts[k]).all()


def test_flipped_bits_are_binomial():
    n, words, rate = 200, 960, 0.024
    lanes = draws.lane_masks(words, 40)  # 480 runs of 40 bits
    errors = WriteErrors(1, FLIP, fail_limit(rate))
    new = np.zeros((n, words), np.uint32)
    failed = draws.failures(errors, np.arange(n, dtype=np.uint32), 0, lanes, new)
    bits = n * 480 * 40
    sigma = (bits * rate * (1 - rate)) ** 0.5
    assert abs(int(np.bitwise_count(failed).sum()) - bits * rate) < 4 * sigma


def test_images_of_the_wrong_shape_are_refused():
    model, images = small_model("plain")
    with pytest.raises(ConfigError, match="the net takes"):
        BinaryNumpy(model).run(images[:, 1:], INDICES)


def weight_words(model, data):
    """Every weight word with the mask of its lanes."""
    for layer in model.layers:
        for w in range(layer.weight_words):
            last = w % layer.run_words == layer.run_words - 1
            mask = tail_mask(layer.run_bits) if last else 0xFFFFFFFF
            yield load_word(data, (layer.weights_at >> 2) + w), mask


@pytest.mark.parametrize(("kind", "expected"), [(FLIP, "inverted"), (KEEP, "zero")])
def test_a_certain_weight_error_inverts_all_or_leaves_the_p_state(kind, expected):
    model = Model(networks.build("padded"))
    stored, counts = program(model, WriteErrors(SEED, kind, 0, CERTAIN))
    data, (written, _, wrong, *_) = stored.data, counts.tolist()
    before = list(weight_words(model, model.data))
    after = list(weight_words(Model(data), data))  # a valid file, checksum and padding included
    for (old, mask), (new, _) in zip(before, after, strict=True):
        assert new == (old ^ mask if expected == "inverted" else 0)
    assert written == model.weight_bits
    ones = sum(word.bit_count() for word, _ in before)
    assert wrong == (written if expected == "inverted" else ones)
    assert counts.tolist() == [written, ones, wrong, ones, ones]


def test_without_weight_errors_the_file_stays_as_it_is():
    model = Model(networks.build("pooled"))
    stored, counts = program(model, WriteErrors(SEED, FLIP, CERTAIN))
    assert bytes(stored.data) == bytes(model.data)
    assert counts.tolist()[::2] == [model.weight_bits, 0, counts[1]]


def test_weight_errors_only_touch_weights_and_count_themselves():
    model = Model(networks.build("to one"))
    errors = WriteErrors(SEED, FLIP, 0, fail_limit(0.1))
    stored, counts = program(model, errors)
    data, (written, _, wrong, *_) = stored.data, counts.tolist()
    pairs = zip(weight_words(model, model.data), weight_words(model, data), strict=True)
    assert wrong == sum((old ^ new).bit_count() for (old, _), (new, _) in pairs)
    assert abs(wrong - 0.1 * written) < 4 * (written * 0.1 * 0.9) ** 0.5
    for layer in model.layers:
        at = layer.thresholds_at
        end = layer.weights_at + layer.data_bytes
        assert data[at:end] == bytes(model.data[at:end])


@pytest.mark.parametrize(("engine", "count"), [("numpy", 300), ("native", 10_000)])
def test_finn_cnv_gives_its_authors_scores(engine, count, long_data):
    if engine == "native" and not native.available():
        pytest.skip("no C compiler")
    archive = np.load(long_data("cnv_w1a1_cifar10.npz"))
    model = Model(encode(finn_cnv.network(long_data("cnv_w1a1_cifar10.npz"))))
    images = load_images(long_data("cifar-10-batches-bin"), model, count)
    scores, counts = open_simulator(model, engine).run(images.images)
    assert (scores == archive["test_scores"][:count]).all()
    assert counts[:, 0].tolist() == [95_360] * count
    if count == 10_000:
        assert (scores.argmax(axis=1) == images.labels).sum() == 7922
