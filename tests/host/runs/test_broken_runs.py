"""Runs that break off in every way there is, by the real command: nothing is lost."""

import contextlib
import json
import os
import pty
import random
import resource
import threading
import time
import tty
from pathlib import Path

import pytest
from mtjkit_host.boards.unix_port import start_micropython, stop_process
from support import commands

ROOT = Path(__file__).parents[3]
QUICK = ("run-unix", "--images", "60", "--ber", "0.05", "--weight-ber", "0.001")
RUN = (*QUICK, "--kernel", "viper")  # slow enough to be caught in its middle
FILE = Path("build/runs/binary-small-1.jsonl")

pytestmark = pytest.mark.usefixtures("micropython")


def start(folder, *words, limit=None):
    """The command; `limit` is the most bytes that it may write to a file."""

    def prepare():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return commands.start(*words, cwd=folder, preexec_fn=prepare)


def refused(process, *parts):
    return commands.refused(commands.ended(process), *parts)


def finished(process):
    return commands.finished(commands.ended(process))


def result(folder, *words):
    finished(start(folder, *words, "--json", "out.json"))
    found = json.loads((folder / "out.json").read_text())
    for name in commands.OF_ITS_BACKEND:
        del found[name]
    return found


def results(path):
    """How many results a run file has."""
    return max(0, path.read_bytes().count(b"\n") - 2) if path.exists() else 0


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What the run gives, from the twin."""
    return result(tmp_path_factory.mktemp("twin"), "twin", *RUN[1:])


@pytest.mark.slow
def test_a_host_that_is_killed_again_and_again(tmp_path, unbroken):
    rng = random.Random(1)
    path = tmp_path / FILE
    words = RUN
    for _ in range(4):
        there = results(path)
        until = time.monotonic() + 60
        with start(tmp_path, *words) as host:
            while results(path) <= there + rng.choice((0, 0, 1, 4)) and host.poll() is None:
                assert time.monotonic() < until
                time.sleep(0.002)
            time.sleep(0.02 * rng.random())
            host.kill()
        words = ("run-unix", "--resume", FILE)
    assert 0 < results(path) < 60
    assert result(tmp_path, *words) == unbroken
    assert results(path) == 60


def test_a_disk_that_gets_full(tmp_path, unbroken):
    refused(start(tmp_path, *QUICK, limit=4000), "File too large", f"go on with --resume {FILE}")
    text = (tmp_path / FILE).read_bytes()
    assert 3000 < len(text) <= 4000
    assert text.endswith(b"\n")  # nothing of the line that did not fit
    there = results(tmp_path / FILE)
    out = finished(start(tmp_path, "run-unix", "--resume", FILE))
    assert f"60 ({there} were there)" in out
    assert result(tmp_path, "run-unix", "--resume", FILE) == unbroken


@pytest.mark.slow
def test_two_hosts_on_one_run_file(tmp_path, unbroken):
    first = start(tmp_path, *RUN, "--json", "out.json")
    while not results(tmp_path / FILE):
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, 19)  # SIGSTOP: it keeps the file for as long as the other looks
    try:
        refused(start(tmp_path, "run-unix", "--resume", FILE), str(FILE), "another process")
    finally:
        os.kill(first.pid, 18)
    finished(first)
    assert result(tmp_path, "run-unix", "--resume", FILE) == unbroken


def test_more_boards_than_images(tmp_path, unbroken):
    few = (*QUICK[:1], "--images", "3", *QUICK[3:])
    assert result(tmp_path, *few, "--boards", "9") == result(tmp_path, "twin", *few[1:])


@contextlib.contextmanager
def board():
    """A board's port, and its process."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    process = start_micropython(master)
    os.close(master)
    try:
        yield os.ttyname(slave), process  # the line ends with the process, which has its other end
    finally:
        stop_process(process, 0)
        os.close(slave)


@pytest.mark.slow
def test_a_board_of_several_that_dies_is_left_out(tmp_path, unbroken):
    with board() as (stays, _), board() as (dies, process):
        words = ("run", "--port", stays, "--port", dies, *RUN[1:], "--json", "out.json")
        run = start(tmp_path, *words)
        while results(tmp_path / FILE) < 10:
            assert run.poll() is None
            time.sleep(0.002)
        process.kill()
        finished(run)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["backend"] == "serial"
    assert {key: found[key] for key in unbroken} == unbroken


def test_a_run_that_never_began_leaves_no_file(tmp_path):
    refused(start(tmp_path, "run", "--port", "/dev/ttyNONE 9"), "/dev/ttyNONE 9")
    assert not list((tmp_path / "build" / "runs").iterdir())


def test_one_port_given_twice(tmp_path):
    port = tmp_path / "my port"
    port.symlink_to("/dev/ttyNONE")
    words = ("run", "--port", port, "--port", "/dev/ttyNONE")
    refused(start(tmp_path, *words), "is given twice", str(port))


@pytest.mark.slow
def test_a_port_that_takes_bytes_and_never_answers(tmp_path):
    master, slave = pty.openpty()
    tty.setraw(slave)
    reader = threading.Thread(target=swallow, args=(master,))
    reader.start()
    try:
        path = os.ttyname(slave)
        refused(start(tmp_path, "run", "--port", path), f"{path}: no mtjkit answers there")
    finally:
        os.write(slave, b"end")
        reader.join()
        os.close(master)
        os.close(slave)


def swallow(end):
    """Read a pseudo-terminal, whose far end turns nothing back."""
    while not os.read(end, 4096).endswith(b"end"):
        pass


@pytest.mark.slow
def test_a_port_that_takes_nothing(tmp_path):
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(slave, False)
    try:
        while os.write(slave, b"x"):
            pass
    except BlockingIOError:
        os.set_blocking(slave, True)
    path = os.ttyname(slave)
    refused(start(tmp_path, "run", "--port", path), f"{path}: the device has stopped reading")
    os.close(master)
    os.close(slave)
