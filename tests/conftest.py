"""For all tests: the vectors' modules, which also run on MicroPython; and a Ctrl-C that works."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "vectors"))

# A shell that runs us in the background has it ignored, and what the tests start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
