"""A board at its MicroPython prompt, where flashing looks at it and sends it files."""

from __future__ import annotations

import ast
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, LinkError
from mtjkit_core.frames import MAX_FRAME
from mtjkit_core.whole_frames import pack

from mtjkit_host.boards.architectures import ARCHITECTURES
from mtjkit_host.boards.catalog import has_flow_control
from mtjkit_host.boards.raw_repl import RawRepl
from mtjkit_host.link.said import last_line
from mtjkit_host.paths import DEVICE

AGENTS = DEVICE / "agent"
_CHUNK, _LONG_CHUNK = 144, 3072  # bytes; 144 are 192 characters
_ANSWER_S = 240.0  # an emulated Pico hashes its files for minutes on a busy machine
_PROMPT_S = 2.0  # after which whatever runs is interrupted again
_CHUNK_S = 60.0
_TRIES = 5  # of an answer that something else came into
_MOST_NUMBER = 1 << 48

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with (bytes sent, bytes in all)."""


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
    mapped_files: tuple[str, ...] = ()
    """Names of all files there."""
    root: str = ""
    """Where its file system is mounted, without the last slash: "" or /flash."""
    inflates: bool = False
    """It can take deflated files, and has a line with flow control."""


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


STOP_A_SERVER = (
    bytes(MAX_FRAME)
    + pack(m.HELLO.kind, 0, m.HELLO.pack(m.MAGIC, m.VERSION))
    + b"\0"
    + pack(m.STOP.kind, 1)
)
"""Ends a server in whatever state: zeros end the frame that it believes to be receiving, and one
comes before every frame, without which a line drops the frame as typed."""


class Board:
    """A board at its prompt, freshly soft-reset; a context, which ends with the port closed.

    A running program is interrupted; an mtjkit server is stopped through its own protocol too, as
    it takes Ctrl-C in the middle of a frame for data.

    Args:
        port: /dev/ttyACM0, COM3, a pseudo-terminal, socket://host:port.
        wait_s: how long the board may take to show its prompt.
        boot_s: how long its boot.py may run after that; it is interrupted then.
        name: what messages call the board; "" for its port.

    Raises:
        LinkError: the port is not there or busy, or no MicroPython answers.
    """

    def __init__(
        self, port: str, wait_s: float = 25.0, boot_s: float = 45.0, name: str = ""
    ) -> None:
        self.name = name or port
        self._repl = RawRepl(port, name)
        try:
            self._to_prompt(wait_s)
            self.boot_ended = self._repl.reset(boot_s)
            self.load("files")
            self.info = self._describe()
            if has_flow_control(self.info.platform):
                self._repl.pause_s = 0.0
        except BaseException:
            self.close()
            raise

    def load(self, agent: str) -> None:
        """Send a module of firmware/micropython/agent, without its comments.

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

    def execute(self, code: str, wait_s: float = _ANSWER_S) -> bytes:
        """Run code on the board; returns what it prints.

        Args:
            code: Python code.
            wait_s: how long it may run.

        Raises:
            LinkError: the code raises, or the board does not answer.
        """
        return self._repl.run(code, wait_s)

    def evaluate(self, expression: str, kind: type[T]) -> T:
        """The value of an expression there: a plain Python value of one type.

        Whatever else comes on the line, the value is right or refused: its length comes with it.

        Raises:
            LinkError: it is of another type, or the board does not answer.
        """
        code = f"_r = repr({expression})\nprint('\\x02%s\\x03%d\\x03' % (_r, len(_r)))"
        said = b""
        for _ in range(_TRIES):  # a log line may have come in between
            said = self.execute(code)
            text, _, length = (
                said.partition(b"\x02")[2].decode("utf-8", "replace").partition("\x03")
            )
            if length.partition("\x03")[0] == str(len(text)):
                break
        else:
            raise LinkError(f"{self.name}: the board's answer is not clear: {last_line(said)}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, ArithmeticError, MemoryError, RecursionError):
            value = None
        if type(value) is not kind:
            raise LinkError(f"{self.name}: the board's answer makes no sense: {text[:80]}")
        return value

    def digests(self, paths: list[str]) -> list[str]:
        """SHA-256 of files as hexadecimal; "" where there is none.

        Raises:
            LinkError: the board's answer makes no sense.
        """
        found = self.evaluate(f"digests(*{paths!r})", list)
        if len(found) != len(paths) or not all(isinstance(digest, str) for digest in found):
            raise LinkError(f"{self.name}: the board's answer makes no sense: {str(found)[:80]}")
        return found

    def listing(self, folder: str) -> list[str]:
        """Names in a folder; empty if there is none.

        Raises:
            LinkError: the board's answer makes no sense.
        """
        return [str(name) for name in self.evaluate(f"listing({folder!r})", list)]

    def send(self, call: str, contents: list[bytes], progress: Progress | None = None) -> None:
        """Have the agent receive data.

        Args:
            call: the call; {chunk} in it stands for the bytes that are sent at once.
            contents: what it receives, one after the other.
            progress: called with (bytes sent, bytes in all).

        Raises:
            LinkError: the board refuses or falls silent.
        """
        chunk = _LONG_CHUNK if has_flow_control(self.info.platform) else _CHUNK
        self._repl.start(call.replace("{chunk}", str(chunk)))
        sent, size = 0, sum(map(len, contents))
        for data in contents:
            for at in range(0, len(data), chunk):
                part = data[at : at + chunk]
                self._repl.write(base64.b64encode(part))
                self._repl.acknowledged(_CHUNK_S)
                sent += len(part)
                if progress:
                    progress(sent, size)
        self._repl.finish(_ANSWER_S)

    def restart(self) -> None:
        """Soft-reset the board, so that it runs its boot.py and main.py.

        Raises:
            LinkError: the board does not answer.
        """
        self._repl.restart()

    def leave(self) -> None:
        """Leave the board at its friendly prompt; main.py does not run."""
        self._repl.leave()

    def close(self) -> None:
        """Close the port."""
        self._repl.close()

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
        """Enter the raw REPL, whatever runs."""
        until = time.monotonic() + wait_s
        patience_s = _PROMPT_S
        while not self._repl.enter(patience_s):
            patience_s *= 2  # an emulated board on a busy machine is slow
            if time.monotonic() > until:
                said = self._repl.said
                raise LinkError(
                    f"{self.name}: no MicroPython prompt; is a board with MicroPython there, "
                    "and no other program at its port?"
                    + (f" What comes from there: {said}" if said else "")
                )
            self._repl.write(STOP_A_SERVER)

    def _describe(self) -> BoardInfo:
        told = self.evaluate("describe()", dict)
        try:
            numbers = [told["mpy"], told["heap"], *told["storage"], told["romfs"], told["mapped"]]
            if len(numbers) != 6 or not all(
                type(n) is int and -1 <= n < _MOST_NUMBER for n in numbers
            ):
                raise TypeError
            if not all(type(told[key]) is str for key in ("machine", "platform", "root")):
                raise TypeError
            mpy = told["mpy"]
            code = mpy >> 10 & 15
            return BoardInfo(
                machine=last_line(told["machine"].encode()),
                platform=told["platform"],
                mpy_version=mpy & 0xFF,
                mpy_sub_version=mpy >> 8 & 3,
                architecture=ARCHITECTURES[code] if code < len(ARCHITECTURES) else "",
                heap_bytes=told["heap"],
                root=told["root"],
                storage_bytes=told["storage"][0],
                storage_free_bytes=told["storage"][1],
                romfs_bytes=told["romfs"],
                mapped_model_bytes=told["mapped"],
                mapped_files=tuple(map(str, told["mapped_files"])),
                inflates=told.get("inflates") is True and has_flow_control(told["platform"]),
            )
        except (KeyError, TypeError):
            raise LinkError(
                f"{self.name}: the board's answer makes no sense: {str(told)[:80]}"
            ) from None
