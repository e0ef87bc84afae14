"""A board at its MicroPython prompt, reached by mpremote's transport over the raw REPL."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_core.frames import MAX_FRAME, pack

from mtjkit_host.boards.architectures import ARCHITECTURES
from mtjkit_host.boards.catalog import has_flow_control
from mtjkit_host.link.link import Link
from mtjkit_host.paths import DEVICE as AGENTS

_CHUNK, _LONG_CHUNK = 144, 3072  # bytes; 144 are 192 characters
_ANSWER_S = 60.0  # an emulated Pico is slow
_PROMPT_S = 6.0

Progress = Callable[[str, int, int], None]
"""Called with (what, bytes sent, bytes in all)."""


@dataclass(frozen=True)
class BoardInfo:
    """What a board at its prompt says of itself."""

    machine: str
    """Its own name: Raspberry Pi Pico with RP2040, ..."""
    platform: str
    """MicroPython's port: rp2, qemu, esp32, ..."""
    mpy_version: int
    """Version of .mpy files that it loads; 0 if it loads none."""
    mpy_sub_version: int
    """Version of native code in them."""
    architecture: str
    """What mpy-cross calls its processor; "" for bytecode only."""
    heap_bytes: int
    """Its heap, MicroPython's own share included."""
    storage_bytes: int
    """Size of its file system; 0 without one."""
    storage_free_bytes: int
    """Of that, free."""
    romfs_bytes: int
    """Size of its mapped read-only file system; 0 without one."""
    mapped_model_bytes: int
    """Size of the model that lies there; -1 without one."""


def resolve_port(port: str) -> str:
    """The port itself, or for "auto" the only board that is plugged in.

    Raises:
        ConfigError: no port is named.
        LinkError: "auto" finds no board, or several.
    """
    if not port:
        raise ConfigError("--port names the board's serial port, or auto")
    if port != "auto":
        return port
    from serial.tools.list_ports import comports

    found = sorted(p.device for p in comports() if p.vid is not None)
    if not found:
        raise LinkError("no board is plugged in: connect one, or name its port with --port")
    if len(found) > 1:
        raise LinkError(f"several boards are plugged in ({', '.join(found)}): choose with --port")
    return str(found[0])


class Board:
    """A board at its prompt, freshly soft-reset; a context, which ends with the port closed.

    A running program is interrupted; an mtjkit server is stopped through its own protocol, as it
    takes Ctrl-C for data.

    Args:
        port: /dev/ttyACM0, COM3, a pseudo-terminal, socket://host:port.
        wait_s: how long the board may take to show its prompt.

    Raises:
        LinkError: the port is not there or busy, or no MicroPython answers.
    """

    def __init__(self, port: str, wait_s: float = 20.0) -> None:
        try:
            from mpremote.transport_serial import (  # type: ignore[import-untyped]
                SerialTransport,
            )
        except ImportError:
            raise ConfigError("mpremote is missing: pip install 'mtjkit[board]'") from None
        self.port = port
        try:
            with self._translated():
                self._transport: Any = SerialTransport(port, baudrate=115200)
        except LinkError:
            Link.open(port).close()  # which says why, as mpremote does not
            raise
        try:
            self._to_prompt(wait_s)
            self.load("agent")
            self.info = self._describe()
        except BaseException:
            self.close()
            raise

    def load(self, agent: str) -> None:
        """Send one of firmware/micropython's agents, without its comments.

        Raises:
            ConfigError: mtjkit was installed without its firmware.
        """
        path = AGENTS / f"{agent}.py"
        if not path.is_file():
            raise ConfigError("boards are flashed from a clone of the project")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and (
                ast.get_docstring(node) is not None
            ):
                node.body = node.body[1:]
        self.execute(ast.unparse(tree))

    def execute(self, code: str) -> bytes:
        """Run code on the board; returns what it prints.

        Raises:
            LinkError: the code raises, or the board does not answer.
        """
        with self._translated():
            printed, error = self._transport.exec_raw(code, timeout=_ANSWER_S)
        if error:
            raise LinkError(f"{self.port}: {_last_line(error)}")
        return bytes(printed)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression there: a plain Python value."""
        printed = self.execute(f"print(repr({expression}))").decode("utf-8", "replace")
        with self._translated():
            return ast.literal_eval(printed.strip())

    def digests(self, paths: list[str]) -> list[str]:
        """SHA-256 of files as hexadecimal; "" where there is none."""
        return self.execute(f"digests(*{paths!r})").decode().split("\r\n")[: len(paths)]

    def send(self, call: str, contents: dict[str, bytes], progress: Progress | None = None) -> None:
        """Have the agent receive data.

        Args:
            call: the call; {chunk} in it stands for the bytes that are sent at once.
            contents: what it receives, one after the other, with names for `progress`.
            progress: called with (name, bytes sent, bytes in all).

        Raises:
            LinkError: the board refuses or falls silent.
        """
        chunk = _LONG_CHUNK if has_flow_control(self.info.platform) else _CHUNK
        with self._translated():
            transport = self._transport
            transport.exec_raw_no_follow(call.replace("{chunk}", str(chunk)))
            for name, data in contents.items():
                for at in range(0, len(data), chunk):
                    transport.serial.write(base64.b64encode(data[at : at + chunk]))
                    answer = transport.serial.read(1)
                    if answer != b"+":
                        rest = transport.read_until(1, b"\x04>", timeout=1) if answer else b""
                        raise LinkError(f"{self.port}: {_last_line((answer + rest).rstrip(b'>'))}")
                    if progress:
                        progress(name, min(at + chunk, len(data)), len(data))
            _, error = transport.follow(_ANSWER_S)
            if error:
                raise LinkError(f"{self.port}: {_last_line(error)}")

    def restart(self) -> None:
        """Soft-reset the board, so that it runs its boot.py and main.py."""
        with self._translated():
            self._transport.exit_raw_repl()
            self._transport.read_until(1, b">>> ", timeout=_PROMPT_S)
            self._transport.serial.write(b"\x04")
            self._transport.read_until(1, b"soft reboot", timeout=_PROMPT_S)

    def close(self) -> None:
        """Close the port."""
        with contextlib.suppress(Exception):
            self._transport.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _to_prompt(self, wait_s: float) -> None:
        """Enter the raw REPL, whatever runs, and soft-reset there: main.py does not start."""
        from mpremote.transport import TransportError  # type: ignore[import-untyped]

        serial = self._transport.serial
        serial.timeout = _PROMPT_S / 3  # whatever answers, or nothing, is known soon
        until = time.monotonic() + wait_s
        while True:
            try:
                with self._translated(keep=TransportError):
                    self._transport.enter_raw_repl(soft_reset=False, timeout_overall=_PROMPT_S / 3)
                    break
            except TransportError:
                if time.monotonic() > until:
                    raise LinkError(
                        f"{self.port}: no MicroPython prompt; is a board with MicroPython there, "
                        "and no other program at its port?"
                    ) from None
            with self._translated():
                # Zeros end whatever frame a server believes to be receiving.
                hello = pack(m.HELLO.kind, 0, m.HELLO.pack(m.MAGIC, m.VERSION))
                serial.write(bytes(MAX_FRAME) + hello + pack(m.STOP.kind, 1))
        with self._translated():
            self._transport.enter_raw_repl(soft_reset=True, timeout_overall=wait_s)
        serial.timeout = _ANSWER_S

    def _describe(self) -> BoardInfo:
        told = self.evaluate("describe()")
        mpy = told["mpy"]
        code = mpy >> 10 & 15
        return BoardInfo(
            machine=told["machine"],
            platform=told["platform"],
            mpy_version=mpy & 0xFF,
            mpy_sub_version=mpy >> 8 & 3,
            architecture=ARCHITECTURES[code] if code < len(ARCHITECTURES) else "",
            heap_bytes=told["heap"],
            storage_bytes=told["storage"][0],
            storage_free_bytes=told["storage"][1],
            romfs_bytes=told["romfs"],
            mapped_model_bytes=told["mapped"],
        )

    @contextlib.contextmanager
    def _translated(self, keep: type[Exception] | tuple[()] = ()) -> Iterator[None]:
        """mpremote's and pyserial's errors as LinkError; what mpremote prints is dropped."""
        from mpremote.transport import TransportError

        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except keep:
            raise
        except TransportError as error:
            raise LinkError(f"{self.port}: {' '.join(str(error).split())}") from None
        except (OSError, ValueError, TypeError, ArithmeticError, SyntaxError) as error:
            raise LinkError(f"{self.port}: the board does not answer ({error})") from None


def _last_line(output: bytes | str) -> str:
    """The last line of what a board said: of a traceback, the error."""
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
    lines = text.replace("\x04", "\n").strip().splitlines()
    return lines[-1] if lines else "the board does not answer"
