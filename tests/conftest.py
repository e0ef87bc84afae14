"""For all tests: MicroPython, emulated boards, long data, commands; and a Ctrl-C that works."""

import os
import signal

import pytest

# BLAS and torch read it on loading. Each worker has one core, and threads spin while they wait.
os.environ["OMP_NUM_THREADS"] = "1"

from mtjkit_core.errors import ConfigError
from mtjkit_host.boards.catalog import board_named
from mtjkit_host.boards.emulate import emulate
from mtjkit_host.boards.firmware import find_firmware
from mtjkit_host.link import link as line
from support import commands
from support.long_data import long_file
from support.micropython import micropython_or_skip

# A shell that runs us in the background has it ignored, and what the tests start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MARKED = {
    "emulator": "emulated",
    "micropython": "emulated",
    "invoke": "program",
    "long_data": "data",
}
"""Fixture -> the marker of every test that uses it."""


def pytest_collection_modifyitems(items):
    for item in items:
        for fixture, marker in MARKED.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.fixture(scope="session")
def micropython():
    """Path of MicroPython's Unix port; without one the test is skipped."""
    return micropython_or_skip()


@pytest.fixture(scope="session")
def emulator():
    """Makes the emulator of a board, by name and heap; a context that yields its port."""

    def make(name, heap_bytes=0):
        try:
            return emulate(board_named(name), find_firmware(name, heap_bytes))
        except ConfigError as error:
            pytest.skip(str(error))

    return make


@pytest.fixture(scope="session")
def long_data():
    """Path of a file of the long data, by name; without it the test is skipped."""
    return long_file


@pytest.fixture(scope="module")
def no_goodbye():
    """A link that closes hardly waits for its device, which a test plays and which is silent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line, "_SETTLE_S", 0.05)
        yield


@pytest.fixture
def invoke(tmp_path):
    """Runs a command in the test's folder; returns what it prints, or says when it is refused."""

    def run(*words, status=0):
        done = commands.invoke(*words, cwd=tmp_path, timeout_s=900)
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    return run
