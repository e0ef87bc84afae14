"""Our commands and mpremote's take turns on one board, with and without a pause between them."""

import itertools
import json
import subprocess
import sys
import time

import networks
import numpy as np
import pytest
import serial
from mtjkit_core.errors import ConfigError
from mtjkit_core.model import Model
from mtjkit_host.boards.flash import flash
from mtjkit_host.checks.bench_nets import paper_binary
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from support.commands import finished, invoke

RAW = bytes(networks.build("pooled"))
IMAGES = np.zeros((3, *Model(RAW).input_shape), np.int8)


@pytest.fixture(scope="module")
def port(emulator):
    pytest.importorskip("mpremote")
    with emulator("mps2-an385") as address:
        flash(address)
        yield address


def mpremote(port, *words):
    """What mpremote prints; one try, as a person makes."""
    command = [sys.executable, "-m", "mpremote", "connect", port, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(port):
    """A run that ends well."""
    with Link.open(port) as link:
        session = Session(link)
        session.program(RAW)
        session.run(IMAGES)


def refused(port):
    """A run whose model does not fit."""
    with Link.open(port) as link:
        session = Session(link)
        with pytest.raises(ConfigError, match="bytes"):
            session.program(bytes(paper_binary().data))


def broken_off(port):
    """A run that is left in its middle, as by Ctrl-C."""
    with Link.open(port) as link:
        session = Session(link)
        session.program(RAW)
        next(iter(session.classify(IMAGES)))


def prompt(port):
    """A look at the board with mpremote."""
    assert "main.py" in mpremote(port, "fs", "ls")


# MicroPython loses a Ctrl-C that comes within a soft reset, which takes long on a busy machine: not
# for a machine that runs other tests.
@pytest.mark.slow
@pytest.mark.parametrize("wait_s", [0, 0.4, 1.3, 5])
def test_mpremote_finds_the_board_after_each_command(port, wait_s):
    for command in (flash, run, refused, broken_off):
        command(port)
        time.sleep(wait_s)
        assert mpremote(port, "exec", "print(6 * 7)").strip() == "42"


@pytest.mark.slow
def test_fifty_runs_with_mpremote_between_them(port, tmp_path):
    """The real commands, without pauses; every run has the twin's scores."""
    words = ("--images", 2, "--errors", "keep", "--json", "out.json")
    hashes = set()
    for command in (("twin",), *[("run", "--port", port)] * 50):
        finished(invoke(*command, *words, cwd=tmp_path))
        hashes.add(json.loads((tmp_path / "out.json").read_text())["scores_sha256"])
        if command != ("twin",):
            assert mpremote(port, "exec", "print(6 * 7)").strip() == "42"
    assert len(hashes) == 1


@pytest.mark.slow
def test_all_orders_of_two_commands(port):
    for first, second in itertools.product((flash, run, refused, prompt), repeat=2):
        first(port)
        second(port)
    prompt(port)


def test_a_frame_that_is_cut_short_is_ended(port):
    """The line closes while a frame is half sent, as after Ctrl-C on the host."""
    line = serial.serial_for_url(port, timeout=0.2, write_timeout=5.0)
    write = line.write

    def cut(data):
        line.write = write
        write(data[: len(data) // 2])
        raise KeyboardInterrupt

    with Link(line, port) as link:
        session = Session(link)
        session.program(RAW)
        line.write = cut
        with pytest.raises(KeyboardInterrupt):
            session.run(IMAGES)
    prompt(port)
