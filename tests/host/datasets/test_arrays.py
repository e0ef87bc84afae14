"""numpy's files: read once, in any of their layouts; hostile ones are refused in one line."""

import contextlib
import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_host.datasets.load import has_train_part, load_dataset

X = np.arange(24, dtype=np.uint8).reshape(4, 3, 2, 1)
Y = np.array([2, 0, 1, 0])


def test_x_y_and_classes(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", x=X, y=Y, classes=np.array(["a", "b", "c"]))
        found = load_dataset(tmp_path / "a.npz")
        assert (found.images == X).all()
        assert found.labels.tolist() == [2, 0, 1, 0]
        assert found.classes == ("a", "b", "c")
        assert found.source == f"npz file {tmp_path / 'a.npz'}"
    np.savez(tmp_path / "b.npz", images=X.view(np.int8), labels=Y[:, None])
    found = load_dataset(tmp_path / "b.npz")
    assert (found.images.dtype, found.labels.tolist()) == (np.int8, [2, 0, 1, 0])


def test_parts_for_training_and_test(tmp_path):
    for names in (
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ):
        file = tmp_path / f"{names[0]}.npz"
        np.savez(file, **dict(zip(names, (X, Y, X[:1], Y[:1]), strict=True)))
        assert len(load_dataset(file)) == 1
        assert len(load_dataset(file, split="train")) == 4
        assert has_train_part(file)
    np.savez(tmp_path / "one.npz", x=X, y=Y)
    assert not has_train_part(tmp_path / "one.npz")


def test_npy_with_its_labels_beside_it(tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert load_dataset(tmp_path / "x.npy").labels is None
    np.save(tmp_path / "y.npy", Y)
    for path in (tmp_path, tmp_path / "x.npy"):
        found = load_dataset(path)
        assert (found.images == X).all()
        assert found.labels.tolist() == Y.tolist()


def test_a_large_file_is_not_copied(tmp_path):
    images = np.zeros((400, 100, 100, 1), np.uint8)  # 4 MB
    np.savez(tmp_path / "a.npz", x=images, y=np.zeros(400, np.int64))
    np.save(tmp_path / "x.npy", images)
    for name, most in (("a.npz", 5.5e6), ("x.npy", 0.5e6)):
        load_dataset(tmp_path / name)
        tracemalloc.start()
        load_dataset(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < most
        tracemalloc.stop()


def header(text):
    text = text.ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, value in members.items():
            out.writestr(f"{name}.npy", value)
    return path


def npy(array):
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (npy(np.array([print], object)), "holds Python objects, which are never loaded"),
        (header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000000,)}"), "states"),
        (header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 4)}"), "states"),
        (
            header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 99999999999)}"),
            "is empty",
        ),
        (header(b"{'descr': '|O', 'fortran_order': False, 'shape': (4,)}"), "objects"),
        (header(b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4)}") + b"abc", "damaged"),
        (header(b"[" * 100), "header"),
        (header(b"__import__('os').abort()"), "header"),
        (b"not an array", "header"),
        (b"", "header"),
    ],
)
def test_hostile_arrays_are_refused(tmp_path, value, why):
    file = archive(tmp_path / "a.npz", x=value, y=npy(Y))
    with pytest.raises(FormatError, match=f"a.npz: x.*{why}"):
        load_dataset(file)
    (tmp_path / "x.npy").write_bytes(value)
    with pytest.raises(FormatError, match=r"x\.npy"):
        load_dataset(tmp_path / "x.npy")


def test_archives_without_images_or_that_are_none_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds 'a', 'b'; expected the images as x"):
        load_dataset(archive(tmp_path / "a.npz", a=npy(X), b=npy(Y)))
    with pytest.raises(ConfigError, match="holds no arrays"):
        load_dataset(archive(tmp_path / "b.npz"))
    (tmp_path / "c.npz").write_bytes(b"PK no archive")
    with pytest.raises(FormatError, match=r"c\.npz: damaged .npz file"):
        load_dataset(tmp_path / "c.npz")
    with pytest.raises(ConfigError, match=r"classes are .*int64"):
        load_dataset(archive(tmp_path / "d.npz", x=npy(X), classes=npy(Y)))
    whole = archive(tmp_path / "e.npz", x=npy(X), y=npy(Y)).read_bytes()
    for at in range(30, len(whole), 7):
        (tmp_path / "f.npz").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with contextlib.suppress(ConfigError, FormatError):
            load_dataset(tmp_path / "f.npz")
