"""The C kernels as a module of MicroPython's Unix port; its vectors: test_engine_micropython.py."""

import platform

import finn_cnv
import numpy as np
import pytest
from mtjkit_core.model import Model
from mtjkit_export import encode
from mtjkit_host.datasets.images import load_images, to_input
from support.micropython import native_folder, run_micropython
from support.paths import LIB, VECTORS

pytestmark = [
    pytest.mark.usefixtures("micropython"),
    pytest.mark.skipif(
        platform.machine() != "x86_64",
        reason="the module is built for x64 only",
    ),
]


def build(architecture):
    folder = native_folder(architecture)
    if folder is None:
        pytest.skip(f"the native module for {architecture} cannot be built here")
    return folder


def micropython(module_folder, *arguments):
    return run_micropython(*arguments, path=[module_folder])


def test_auto_takes_it():
    folder = build("x64")
    code = "from mtjkit_device import kernels; print(kernels.load_kernel('auto')[1])"
    assert micropython(folder, "-c", code) == "native\n"


def test_images_allocate_nothing_and_the_memory_is_known_beforehand():
    out = micropython(build("x64"), "tests/device/no_allocation.py", LIB, VECTORS)
    assert out.split() == ["native", "viper"]


def test_a_module_for_another_processor_is_named_and_not_taken():
    folder = build("armv7m")
    code = """
from mtjkit_core.errors import ConfigError
from mtjkit_device import kernels
print(kernels.load_kernel('auto')[1])
try:
    kernels.load_kernel('native')
except ConfigError as error:
    print(error)
"""
    taken, message = micropython(folder, "-c", code).splitlines()
    assert taken != "native"
    assert message.startswith("kernel native does not load here (incompatible .mpy")


def test_a_model_at_an_odd_address_is_refused():
    code = """
import networks
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_device.engine import Engine
data = networks.build('thin')
try:
    Engine(Model(memoryview(b'.' + data)[1:]), 'native')
except ConfigError as error:
    print(error)
"""
    assert "4-byte aligned" in micropython(build("x64"), "-c", code)


def test_finn_cnv_gives_its_authors_scores_and_allocates_nothing(long_data, tmp_path):
    archive = np.load(long_data("cnv_w1a1_cifar10.npz"))
    model = encode(finn_cnv.network(long_data("cnv_w1a1_cifar10.npz")))
    images = load_images(long_data("cifar-10-batches-bin"), Model(model), 1000)
    inputs = to_input(Model(model), images.images)
    (tmp_path / "cnv.mtjb").write_bytes(model)
    (tmp_path / "inputs").write_bytes(inputs.tobytes())
    script = "tests/device/native_images.py"
    out = micropython(build("x64"), script, LIB, tmp_path / "cnv.mtjb", tmp_path / "inputs")
    scores = np.array([line.split() for line in out.splitlines()], np.int32)
    assert (scores == archive["test_scores"][:1000]).all()
