"""The fuzzing code is found by its file names, as everything under tests is."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
