"""Host tests build the small networks of the device's tests, and the examples' networks."""

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(_ROOT / "tests" / "vectors"), str(_ROOT / "examples")]
