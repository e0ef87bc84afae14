"""The CIFAR-10 reader, on made-up files in the official layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_host.datasets import cifar10


def made_up(count: int, seed: int) -> tuple[cifar10.Images, cifar10.Labels]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return images, rng.integers(0, 10, count, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(1, 6):
        (tmp_path / f"data_batch_{i}.bin").write_bytes(cifar10.encode(*made_up(3, i)))
    (tmp_path / "test_batch.bin").write_bytes(cifar10.encode(*made_up(4, 0)))
    return tmp_path


def test_record_layout() -> None:
    record = bytearray(cifar10.RECORD_BYTES)
    record[0] = 7
    record[1 + 0 * 1024 + 32 * 5 + 9] = 11  # red, row 5, column 9
    record[1 + 1 * 1024 + 32 * 5 + 9] = 12
    record[1 + 2 * 1024 + 32 * 5 + 9] = 13
    images, labels = cifar10.decode(bytes(record))
    assert images.shape == (1, 32, 32, 3)
    assert images.dtype == labels.dtype == np.uint8
    assert images[0, 5, 9].tolist() == [11, 12, 13]
    assert images.sum() == 36
    assert cifar10.CLASSES[labels[0]] == "horse"


def test_loads_folder_in_file_order(folder: Path) -> None:
    images, labels = cifar10.load_train(folder)
    assert images.shape == (15, 32, 32, 3)
    np.testing.assert_array_equal(images[12:], made_up(3, 5)[0])
    np.testing.assert_array_equal(labels[12:], made_up(3, 5)[1])
    np.testing.assert_array_equal(cifar10.load_test(folder)[0], made_up(4, 0)[0])


def test_loads_parent_folder_and_single_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "parent").mkdir()
    (tmp_path / "parent" / "cifar-10-batches-bin").symlink_to(folder)
    assert len(cifar10.load_test(tmp_path / "parent")[1]) == 4
    assert len(cifar10.load_test(folder / "data_batch_2.bin")[1]) == 3


def test_missing_data_is_a_config_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        cifar10.load_test(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no test_batch.bin"):
        cifar10.load_test(tmp_path / "empty")
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(ConfigError, match=r"data_batch_4.bin: missing"):
        cifar10.load_train(folder)


@pytest.mark.parametrize("size", [0, 1, 3072, 3074])
def test_torn_file_is_a_format_error(size: int) -> None:
    with pytest.raises(FormatError, match="whole number of 3073-byte"):
        cifar10.decode(bytes(size))


def test_label_over_9_is_a_format_error() -> None:
    data = bytes(3073) + bytes([10]) + bytes(3072)
    with pytest.raises(FormatError, match="record 1 has label 10"):
        cifar10.decode(data)


def test_encode_rejects_other_shapes() -> None:
    images, labels = made_up(2, 0)
    with pytest.raises(ConfigError, match="must be uint8"):
        cifar10.encode(images.transpose(0, 3, 1, 2), labels)
    with pytest.raises(ConfigError, match="must be 0 to 9"):
        cifar10.encode(images, labels + 10)


def test_an_absurdly_large_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "test_batch.bin"
    with file.open("wb") as stream:
        stream.truncate(cifar10.RECORD_BYTES << 24)  # 51 GB, none of them on the disk
    with pytest.raises(FormatError, match="far larger than CIFAR-10"):
        cifar10.load_test(file)


def test_official_files(long_data) -> None:
    images, labels = cifar10.load_test(long_data("cifar-10-batches-bin"))
    assert images.shape == (10000, 32, 32, 3)
    assert np.bincount(labels).tolist() == [1000] * 10
    assert [cifar10.CLASSES[label] for label in labels[:4]] == ["cat", "ship", "ship", "airplane"]
    images, labels = cifar10.load_train(long_data("cifar-10-batches-bin"))
    assert images.shape == (50000, 32, 32, 3)
    assert np.bincount(labels).tolist() == [5000] * 10
    # The data set's well-known means: red, green, blue.
    np.testing.assert_allclose(images.mean((0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=1e-4)
