"""The commands of `mtjkit_host.cli` in a checkout: `invoke --list`, `invoke --help TASK`."""

from __future__ import annotations

import sys
from pathlib import Path

# The packages of this checkout, installed or not, before those of another one.
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / folder) for folder in ("host", "export", "firmware/micropython/lib")]

from mtjkit_host.cli import main, namespace, streams  # noqa: E402

streams.prepare()
namespace = namespace()

if __name__ == "__main__":
    main()
