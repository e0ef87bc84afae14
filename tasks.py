"""The commands of `mtjkit_host.cli` in a checkout: `invoke --list`, `invoke --help TASK`."""

from __future__ import annotations

import os
import sys

# The packages of this checkout, installed or not, before those of another one.
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [os.path.join(HERE, at) for at in ("host", "export", "firmware/micropython/lib")]

from mtjkit_host import cli  # noqa: E402

if __name__ == "__main__":
    cli.main()
else:
    from mtjkit_host.cli import streams

    streams.prepare()
    namespace = cli.namespace()
