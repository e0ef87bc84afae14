"""The engine on MicroPython's Unix port: every kernel's vectors, and no allocation."""

import platform

import pytest
from support.micropython import native_folder, run_micropython
from support.paths import LIB, ROOT, VECTORS

pytestmark = pytest.mark.usefixtures("micropython")


def test_kernels_match_the_vectors():
    native = native_folder("x64") if platform.machine() == "x86_64" else None
    path = [ROOT / "tests/device", *filter(None, [native])]
    kernels = run_micropython("-c", "import test_engine as t; print(*t.kernels())", path=path)
    assert kernels.split() == ["native"] * bool(native) + ["viper", "python"]
    out = run_micropython("tests/vectors/run.py", ROOT, "tests/device/test_engine.py", path=path)
    for what in ("runs", "programmed_weights"):
        assert f"test_{what}_match_the_vectors" in out


def test_images_allocate_nothing():
    out = run_micropython("tests/device/no_allocation.py", LIB, VECTORS)
    assert "viper" in out.split()
