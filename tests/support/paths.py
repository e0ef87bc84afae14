"""Where things stand in the checkout, and the environment for a test's own Python processes."""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "firmware" / "micropython" / "lib"
TESTS = ROOT / "tests"
VECTORS = TESTS / "vectors"
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
"""mtjkit's version, where it is declared."""


def python_env(*folders):
    """This process's environment, for a child that shall import what this process can.

    Args:
        folders: more folders for the child to import from.
    """
    path = [*map(str, folders), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
