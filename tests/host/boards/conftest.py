"""Emulated boards, skipped with a reason where they are not to be had, and commands as typed."""

import subprocess
import sys
from pathlib import Path

import pytest
from mtjkit_core.errors import ConfigError
from mtjkit_host.boards import emulators
from mtjkit_host.boards.firmware import HEAP_BYTES, find_firmware

INVOKE = [sys.executable, "-m", "invoke", "--search-root", str(Path(__file__).parents[3])]


@pytest.fixture(scope="session")
def emulator():
    """Makes the emulator of a board, by name and heap; a context that yields its port."""

    def make(name, heap_bytes=HEAP_BYTES):
        try:
            firmware = find_firmware(name, heap_bytes)
            return emulators.pico(firmware) if name == "pico" else emulators.qemu(name, firmware)
        except ConfigError as error:
            pytest.skip(str(error))

    return make


@pytest.fixture
def invoke(tmp_path):
    """Runs a command in the test's folder; returns what it prints, or says when it is refused."""

    def run(*words, status=0):
        command = [*INVOKE, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    return run
