"""The engine on MicroPython's Unix port: the vectors, and no allocation."""

from support.micropython import run_micropython
from support.paths import LIB, ROOT, VECTORS


def test_kernels_match_the_vectors():
    out = run_micropython("tests/vectors/run.py", ROOT, "tests/device/test_engine.py")
    assert "test_runs_match_the_vectors" in out


def test_images_allocate_nothing():
    out = run_micropython("tests/device/no_allocation.py", LIB, VECTORS)
    assert "viper" in out.split()
