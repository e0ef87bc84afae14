"""An emulator as a process that offers a board's serial line on a local TCP port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from mtjkit_core.errors import ConfigError, LinkError

_START_S = 20.0
_END_S = 2.0


class Emulator:
    """A process that offers a board's serial line on a local TCP port.

    A context that yields the port's address, to be used as any board's port is. Leaving the context
    ends the process; it ends too when this one is killed.

    Args:
        name: for messages.
        command: given a folder for files of its own and the TCP port, returns the command.
    """

    def __init__(self, name: str, command: Callable[[Path, int], list[str]]) -> None:
        self.name = name
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes] | None = None
        self._work: tempfile.TemporaryDirectory[str] | None = None

    def open(self) -> str:
        """Start the process; returns the serial port, as pyserial and mpremote take it.

        Raises:
            LinkError: the process ends at once, or opens no port.
        """
        port = _free_port()
        self._work = tempfile.TemporaryDirectory()
        command = self._command(Path(self._work.name), port)
        watched = shutil.which("setpriv")  # Linux: the kernel ends it with its parent
        if watched and sys.platform == "linux":
            command = [watched, "--pdeathsig", "KILL", *command]
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._messages,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is the host's alone
            )
            self._wait_for(port)
        except OSError as error:
            self.close()
            raise ConfigError(f"{command[0]}: {error.strerror or error}") from error
        except BaseException:
            self.close()
            raise
        return f"socket://127.0.0.1:{port}"

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._messages is not None:
            self._messages.close()
            self._messages = None
        if self._work is not None:
            self._work.cleanup()
            self._work = None

    def _wait_for(self, port: int) -> None:
        """Wait until something listens on the port."""
        assert self._process is not None
        until = time.monotonic() + _START_S
        while not _listening(port):
            if self._process.poll() is not None:
                raise LinkError(f"{self.name} ended at once: {self._last_words()}")
            if time.monotonic() > until:
                raise LinkError(f"{self.name} opens no serial port")
            time.sleep(0.05)

    def _last_words(self) -> str:
        assert self._messages is not None
        self._messages.seek(0)
        lines = self._messages.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it gives no reason"

    @property
    def pid(self) -> int:
        """The process.

        Raises:
            LinkError: it does not run.
        """
        if self._process is None:
            raise LinkError(f"{self.name} is not running")
        return self._process.pid

    def __enter__(self) -> str:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def _listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
