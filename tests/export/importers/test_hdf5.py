"""Damaged and hostile .h5 files, which HDF5's library does not survive."""

import io
import json
import time
import zipfile

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from mtjkit_export.formats.mtjb_writer import encode
from mtjkit_export.importers.hdf5 import contents, read_model
from mtjkit_export.importers.inputs import parse_scale
from mtjkit_export.importers.keras_file import keras_graph, read_keras
from mtjkit_export.importers.lower import Options, lower
from mtjkit_host.importing.check import check, random_images
from mtjkit_host.simulate.simulator import open_simulator

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


RNG = np.random.default_rng(6)


def keras_zip(path, layers, top="layers", **more):
    """A .keras file of layers (class, settings, arrays by the place that Keras gives them)."""
    rows = [{"class_name": kind, "config": config} for kind, config, _ in layers]
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for _, _, (place, arrays) in layers:
            for number, array in enumerate(arrays):
                file[f"{top}/{place}/vars/{number}"] = array
        file["optimizer/vars/0"] = np.ones(3)
    with zipfile.ZipFile(path, "w") as archive:
        config = {"class_name": "Sequential", "config": {"layers": rows}}
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", more.get("weights", weights.getvalue()))


@pytest.mark.parametrize("top", ["layers", "_layer_checkpoint_dependencies"])
def test_a_keras_file_numbers_layers_by_class(top, tmp_path):
    """As Keras 3.15 writes it: no layer's name, and arrays without names, in a fixed order."""
    sign = {"class_name": "function", "config": "ste_sign", "registered_name": "mine>ste_sign"}
    conv = {"strides": [1, 1], "padding": "valid", "activation": "linear"}
    kernel, small, beta = (RNG.normal(size=s) for s in ((3, 3, 2, 6), (2, 2, 6, 1), 6))
    mean, var, last, bias = (
        RNG.normal(0, 9, 6), RNG.uniform(1, 9, 6), RNG.normal(size=(150, 3)), RNG.normal(size=3),
    )  # fmt: skip
    quantized = {"kernel_quantizer": "ste_sign", "depthwise_quantizer": "ste_sign"}
    layers = [
        ("InputLayer", {"name": "in", "batch_shape": [None, 8, 8, 2]}, ("", [])),
        ("Rescaling", {"name": "r", "scale": 2.0, "offset": -255.0}, ("", [])),
        ("mine>QuantConv2D", {"name": "a", **conv, **quantized}, ("quant_conv2d", [kernel])),
        ("BatchNormalization", {"name": "b", "scale": False, "epsilon": 0.1},
         ("batch_normalization", [beta, mean, var])),
        ("Activation", {"name": "s", "activation": sign}, ("", [])),
        ("ZeroPadding2D", {"name": "p", "padding": [[0, 0], [0, 0]]}, ("", [])),
        ("QuantDepthwiseConv2D", {"name": "c", **conv, **quantized, "activation": sign},
         ("quant_depthwise_conv2d", [small])),
        ("Permute", {"name": "t", "dims": [2, 3, 1]}, ("", [])),
        ("Reshape", {"name": "f", "target_shape": [-1]}, ("", [])),
        ("QuantDense", {"name": "d", **quantized, "use_bias": True}, ("quant_dense", [last, bias])),
    ]  # fmt: skip
    keras_zip(tmp_path / "net.keras", layers, top)
    graph = keras_graph(*contents(str(tmp_path / "net.keras")), "net")
    lowered = lower(graph, Options(scale=parse_scale("bytes")))
    images = random_images(lowered, 8)
    check(lowered, images, "image")

    def bits(x):
        return np.where(x >= 0, 1.0, -1.0)

    def windows(x, side):
        return np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))

    x = images * 2.0 - 255
    x = np.einsum("nyxcij,ijco->nyxo", windows(x, 3), bits(kernel))
    x = bits((x - mean) / np.sqrt(var + 0.1) + beta)
    x = bits(np.einsum("nyxcij,ijc->nyxc", windows(x, 2), bits(small)[..., 0]))
    expected = x.transpose(0, 2, 3, 1).reshape(8, -1) @ bits(last) + bias
    scores, _ = open_simulator(Model(encode(lowered.net))).run(images)
    assert np.allclose(lowered.values(scores), expected, atol=1e-4)


def test_keras_files_that_are_none(tmp_path):
    path = tmp_path / "net.keras"
    keras_zip(path, [("InputLayer", {"batch_shape": [None, 4]}, ("", []))], weights=b"no HDF5")
    with pytest.raises(FormatError, match=r"net.keras: damaged"):
        read_keras(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
    with pytest.raises(ConfigError, match=r"holds no config.json"):
        contents(str(path))
