"""MicroPython's raw REPL over a serial line: code in, what it prints out.

A line may carry more than answers: log lines of the board's system, a program that prints without
end, an adapter's echo. So every wait has a deadline that nothing on the line moves, answers are
searched for in what comes, and the rest is kept to be shown in messages.
"""

from __future__ import annotations

import contextlib
import re
import time

import serial
from mtjkit_core.errors import LinkError

from mtjkit_host.link.link import open_port, reason
from mtjkit_host.link.said import error_of, last_line

_BANNER = b"raw REPL; CTRL-B to exit\r\n"
_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D = b"\x01", b"\x02", b"\x03", b"\x04"
ACK = b"\x06"
"""What the agent answers to a chunk: no log line holds this byte."""
_PIECE = 256  # bytes of code at once: a port with a small buffer reads them in _PIECE_S
_PIECE_S = 0.01
_MOST_BYTES = 1 << 17  # of an answer
_UNTRACED = re.compile(rb"(?m)^\w*(?:Error|Exception|Interrupt|Exit)(?:: |\r?$)")
"""What MicroPython says of an exception for whose traceback there was no memory."""
_READ_S = 0.05
_SHORT_S = 10.0  # for what the board answers at once


class RawRepl:
    """A serial line at whose other end MicroPython's raw REPL is; the caller closes it.

    Args:
        port: /dev/ttyACM0, COM3, a pseudo-terminal, socket://host:port.
        name: what messages call the board; "" for its port.

    Attributes:
        pause_s: between two pieces of code; 0 for a port with flow control.

    Raises:
        LinkError: the port is not there or busy.
    """

    def __init__(self, port: str, name: str = "") -> None:
        self.name = name or port
        self._line = open_port(port, _READ_S)
        self._heard = bytearray()
        self._aside = bytearray()  # what was not an answer, the last of it
        self._echoes = False
        self.pause_s = _PIECE_S

    @property
    def said(self) -> str:
        """The last line of what came and was not an answer; "" for nothing."""
        return last_line(bytes(self._aside + self._heard))

    def write(self, data: bytes) -> None:
        """Send bytes.

        Raises:
            LinkError: the line is gone, or takes nothing.
        """
        try:
            self._line.write(data)
        except serial.SerialTimeoutException:
            raise LinkError(f"{self.name}: the board has stopped reading") from None
        except (OSError, TypeError, ValueError) as error:
            raise LinkError(f"{self.name}: {reason(error)}") from None

    def enter(self, wait_s: float) -> bool:
        """Interrupt whatever runs and ask for the raw REPL; False if it does not come in time."""
        self.write(b"\r" + _CTRL_C)
        time.sleep(_READ_S)
        self.write(b"\r" + _CTRL_A)
        if self._find(_BANNER + b">", wait_s, skim=True) is None:
            return False
        code = b"1" + _CTRL_D
        self.write(code)
        before = self._find(b"OK" + 2 * _CTRL_D + b">", _SHORT_S)
        self._echoes = before is not None and before.endswith(code)
        return before is not None

    def reset(self, wait_s: float) -> bool:
        """Soft-reset the board: boot.py runs, main.py does not, and the raw REPL is back.

        Args:
            wait_s: how long boot.py may run; it is interrupted then.

        Returns:
            False if boot.py had to be interrupted.

        Raises:
            LinkError: boot.py cannot be interrupted either, or the board does not answer.
        """
        self.write(_CTRL_D)
        ended = self._find(_BANNER + b">", wait_s, skim=True) is not None
        if not ended:
            self.write(_CTRL_C)
            if self._find(_BANNER + b">", _SHORT_S, skim=True) is None:
                raise LinkError(
                    f"{self.name}: the board's boot.py has run for {wait_s:.0f} s, and Ctrl-C does "
                    f"not end it{self._quoted()}"
                )
        return ended

    def start(self, code: str) -> None:
        """Begin to run code.

        Raises:
            LinkError: the board does not take it.
        """
        self._set_aside(len(self._heard))
        data = code.encode()
        for at in range(0, len(data), _PIECE):
            self.write(data[at : at + _PIECE])
            time.sleep(self.pause_s if len(data) > _PIECE else 0)
        self.write(_CTRL_D)
        if self._echoes:
            self._expect(data + _CTRL_D, _SHORT_S, "code")

    def finish(self, wait_s: float) -> bytes:
        """Wait for the end of what was started; returns what it printed.

        Raises:
            LinkError: the code raised, the board does not answer in time or says too much.
        """
        printed = self._expect(_CTRL_D, wait_s, "code")
        _, ok, rest = printed.partition(b"OK")  # a log line may stand before it, or within
        printed = rest if ok else printed
        error = self._expect(_CTRL_D, _SHORT_S, "code")
        self._expect(b">", _SHORT_S, "code")
        if b"Traceback" in error or _UNTRACED.search(error):  # other lines are the board's system's
            raise LinkError(f"{self.name}: {error_of(error) or last_line(error)}")
        return printed

    def run(self, code: str, wait_s: float) -> bytes:
        """Run code; returns what it prints.

        Raises:
            LinkError: see `start` and `finish`.
        """
        self.start(code)
        return self.finish(wait_s)

    def acknowledged(self, wait_s: float) -> None:
        """Wait for the agent's answer to a chunk.

        Raises:
            LinkError: the agent has ended with an error, or does not answer in time.
        """
        until = time.monotonic() + wait_s
        while True:
            ack, end = self._heard.find(ACK), self._heard.find(_CTRL_D)
            if ack >= 0 and (end < 0 or ack < end):
                self._set_aside(ack)
                del self._heard[:1]
                return
            if end >= 0:
                self.finish(_SHORT_S)
                raise LinkError(f"{self.name}: the board stopped taking data{self._quoted()}")
            self._more(until, "data", skim=True)

    def leave(self) -> None:
        """Go back to the friendly prompt."""
        self.write(b"\r" + _CTRL_B)
        self._find(b">>> ", _SHORT_S, skim=True)

    def restart(self) -> None:
        """Soft-reset the board so that boot.py and main.py run.

        Raises:
            LinkError: the board does not answer.
        """
        self.leave()
        self.write(_CTRL_D)
        self._find(b"soft reboot", _SHORT_S, skim=True)

    def close(self) -> None:
        """Close the port."""
        with contextlib.suppress(Exception):
            self._line.close()

    def _expect(self, end: bytes, wait_s: float, what: str) -> bytes:
        """What comes before some bytes, which are dropped.

        Raises:
            LinkError: they do not come in time, or too much comes before them.
        """
        before = self._find(end, wait_s)
        if before is None:
            raise LinkError(f"{self.name}: the board does not answer to {what}{self._quoted()}")
        return before

    def _find(self, end: bytes, wait_s: float, skim: bool = False) -> bytes | None:
        """The same; None if they do not come in time.

        `skim`: only the last of what comes before them is wanted, however much it is.
        """
        until = time.monotonic() + wait_s
        searched = 0
        while True:
            at = self._heard.find(end, searched)
            if at >= 0:
                before = bytes(self._heard[:at])
                self._set_aside(at + len(end))
                return before
            if time.monotonic() > until:
                return None
            searched = max(0, len(self._heard) - len(end) + 1)
            size = len(self._heard)
            self._more(until, "", skim)
            if len(self._heard) < size:  # it was cut
                searched = 0

    def _more(self, until: float, what: str, skim: bool) -> None:
        """Read what is there, or a little later.

        Raises:
            LinkError: the line is gone, the time is over and `what` is given, or it is too much.
        """
        if what and time.monotonic() > until:
            raise LinkError(f"{self.name}: the board does not answer to {what}{self._quoted()}")
        try:
            waiting = min(self._line.in_waiting, _MOST_BYTES // 8)
            self._heard += self._line.read(waiting or 1)
        except (OSError, TypeError, ValueError) as error:
            raise LinkError(f"{self.name}: {reason(error)}{self._quoted()}") from None
        if len(self._heard) > _MOST_BYTES:
            if not skim:
                raise LinkError(
                    f"{self.name}: the board says more than {_MOST_BYTES} bytes where an answer "
                    f"was expected{self._quoted()}"
                )
            self._set_aside(_MOST_BYTES - 4096)

    def _set_aside(self, size: int) -> None:
        """Take bytes from the front of what was heard; the last of them can be shown."""
        self._aside = (self._aside + self._heard[:size])[-1000:]
        del self._heard[:size]

    def _quoted(self) -> str:
        """For the end of a message: what the board said."""
        said = self.said
        return f"; the board says: {said}" if said else ""
