"""idx files, compressed or not, alone or in a folder; torn and lying ones are refused."""

import gzip
import struct

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_host.datasets.load import has_train_part, load_dataset


def idx(values, kind=8):
    return (
        struct.pack(f">HBB{values.ndim}I", 0, kind, values.ndim, *values.shape) + values.tobytes()
    )


X = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
Y = np.array([3, 1, 4, 1], np.uint8)


def write(folder, part, x=X, y=Y, packed=True):
    folder.mkdir(exist_ok=True)
    for name, values in ((f"{part}-images-idx3-ubyte", x), (f"{part}-labels-idx1-ubyte", y)):
        data = idx(values)
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_pairs_are_found_in_a_folder_and_by_their_file(tmp_path, packed):
    folder = write(tmp_path, "t10k", packed=packed)
    file = folder / ("t10k-images-idx3-ubyte" + ".gz" * packed)
    for path in (folder, file):
        found = load_dataset(path)
        assert (found.images == X[..., None]).all()
        assert found.labels.tolist() == Y.tolist()
        assert found.source == f"idx file {file}"


def test_parts_for_training_and_test(tmp_path):
    assert not has_train_part(write(tmp_path, "t10k"))
    write(tmp_path, "train", X[:2], Y[:2])
    assert has_train_part(tmp_path)
    assert len(load_dataset(tmp_path)) == 4
    assert len(load_dataset(tmp_path, split="train")) == 2
    write(tmp_path, "emnist-test")
    with pytest.raises(ConfigError, match="name one of these files"):
        load_dataset(tmp_path)


def test_packed_and_plain_copies_of_a_file_are_one(tmp_path):
    write(tmp_path, "t10k", packed=True)
    assert len(load_dataset(write(tmp_path, "t10k", packed=False))) == 4


def test_missing_labels_and_labels_alone(tmp_path):
    write(tmp_path, "t10k", packed=False)
    with pytest.raises(ConfigError, match="these are labels"):
        load_dataset(tmp_path / "t10k-labels-idx1-ubyte")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert load_dataset(tmp_path).labels is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (idx(X)[:-1], "47 values, expected 48"),
        (idx(X) + b"1", "longer than its 48 values"),
        (struct.pack(">HBB3I", 0, 8, 3, 1 << 31, 1 << 31, 1 << 31), "has others"),
        (struct.pack(">HBB3I", 0, 8, 3, 1 << 31, 1 << 31, 0), "has others"),
        (idx(X, 0x0D), "type 0x0d, expected bytes"),
        (struct.pack(">HBB", 0, 8, 3) + b"\0\0", "truncated"),
        (struct.pack(">HBB", 0, 8, 7), "not an idx file"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_files_are_refused(tmp_path, data, why, packed):
    file = tmp_path / "t10k-images-idx3-ubyte"
    file.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(FormatError, match=why):
        load_dataset(file)


def test_a_torn_gzip_file_is_refused(tmp_path):
    file = tmp_path / "t10k-images-idx3-ubyte.gz"
    noise = np.random.default_rng(0).integers(0, 256, (40, 10, 10), np.uint8)
    whole = gzip.compress(idx(noise))
    for torn in (whole[: len(whole) // 2], whole[:-6] + b"123456"):
        file.write_bytes(torn)
        with pytest.raises(FormatError, match="damaged gzip"):
            load_dataset(file)


def test_mnists_test_images(long_data):
    found = load_dataset(long_data("mnist"))
    assert found.images.shape == (10000, 28, 28, 1)
    assert found.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(found.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
