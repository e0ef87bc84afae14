"""The same inputs through MicroPython's Unix port, in a small heap."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import both
from mtjkit_host.boards.unix_port import LIB, find_micropython

HEAP = "512K"
"""Of MicroPython: code, corpus input and all that reading it takes."""

NUMBERS = {name: number for number, (name, _) in enumerate(both.TARGETS)}


def outcomes(corpus: Sequence[tuple[str, bytes]]) -> list[str]:
    """What MicroPython makes of each (target, input).

    Raises:
        AssertionError: it ended in anything but one of the project's errors.
        ConfigError: there is no MicroPython.
    """
    with tempfile.NamedTemporaryFile(suffix=".corpus") as file:
        file.write(struct.pack("<I", max(len(data) for _, data in corpus)))
        for name, data in corpus:
            file.write(struct.pack("<BI", NUMBERS[name], len(data)) + data)
        file.flush()
        done = subprocess.run(
            [find_micropython(), "-X", f"heapsize={HEAP}", both.__file__, file.name],
            env={**os.environ, "MICROPYPATH": f".frozen:{LIB}:{Path(both.__file__).parent}"},
            capture_output=True,
            text=True,
        )
    said = done.stdout.splitlines()
    # MicroPython prints the traceback after the outcomes.
    assert done.returncode == 0, f"MicroPython ended with {done.returncode}: {said[-9:]}"
    return said


def compare(corpus: Sequence[tuple[str, bytes]]) -> int:
    """Check that both runtimes say the same of every input; returns how many were taken.

    Raises:
        AssertionError: they differ; the message has the input.
    """
    taken = 0
    runs = dict(both.TARGETS)
    for (name, data), there in zip(corpus, outcomes(corpus), strict=True):
        here = both.outcome(runs[name], data)
        assert here == there, f"{name} {data.hex()}: CPython: {here}; MicroPython: {there}"
        taken += "Error " not in here
    return taken
