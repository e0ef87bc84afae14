"""Commands as a user types them: real processes, and what they must say."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from support.paths import ROOT

INVOKE = [sys.executable, "-m", "invoke", "--search-root", str(ROOT)]

OF_ITS_BACKEND = (
    *("backend", "kernel", "seconds", "device_us_per_image", "device_us_median"),
    "heap_in_use_bytes",
)
"""What of a result's JSON another backend, or the same one a second time, says otherwise."""


def start(*words, cwd, env=None, **options):
    """Start `invoke` with these words in a folder; returns the process.

    Args:
        words: the command and its options.
        cwd: folder in which the command runs.
        env: variables besides this process's own.
        options: more arguments of `subprocess.Popen`.
    """
    return subprocess.Popen(
        [*INVOKE, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process, timeout_s=300):
    """Wait for a process; returns it with its status and all that it said."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def invoke(*words, cwd, env=None, timeout_s=300):
    """Run a command to its end; returns its status, stdout and stderr.

    Where the environment is this process's own, the command is forked from a process that has
    imported its modules: see `support.command_server`.
    """
    if env or sys.platform != "linux" or _environment() != AT_START:
        return ended(start(*words, cwd=cwd, env=env), timeout_s)
    words = [*INVOKE[3:], *map(str, words)]
    request = {"words": words, "cwd": str(cwd), "env": {**os.environ, "COLUMNS": "200"}}
    channel = _server()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        channel.settimeout(timeout_s)
        streams = [out.fileno(), err.fileno()]
        socket.send_fds(channel, [json.dumps(request).encode()], streams)
        with channel.makefile("rb") as answers:
            pid = int(answers.readline())
            try:
                status = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess([*INVOKE[:3], *words], status, *texts)


def _environment():
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


AT_START = _environment()
"""The environment before any test; a test that changes it starts a whole process."""


@cache
def _server():
    """A channel to this worker's own command server, which ends when the worker does."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    program = Path(__file__).with_name("command_server.py")
    process = subprocess.Popen(
        [sys.executable, program, str(there.fileno())],
        pass_fds=[there.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    there.close()

    def end():
        here.close()
        process.wait()

    atexit.register(end)
    return here


def is_running(pid):
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def finished(done):
    """The command succeeded; returns what it printed."""
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(done, *parts):
    """The command ended as bad input does: status 2 and one line, on stderr; returns that line.

    Args:
        done: what `invoke` or `ended` returned.
        parts: texts that the line holds.
    """
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    [line] = done.stderr.strip().splitlines()
    for part in parts:
        assert part in line, line
    return line
