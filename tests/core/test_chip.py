"""Cells that differ, are disturbed or not erased; against the vectors, also on MicroPython."""

import networks
import records
from mtjkit_core import chip_memory, mtj_memory
from mtjkit_core import reference as xnor
from mtjkit_core import streams as random
from mtjkit_core.bits import popcount
from mtjkit_core.chip_errors import (
    BEFORE,
    BUFFER_CLASSES,
    CLASSES,
    PARTS,
    RANDOM,
    WEIGHT_CLASSES,
    ChipErrors,
)
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_core.write_errors import FLIP, KEEP, WriteErrors, fail_limit, unpack_limits

FULL = 0xFFFFFFFF


def streams(memory, layer=0, seed=5):
    state = [0] * 32
    random.seed_streams(state, seed, 0, memory, layer)
    return state


def test_writes_to_classes_are_locked():
    stored = records.load("memory_1_2")
    assert len(stored) == 4 * len(records.SHAPES)
    for record in stored:
        assert records.chip_write_record(tuple(record["shape"]), record["first"]) == record


def test_runs_on_chips_are_locked():
    for record in records.load("networks_1_2")[-2:]:
        name = record["name"]
        model = Model(networks.build(name))
        for n, run in enumerate(record["runs"]):
            errors = records.chip_errors(n, len(model.layers))
            assert records.one_run(model, name, n, errors) == run


def test_runs_over_random_bits_are_locked():
    for record in records.load("networks_1_3")[-2:]:
        name = record["name"]
        model = Model(networks.build(name))
        for n, run in enumerate(record["runs"]):
            errors = records.random_errors(n, len(model.layers))
            assert records.one_run(model, name, n, errors) == run


def test_every_lane_has_one_class_and_the_classes_are_equally_likely():
    state = streams(BUFFER_CLASSES)
    found = [0] * CLASSES
    for w in range(1000):
        lanes = chip_memory.class_lanes(state, w % 8)
        assert sum(lanes) == FULL  # disjoint masks that cover all lanes
        for k in range(CLASSES):
            found[k] += popcount(lanes[k])
    for count in found:  # N = 32,000 lanes, p = 1/4: within 5 sigma
        assert abs(count - 8000) < 5 * (32000 * 3 / 16) ** 0.5


def test_each_class_fails_at_its_own_rate():
    rates = (0.0, 0.05, 0.3, 1.0)
    limits = [(fail_limit(rate), fail_limit(rate)) for rate in rates]
    cells = bytearray(4 * 1000)
    new = bytes(4 * 1000)
    classes = streams(BUFFER_CLASSES)
    counts = [0] * 5
    chip_memory.write_classes(cells, new, 1000, 1, FULL, streams(0), classes, limits, FLIP, counts)
    classes = streams(BUFFER_CLASSES)
    total, failed = [0] * CLASSES, [0] * CLASSES
    for w in range(1000):
        for k, lanes in enumerate(chip_memory.class_lanes(classes, w % 8)):
            total[k] += popcount(lanes)
            failed[k] += popcount(lanes & xnor.load_word(cells, w))
    for n, count, rate in zip(total, failed, rates):
        assert abs(count - n * rate) <= 5 * (n * rate * (1 - rate)) ** 0.5
    assert counts[2] == sum(failed)


def test_classes_with_equal_limits_fail_like_one():
    # The same rate, not the same bits: each class draws by itself. N = 64,000, within 5 sigma.
    limit = fail_limit(0.1)
    cells = bytearray(8000)
    chip_memory.write_classes(
        cells, bytes(8000), 2000, 1, FULL, streams(0), streams(3), [(limit, limit)] * 4, FLIP,
        [0] * 5,
    )  # fmt: skip
    failed = sum([popcount(xnor.load_word(cells, w)) for w in range(2000)])
    assert abs(failed - 6400) < 5 * (64000 * 0.09) ** 0.5


def test_a_disturbance_hangs_on_what_is_stored():
    certain = 1 << 32
    cells = bytearray(b"\x0f\xf0\x00\xff")
    chip_memory.disturb(cells, 1, 1, FULL, streams(0), (0, certain))
    assert cells == bytes(4)  # every 1 is lost
    chip_memory.disturb(cells, 1, 1, 0x00FFFFFF, streams(0), (certain, 0))
    assert cells == b"\xff\xff\xff\0"  # every 0, where there is a cell


def test_cells_that_are_not_erased_hold_random_bits():
    halves = [bytearray(4 * 1000), bytearray(4 * 999)]
    chip_memory.begin(halves, ChipErrors(5, before=RANDOM), 3)
    for cells in halves:  # N = 32,000, p = 1/2: within 5 sigma
        words = len(cells) // 4
        ones = sum([popcount(xnor.load_word(cells, w)) for w in range(words)])
        assert abs(ones - 16 * words) < 5 * (8 * words) ** 0.5
    again = [bytearray(4000), bytearray(400)]
    chip_memory.begin(again, ChipErrors(5, KEEP, chip=8, before=RANDOM), 3)
    # The bits hang on the run's seed and on the image alone, and each half has its own.
    assert again[0] == halves[0] and again[1] == halves[1][:400] != halves[0][:400]
    chip_memory.begin(again, ChipErrors(5, before=RANDOM), 4)
    assert again[0] != halves[0]


def test_every_bit_that_is_kept_is_an_old_one():
    name = "thin"
    model = Model(networks.build(name))
    errors = ChipErrors(9, KEEP, 1 << 32, before=RANDOM)  # nothing can be written
    halves = [bytearray(4 * words) for words in model.half_words]
    chip_memory.begin(halves, errors, 5)
    maps, counts = [], [0] * 5
    xnor.run_image(model, networks.image(name, 0), 5, errors, counts, maps)
    first = model.layers[0]
    mask = (1 << first.out_channels) - 1  # one word for each pixel
    for w in range(first.map_words):
        assert xnor.load_word(maps[0], w) == xnor.load_word(halves[0], w) & mask
    assert counts[1] == counts[2] > 0


def test_what_is_off_draws_nothing():
    state, before = streams(0), streams(0)
    cells = bytearray(b"\x5a" * 40)
    chip_memory.disturb(cells, 10, 1, FULL, state, (0, 0))
    assert cells == b"\x5a" * 40 and state == before
    halves = [bytearray(b"\x5a" * 4)] * 2
    chip_memory.begin(halves, ChipErrors(5, chip=1), 3)
    assert halves[0] == b"\x5a" * 4


def test_a_process_without_classes_and_disturb_stores_what_write_errors_store():
    name = "thin"
    model = Model(networks.build(name))
    limits = fail_limit(0.1), fail_limit(0.2)
    for kind in (FLIP, KEEP):
        one = records.one_run(model, name, 1, WriteErrors(9, kind, limits))
        assert records.one_run(model, name, 1, ChipErrors(9, kind, limits)) == one


def test_the_example_of_memory_md():
    limits = [(fail_limit(rate), fail_limit(rate)) for rate in (0.1, 0.2, 0.3, 0.5)]
    for kind, stored, wrong in ((FLIP, 0x6B, 3), (KEEP, 0x4B, 2)):
        state, classes, counts = [0] * 32, [0] * 32, [0] * 5
        random.seed_streams(state, 0xFEDCBA9876543210, 9999, random.BUFFER, 1)
        random.seed_streams(classes, 7, 0, 3, 1)
        assert classes[:4] == [0x49D70BF9, 0x423E35B2, 0x421B9E9A, 0x85584997]
        assert [lanes & 255 for lanes in chip_memory.class_lanes(list(classes), 0)] == [
            0x02, 0x40, 0x9D, 0x20,
        ]  # fmt: skip
        cells = bytearray(b"\x0f\0\0\0")
        new = b"\x5a\0\0\0"
        chip_memory.write_classes(cells, new, 1, 1, 0xFF, state, classes, limits, kind, counts)
        assert cells[0] == stored and counts == [8, 4, wrong, 4, 2]
        assert state[:4] == [0xB567860E, 0xF85D68FC, 0x6C5F9745, 0x2E554839]
        chip_memory.disturb(cells, 1, 1, 0xFF, state, (0, fail_limit(0.6)))
        assert cells[0] == 0x4B


def test_the_example_of_random_bits_in_memory_md():
    state = [0] * 32
    random.seed_streams(state, 0xFEDCBA9876543210, 9999, 2, 1)
    assert state[:4] == [0x96691367, 0xEC03B4C7, 0x98761E91, 0xDC188CCA]
    halves = [bytearray(4), bytearray(4)]
    chip_memory.begin(halves, ChipErrors(0xFEDCBA9876543210, before=RANDOM), 9999)
    assert xnor.load_word(halves[1], 0) == 0xD7392C20
    assert BEFORE == 2
    random.seed_streams(state, 0xFEDCBA9876543210, 9999, random.BUFFER, 1)
    limits, counts = (fail_limit(0.3), fail_limit(0.3)), [0] * 5
    mtj_memory.write(halves[1], b"\x5a\0\0\0", 1, 1, 0xFF, state, limits, KEEP, counts)
    assert xnor.load_word(halves[1], 0) == 0x6A and counts == [8, 5, 2, 4, 4]


def test_half_and_layer_say_which_cells_there_are():
    # Layers 0 and 2 share the cells of half 0, so their classes; the halves differ.
    low = streams(BUFFER_CLASSES, 0), streams(BUFFER_CLASSES, 1)
    assert low[0] != low[1] != streams(WEIGHT_CLASSES, 1)


def test_parts_come_back():
    for layers in (2, 4):
        several = [records.chip_errors(n, layers) for n in range(3)]
        for errors in several + [records.random_errors(n, layers) for n in range(3)]:
            assert len(errors.parts()) == PARTS - (not errors.before)
            parts = [unpack_limits(part) for part in errors.parts()]
            again = ChipErrors.of_parts(
                errors.seed, errors.kind, errors.limits, errors.weight_limits, parts
            )
            assert again == errors and again.key() == errors.key()


def refused(**arguments):
    try:
        ChipErrors(**arguments)
    except ConfigError as error:
        return str(error)
    raise AssertionError(arguments)


def test_bad_arguments_are_refused():
    four = [0] * 4
    assert "seed of their chip" in refused(classes=four)
    assert "2**64" in refused(chip=1 << 64, classes=four)
    assert "4 classes" in refused(chip=1, classes=[0] * 3)
    assert "those of its classes" in refused(chip=1, limits=1, classes=four)
    assert "0 and 2**32" in refused(disturb=-1)
    assert "random bits (1), not 2" in refused(before=2)
    errors = ChipErrors(disturb=[(0, 1), (1, 0), (2, 0)])
    try:
        errors.check_layers(3)
    except ConfigError as error:
        assert "3 layers" in str(error)
    else:
        raise AssertionError


def test_weights_take_no_notice_of_what_maps_lie_over():
    errors, erased = ChipErrors(3, KEEP, 5, 7, before=RANDOM), ChipErrors(3, KEEP, 5, 7)
    assert errors != erased
    assert errors.without_maps() == erased.without_maps()
    assert errors.weights_digest() == erased.weights_digest()
    assert errors.with_perfect_weights() == ChipErrors(3, KEEP, 5, before=RANDOM)


def test_what_can_fail_is_known():
    assert not ChipErrors(chip=1).can_fail
    assert ChipErrors(disturb=1).maps_fail and not ChipErrors(disturb=1).weights_fail
    errors = ChipErrors(3, KEEP, chip=1, classes=[0, 0, 0, 5], weight_classes=[7, 0, 0, 0])
    assert errors.maps_fail and errors.weights_fail
    assert not errors.with_perfect_weights().weights_fail
    assert not errors.without_maps().maps_fail and errors.without_maps().weights_fail
    assert errors.weights_digest() == errors.without_maps().weights_digest() != bytes(20)
    other = ChipErrors(3, KEEP, chip=2, classes=[0, 0, 0, 5], weight_classes=[7, 0, 0, 0])
    assert other != errors and other.weights_digest() != errors.weights_digest()
