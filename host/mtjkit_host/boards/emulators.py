"""Emulated boards: QEMU's MPS2 machines and a Raspberry Pi Pico, each reached by a serial port.

Each is a context that yields the port's address, to be used as any board's port is.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO

from mtjkit_core.errors import ConfigError, LinkError

MACHINES = ("mps2-an385", "mps2-an500")
ROMFS_AT = {"mps2-an385": 0x21800000, "mps2-an500": 0x60800000}
_START_S = 20.0
_END_S = 2.0


class Emulator:
    """A process that offers a board's serial line on a local TCP port.

    Leaving the context ends the process; it ends too when this one is killed.

    Args:
        name: for messages.
        command: the process; "{port}" in it stands for the TCP port.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes] | None = None

    def open(self) -> str:
        """Start the process; returns the serial port, as pyserial and mpremote take it.

        Raises:
            LinkError: the process ends at once, or opens no port.
        """
        port = _free_port()
        command = [part.replace("{port}", str(port)) for part in self._command]
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

    def __enter__(self) -> str:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def qemu(machine: str, firmware: Path, romfs: Path | None = None, count: bool = False) -> Emulator:
    """An MPS2 board in QEMU.

    Args:
        machine: mps2-an385 (Cortex-M3) or mps2-an500 (Cortex-M7).
        firmware: what build_firmware made for it.
        romfs: image to lie in the mapped read-only memory from the start.
        count: time counts instructions, 1024 ns each, whatever the host does.

    Raises:
        ConfigError: no such machine, or no QEMU.
    """
    if machine not in MACHINES:
        raise ConfigError(f"machine {machine!r} is unknown: one of {', '.join(MACHINES)}")
    executable = shutil.which("qemu-system-arm")
    if not executable:
        raise ConfigError("qemu-system-arm is missing (Debian: apt install qemu-system-arm)")
    command = [executable, "-machine", machine, "-display", "none", "-monitor", "none"]
    command += ["-serial", "tcp:127.0.0.1:{port},server=on,wait=off", "-kernel", str(firmware)]
    if romfs is not None:
        place = f"addr={ROMFS_AT[machine]:#x},force-raw=on"
        command += ["-device", f"loader,file={romfs},{place}"]
    if count:
        command += ["-icount", "shift=10,sleep=off"]
    return Emulator(f"QEMU's {machine}", command)


def pico(firmware: Path) -> Emulator:
    """A Raspberry Pi Pico in rp2040py.

    Args:
        firmware: a .uf2 file.

    Raises:
        ConfigError: rp2040py is not there.
    """
    if importlib.util.find_spec("rp2040py") is None:
        raise ConfigError("rp2040py, the Pico's emulator, is missing: pip install 'mtjkit[board]'")
    command = [sys.executable, "-m", "rp2040py", "micropython", "--image", str(firmware)]
    return Emulator("the emulated Pico", [*command, "--tcp-port", "{port}"])


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
