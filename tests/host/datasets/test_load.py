"""What lies at a path is recognised; what cannot be read is named, with what can be."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from mtjkit_host.datasets import cifar10
from mtjkit_host.datasets.images import load_images
from mtjkit_host.datasets.load import has_train_part, load_dataset
from mtjkit_host.paths import CARRIED_IMAGES, CARRIED_MODEL

FINE = tuple(f"class {n}".replace(" ", "_") for n in range(100))


def records(count, seed, coarse):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (count, coarse + cifar10.RECORD_BYTES), np.uint8)
    rows[:, coarse] %= 100 if coarse else 10
    return rows


def cifar100_folder(folder):
    folder.mkdir(exist_ok=True)
    (folder / "train.bin").write_bytes(records(3, 1, 1).tobytes())
    (folder / "test.bin").write_bytes(records(2, 2, 1).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
    return folder


def test_cifar10(tmp_path):
    rows = records(2, 5, 0)
    (tmp_path / "test_batch.bin").write_bytes(rows.tobytes())
    for path in (tmp_path, tmp_path / "test_batch.bin"):
        found = load_dataset(path)
        assert (found.labels == rows[:, 0]).all()
        assert (found.images[1, 0, 1] == rows[1, [2, 1026, 2050]]).all()
        assert (found.classes, found.mixed) == (cifar10.CLASSES, True)
    assert load_dataset(CARRIED_IMAGES, count=7).labels.tolist() == [3, 8, 8, 0, 6, 6, 1]


def test_cifar100(tmp_path):
    folder = cifar100_folder(tmp_path / "cifar-100-binary")
    rows = records(2, 2, 1)
    for path in (tmp_path, folder, folder / "test.bin"):
        found = load_dataset(path)
        assert (found.labels == rows[:, 1]).all()
        assert (found.images[1, 0, 1] == rows[1, [3, 1027, 2051]]).all()
        assert found.classes == FINE
    assert len(load_dataset(tmp_path, split="train")) == 3
    assert has_train_part(tmp_path)
    (folder / "fine_label_names.txt").write_text("a b")
    with pytest.raises(FormatError, match="2 different names, expected 100"):
        load_dataset(folder / "test.bin")


def test_pickles_are_named_and_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    for name in ("batches.meta", "test_batch"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    for path in (tmp_path, tmp_path / "test_batch"):
        with pytest.raises(
            ConfigError, match=r"a pickle, .* never loaded; take the binary version"
        ):
            load_dataset(path)
    assert not (tmp_path / "sprung").exists()


def test_files_of_no_known_kind_are_named_with_what_can_be_read(tmp_path):
    (tmp_path / "notes.txt").write_text("no data")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(
            ConfigError, match="nothing that can be read; --data takes CIFAR's binary"
        ):
            load_dataset(path)


def test_the_carried_images_serve_only_models_of_cifar10(tmp_path):
    digits = SimpleNamespace(
        name="digits", input_shape=(32, 32, 3), classes=10, class_names=list("0123456789")
    )
    with pytest.raises(ConfigError, match=r"'digits' knows '0', .* name this model's own data"):
        load_images(CARRIED_IMAGES, digits)
    copy = tmp_path / "copy.bin"
    copy.write_bytes(CARRIED_IMAGES.read_bytes()[: 3 * 3073])
    with pytest.raises(ConfigError, match="of its 10 classes the model lacks 'airplane'"):
        load_images(copy, digits)
    assert len(load_images(CARRIED_IMAGES, Model(CARRIED_MODEL.read_bytes()))) == 500
