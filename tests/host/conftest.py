"""Host tests build the small networks of the device's tests, and the examples' networks."""

import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "tests" / "vectors"), str(_ROOT / "examples")]


@pytest.fixture(scope="session")
def micropython():
    """Path of MicroPython's Unix port; without one the test is skipped."""
    from mtjkit_core.errors import ConfigError
    from mtjkit_host.boards.unix_port import find_micropython

    try:
        return find_micropython()
    except ConfigError as error:
        pytest.skip(str(error))
