"""Commands as a user types them: real processes, and what they must say."""

import os
import subprocess
import sys

from support.paths import ROOT

INVOKE = [sys.executable, "-m", "invoke", "--search-root", str(ROOT)]


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
    """Run a command to its end; returns its status, stdout and stderr."""
    return ended(start(*words, cwd=cwd, env=env), timeout_s)


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
