"""Damaged and hostile .h5 files, which HDF5's library does not survive."""

import json
import time

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_export.importers.hdf5 import contents, read_model
from mtjkit_export.importers.keras_file import read_keras

h5py = pytest.importorskip("h5py")


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential"})
        file["model_weights/d/d/kernel:0"] = np.arange(6, dtype=np.float32).reshape(2, 3)
        file["model_weights/file"] = np.ones(2)
        file["model_weights/names"] = [b"d"]
    return path


def test_a_child_reads_what_this_process_reads(good):
    config, arrays = read_model(good)
    here, same = contents(str(good))
    assert config == here == '{"class_name": "Sequential"}'
    assert list(arrays) == list(same) == ["d/d/kernel:0", "file"]
    for name, array in arrays.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, same[name])


@pytest.mark.program
def test_a_file_that_the_library_never_ends_reading(good):
    """The free part of the description's heap has no bytes: the library stays where it is."""
    data = bytearray(good.read_bytes())
    at = data.index(b"GCOL") + 16  # behind the heap's header; an object: index, count, size, bytes
    while data[at : at + 2] != b"\0\0":
        at += 16 + (int.from_bytes(data[at + 8 : at + 16], "little") + 7) // 8 * 8
    data[at + 8 : at + 16] = bytes(8)
    good.write_bytes(data)
    began = time.monotonic()
    with pytest.raises(FormatError, match=r"net.h5: damaged: .* does not end"):
        read_model(good, limit_s=8)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("size", [0, 100, 1000, 3000])
def test_a_file_that_is_cut(good, size):
    good.write_bytes(good.read_bytes()[:size])
    with pytest.raises((ConfigError, FormatError), match=r"net.h5"):
        read_keras(good)


def test_an_array_that_would_take_all_memory(good):
    with h5py.File(good, "a") as file:
        file.create_dataset("model_weights/huge", shape=(1 << 40,), dtype="f4", chunks=(1024,))
    with pytest.raises(ConfigError, match="at most"):
        read_model(good)


def test_an_array_in_another_file(good):
    with h5py.File(good, "a") as file:
        where = [("/etc/passwd", 0, 40)]
        file.create_dataset("model_weights/other", shape=(10,), dtype="f4", external=where)
    with pytest.raises(ConfigError, match="other lies in another file"):
        read_model(good)


def test_weights_alone_are_refused(tmp_path):
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["model_weights/w"] = np.ones(2)
    with pytest.raises(ConfigError, match=r"net.h5 holds weights alone: save the whole model"):
        read_keras(tmp_path / "net.h5")
