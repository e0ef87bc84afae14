"""The core's tests once more, on MicroPython's Unix port."""

import pytest
from support.micropython import run_micropython
from support.paths import ROOT, TESTS

pytestmark = pytest.mark.usefixtures("micropython")

MODULES = sorted(path.stem for path in (TESTS / "core").glob("test_*.py"))
MODULES.remove("test_on_micropython")


@pytest.mark.parametrize("name", MODULES)
def test_core_on_micropython(name):
    out = run_micropython("tests/vectors/run.py", ROOT, f"tests/core/{name}.py", heap="16M")
    assert f"{name}.py test_" in out
