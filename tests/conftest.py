"""Tests read the vectors through the two small modules that also run on MicroPython."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "vectors"))
