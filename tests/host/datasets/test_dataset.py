"""Data sets of arrays, the draw over classes, and what a network makes of classes and shapes."""

from types import SimpleNamespace

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.datasets.dataset import Dataset, chosen, dataset_of, shared
from mtjkit_host.datasets.images import fit, images_for, to_input


def net(shape=(4, 4, 1), names=("cat", "dog", "ship"), classes=None):
    return SimpleNamespace(
        name="n",
        input_shape=shape,
        classes=len(names) if classes is None else classes,
        class_names=names,
        pixel_rule=(1, 0, 1),
    )


def data(labels=(0, 1, 2), classes=(), **more):
    images = np.zeros((len(labels), 4, 4, 1), np.uint8)
    return Dataset(images, np.array(labels, np.int64), classes, **more)


def test_arrays_of_every_shape_become_four_dimensional():
    for shape, expected in (((5, 4, 3, 2), (4, 3, 2)), ((5, 4, 3), (4, 3, 1)), ((5, 9), (1, 1, 9))):
        made = dataset_of(np.zeros(shape, np.int8), np.arange(5), "abcde")
        assert made.images.shape == (5, *expected)
        assert (made.images.dtype, made.labels.dtype) == (np.int8, np.int64)
    assert dataset_of(np.zeros((2, 3), np.uint8)).labels is None
    assert dataset_of(np.zeros((2, 3), np.uint8), np.ones((2, 1), np.uint8)).labels.tolist() == [
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("images", "labels", "classes", "why"),
    [
        (np.zeros((2, 3)), None, (), "float64'; give uint8 pixels, or int8"),
        (np.zeros(3, np.uint8), None, (), r"shape \(3,\), expected"),
        (np.zeros((0, 3), np.uint8), None, (), r"shape \(0, 3\), expected"),
        (np.zeros((2, 3), np.uint8), [0.0, 1.0], (), r"whole numbers \(2,\)"),
        (np.zeros((2, 3), np.uint8), [0, 1, 1], (), r"whole numbers \(2,\)"),
        (np.zeros((2, 3), np.uint8), [0, -1], (), "label 1 is -1"),
        (np.zeros((2, 3), np.uint8), [0, 2], "ab", "label 1 is 2, expected 0 to 1"),
        (np.zeros((2, 3), np.uint8), [0, 1], "aa", "comes twice"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(images, labels, classes, why):
    with pytest.raises(ConfigError, match=why):
        dataset_of(images, labels, classes)


def test_a_draw_is_even_over_the_classes_and_follows_from_the_seed():
    labels = np.repeat([0, 1, 2, 3], [300, 300, 2, 300])  # sorted, as a folder by class is
    found = chosen(labels, 62, 5)
    assert np.bincount(labels[found]).tolist() == [20, 20, 2, 20]
    assert (np.diff(found) > 0).all()
    assert (found == chosen(labels, 62, 5)).all()
    assert not np.array_equal(found, chosen(labels, 62, 6))
    odd = np.bincount(labels[chosen(labels, 3, 1)], minlength=4)
    assert sorted(odd.tolist()) == [0, 1, 1, 1]
    assert chosen(labels, 902, 0).tolist() == list(range(902))
    # Each of 300 images is drawn with probability 20 / 300: over 200 seeds 13.3, sigma 3.5.
    drawn = sum(np.bincount(chosen(labels, 62, seed), minlength=902) for seed in range(200))
    assert (np.abs(drawn[:300] - 200 / 15) < 5 * 3.53).all()


def test_the_first_images_are_taken_where_the_order_is_random_or_nothing_is_labelled():
    some = data([2, 2, 2, 0, 1])
    assert some.take(3, 0).labels.tolist() == [2, 0, 1]
    assert data([2, 2, 2, 0, 1], mixed=True).take(3, 0).labels.tolist() == [2, 2, 2]
    bare = dataset_of(np.arange(6, dtype=np.uint8).reshape(3, 2))
    assert bare.take(2, 9).images.ravel().tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="--images 9: only 5 are in arrays"):
        some.take(9)


def test_classes_are_matched_by_name():
    assert fit(data((0, 1, 1), ("dog", "ship")), net()).labels.tolist() == [1, 2, 2]
    assert "matched by name" in fit(data((0, 1, 1), ("dog", "ship")), net()).remarks[-1]
    same = fit(data((0, 1, 2), ("cat", "dog", "ship")), net())
    assert (same.labels.tolist(), same.remarks) == ([0, 1, 2], ())


def test_a_folder_may_lack_letters_that_a_folder_cannot_hold():
    names = ("20 Km/h", "30 Km/h", "Stop!")
    folders = data((0, 1, 2), ("20_km_h", "30 Km-h", "stop"), names=("a", "b", "c"), folders=True)
    assert fit(folders, net(names=names)).labels.tolist() == [0, 1, 2]
    twice = net(names=("a/b", "a b", "c"))
    with pytest.raises(ConfigError, match="lacks 'a_b'"):
        fit(data((0, 1), ("a_b", "c"), folders=True), twice)


def test_numbers_are_numbers_of_the_models_classes_and_that_is_said():
    numbered = fit(data((0, 1, 1), ("00001", "00002")), net())
    assert numbered.labels.tolist() == [1, 2, 2]
    assert "labels are numbers, taken as numbers of the model's classes (0 is cat)" in str(
        numbered.remarks
    )
    digits = net(names=tuple("0123456789"))
    assert fit(data((0, 3, 9)), digits).remarks == ()
    with pytest.raises(ConfigError, match="labels go up to 9, model 'n' has 3 classes"):
        fit(data((0, 9, 1)), net())
    with pytest.raises(ConfigError, match="labels go up to 3"):
        fit(data((0, 1, 1), ("1", "3")), net())


def test_other_classes_than_the_models_are_refused():
    with pytest.raises(ConfigError, match=r"of its 2 classes the model lacks 'cow'.*knows 'cat'"):
        fit(data((0, 1, 1), ("cow", "dog")), net())
    with pytest.raises(ConfigError, match=r"lacks 'cow', 'horse'"):
        fit(data((0, 1, 1), ("cow", "horse")), net())
    with pytest.raises(ConfigError, match=r"Rename the folders, or say .* classes.csv"):
        fit(data((0, 1, 1), ("cow", "dog"), folders=True), net())


def test_a_model_without_class_names_takes_the_order_of_the_data_and_that_is_said():
    found = fit(data((0, 1, 2), ("a", "b", "c")), net(names=(), classes=3))
    assert found.labels.tolist() == [0, 1, 2]
    assert "class 0 is taken as a, 2 as c" in found.remarks[-1]
    with pytest.raises(ConfigError, match="4 unnamed classes"):
        fit(data((0, 1, 2), ("a", "b", "c")), net(names=(), classes=4))


def test_a_net_of_one_score_has_two_classes():
    one = net(names=("no", "yes"), classes=1)
    one.outcomes = 2
    assert fit(data((0, 1, 1)), one).labels.tolist() == [0, 1, 1]


def test_missing_labels_are_said():
    bare = Dataset(np.zeros((2, 4, 4, 1), np.uint8), None)
    assert "no labels" in fit(bare, net()).remarks[-1]


def test_shapes():
    flat = fit(data(), net((1, 1, 16)))
    assert flat.images.shape == (3, 1, 1, 16)
    assert "4 x 4 x 1 are taken as 1 x 1 x 16" in flat.remarks[0]
    square = dataset_of(np.zeros((2, 16), np.uint8), [0, 1])
    assert fit(square, net()).images.shape == (2, 4, 4, 1)
    with pytest.raises(ConfigError, match="images are 4 x 4 x 1, model 'n' takes 8 x 8 x 3"):
        fit(data(), net((8, 8, 3)))
    planes = dataset_of(np.zeros((2, 3, 8, 8), np.uint8), [0, 1])
    with pytest.raises(ConfigError, match="transpose them, channels come last"):
        fit(planes, net((8, 8, 3)))


def test_int8_is_taken_as_it_is():
    values = np.array([[[[-128]], [[5]]]], np.int8)
    rule = net()
    assert to_input(rule, values) is values
    assert to_input(rule, values.view(np.uint8)).ravel().tolist() == [0, 5 - 128]


def test_images_that_are_in_both_parts_are_counted():
    values = np.arange(96, dtype=np.int8).reshape(6, 4, 4, 1)
    assert shared(values[:4], values[3:]) == 1
    assert shared(values[:3], values[3:]) == 0
    assert shared(values, np.repeat(values[:1], 3, axis=0)) == 3


def test_a_program_hands_over_arrays_pairs_and_data_sets():
    x = np.zeros((3, 4, 4), np.uint8)
    assert images_for(x, net()).labels is None
    assert images_for((x, [0, 2, 1]), net()).labels.tolist() == [0, 2, 1]
    assert len(images_for(dataset_of(x, [0, 2, 1]), net(), 2)) == 2
    with pytest.raises(ConfigError, match="images are '<U4'"):
        images_for("path", net())


def test_the_hash_is_of_images_and_labels():
    one = data((0, 1, 2))
    assert one.sha256 == data((0, 1, 2)).sha256 != data((0, 1, 1)).sha256
    # The hash of earlier campaigns: pixels, then a byte for each label.
    import hashlib

    assert one.sha256 == hashlib.sha256(bytes(48) + b"\0\1\2").hexdigest()
