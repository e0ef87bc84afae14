"""The fuzzing code is found by its file names, as everything under tests is."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def micropython():
    """Path of MicroPython's Unix port; without one the test is skipped."""
    from mtjkit_core.errors import ConfigError
    from mtjkit_host.boards.unix_port import find_micropython

    try:
        return find_micropython()
    except ConfigError as error:
        pytest.skip(str(error))
