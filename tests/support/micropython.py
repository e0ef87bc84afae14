"""MicroPython's Unix port, for tests: found once, started the same way everywhere."""

import os
import subprocess

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.native_module import build_native
from mtjkit_host.boards.unix_port import find_micropython

from support.paths import LIB, ROOT, VECTORS


def micropython_or_skip():
    """Path of MicroPython's Unix port ($MICROPYTHON names another); without one, skip the test."""
    try:
        return find_micropython()
    except ConfigError as error:
        pytest.skip(str(error))


def native_folder(architecture):
    """Folder of the native module for an architecture; None where it cannot be built."""
    try:
        return build_native(architecture).parent
    except ConfigError:
        return None


def run_micropython(*arguments, path=(), heap="32M", timeout_s=1200):
    """Run MicroPython in the checkout and return what it prints; fail if it ends in an error.

    The core, the device's modules and the vectors can be imported.

    Args:
        arguments: of MicroPython, a script for example.
        path: more folders that it imports from.
        heap: its heap, as -X heapsize takes it.
        timeout_s: seconds until the test fails.
    """
    folders = ":".join(map(str, (".frozen", LIB, VECTORS, *path)))
    done = subprocess.run(
        [micropython_or_skip(), "-X", f"heapsize={heap}", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "MICROPYPATH": folders},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
