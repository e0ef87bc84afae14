"""A serial line to one device: frames out, frames in. PROTOCOL.md specifies them.

pyserial opens whatever it is: a board's port, a pseudo-terminal, `socket://host:port`. A thread
reads all the time, so that neither side ever waits for the other to take bytes. A `SocketPair`
needs no thread: it is read by whoever waits for a frame.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from types import TracebackType
from typing import Any, NamedTuple

import serial
from mtjkit_core import messages as m
from mtjkit_core.errors import LinkError
from mtjkit_core.frames import MAX_FRAME, OVERHEAD, Deframer
from mtjkit_core.whole_frames import frames, pack

from mtjkit_host.link.credit import Credit
from mtjkit_host.link.packed import packed
from mtjkit_host.link.said import error_of, last_line
from mtjkit_host.link.socket_pair import SocketPair

BAUD = 115200
_READ_S = 0.2  # how long the reader waits before it looks whether the link was closed
_WRITE_S = 5.0  # how long a write waits before it looks whether the device still lives
_PIECE = 4096  # bytes of a write: even a slow line takes them in that time
_MOST_FRAMES = 1 << 16  # more than this many unrequested frames: give up
_ASK_S = 1.0
_LAST_S = 0.5  # that a line gets to take the end of a frame, before it is closed
_SETTLE_S = 2.0  # that a device gets to take all that was sent, before its line is closed
_ENDED_S = 1.5  # of silence behind an error, before the program counts as ended
_WORDS = 1000  # bytes that are kept of what is not a frame
_ZEROS = bytes(MAX_FRAME)
FEW_ZEROS = bytes(64)  # for a line with credit
_BEGIN = bytes(2)  # of whatever is sent; and a zero before every frame: all else is typed
_CTRL_C = 3
_FROM_DEVICE = 0x80  # types of frames below are the host's: an echo
_TO_SERVER = b"\r\x03\x02\x04"  # interrupt, leave the raw prompt, start anew


class Frame(NamedTuple):
    """A frame that came in."""

    kind: int
    """Its type: see mtjkit_core.messages."""
    body: bytes
    """Its fields, packed."""
    lost_before: bool
    """Frames before this one were lost on their way."""


class Link:
    """An open line. Usable as a context; closing it twice is fine.

    Args:
        port: an open port of pyserial's, or one end of a socket pair.
        name: what error messages call the line.
        backend: name of the kind of device, for results: serial, unix, ...
    """

    def __init__(
        self, port: serial.SerialBase | SocketPair, name: str, backend: str = "serial"
    ) -> None:
        self.name = name
        self.backend = backend
        self.credit = Credit()
        """What may be on its way to the device."""
        self.zeros = _ZEROS
        """Zeros sent before a repeated message, to end any frame the device is still in."""
        self.frames_bad = 0
        """Frames that came in damaged."""
        self.heard_at = time.monotonic()
        """When the last good frame came, a heartbeat or another."""
        self.patience_s = 120.0
        """How long a device may take no bytes and say nothing: one that computes takes none."""
        self.stuck_s = 120.0
        """How long a device may take no bytes, whatever it says."""
        self.acks = 0
        """Acknowledgements and heartbeats that came."""
        self._serves = False  # a server was heard, and not told to stop
        self._taken = -1  # number of the frame that the device said it expects next
        self.echoed = False
        """Own frames came back."""
        self._port: Any = port
        self._port_lock = threading.Lock()  # an interruption finds the port open or closed
        self.seq = 0
        """Number of the next message, 0 to 255."""
        self._sent: list[tuple[int, bytes]] = [(0, b"")] * 256
        self._frames: queue.SimpleQueue[Frame | LinkError] = queue.SimpleQueue()
        self._closing = False
        self._interrupted = False
        self._half = False  # a write was cut short: the device may wait for the rest of a frame
        self._words = b""  # what came since the last frame and is not a frame
        self._words_at = time.monotonic()
        self._deframer = Deframer()
        self._expected = -1  # number of the next frame that comes; -1: any
        self._pair = port if isinstance(port, SocketPair) else None
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        if not self._pair:
            self._reader.start()

    @classmethod
    def open(cls, url: str, backend: str = "serial", name: str = "") -> Link:
        """Open a port: /dev/ttyACM0, COM3, a pseudo-terminal's path, socket://host:port.

        Args:
            url: the port.
            backend: name of the kind of device, for results.
            name: what error messages call the line, if not the port.

        Raises:
            LinkError: the port is not there, or busy.
        """
        return cls(open_port(url, _READ_S), name or url, backend)

    def send(self, kind: int, *bodies: bytes) -> list[int]:
        """Send messages of one kind; returns their sequence numbers.

        Raises:
            LinkError: the line is gone.
        """
        if self.credit.limit:
            return [self._send_on_credit(kind, body) for body in bodies]
        frames_out = [self._frame(kind, body) for body in bodies]
        self.write(b"\0" + b"".join(b"\0" + data for _, data in frames_out))
        return [seq for seq, _ in frames_out]

    @property
    def loses_nothing(self) -> bool:
        """Every byte arrives, in its order, so that data may follow a frame as they are."""
        return self._pair is not None

    def send_block(self, kind: int, body: bytes, data: bytes) -> None:
        """Send a message that announces data, and the data.

        Raises:
            LinkError: the line is gone.
        """
        self.write(_BEGIN + self._frame(kind, body)[1] + data)

    def sent(self, first: int, count: int) -> list[tuple[int, bytes]]:
        """The last messages sent under these sequence numbers, as (kind, body)."""
        return [self._sent[(first + i) & 255] for i in range(count)]

    def repeat(self, kind: int, body: bytes) -> int:
        """Send a message behind zeros, which end whatever frame the device believes to receive.

        Returns:
            Its sequence number.

        Raises:
            LinkError: the line is gone.
        """
        if self.credit.limit:
            return self._send_on_credit(kind, body, FEW_ZEROS)
        seq, data = self._frame(kind, body)
        self.write(self.zeros + data)
        return seq

    def ask(self, kind: int, body: bytes) -> None:
        """The same for a question of a few bytes, even where the credit is used up.

        There only one question is on its way: others are not sent.

        Raises:
            LinkError: the line is gone.
        """
        if not self.credit.limit:
            self.repeat(kind, body)
        elif self.credit.may_ask():
            seq, data = self._frame(kind, body)
            self.credit.asked(seq)
            self.write(FEW_ZEROS + data)

    def wake(self) -> None:
        """Have a board that shows MicroPython's prompt start its main.py: the server.

        To a server this is a damaged frame.
        """
        self.write(_BEGIN + _TO_SERVER)

    def receive(self, timeout_s: float) -> Frame | None:
        """The next frame, or None if none comes in time.

        Raises:
            LinkError: the line is gone.
        """
        if self._pair:
            self._listen(timeout_s)
            timeout_s = 0.0
        try:
            item = self._frames.get(timeout_s > 0, timeout_s)
        except queue.Empty:
            return None
        self._check()  # before what a flood has left in the queue
        if isinstance(item, LinkError):
            self._frames.put(item)  # it stays gone
            raise item
        return item

    @property
    def said(self) -> str:
        """The last line of text that came since the last frame, as of a program; "" for none."""
        return last_line(self._words)

    @property
    def error_said(self) -> str:
        """The error with which a program on the device has ended; "" for none."""
        return error_of(self._words)

    @property
    def shows_prompt(self) -> bool:
        """MicroPython's prompt came since the last frame."""
        return b">>> " in self._words

    @property
    def is_starting(self) -> bool:
        """The board has started anew since the last frame came: its boot.py may still run."""
        return b"soft reboot" in self._words

    @property
    def program_ended(self) -> bool:
        """A program on the board has ended with an error, and since then nothing came."""
        ended = b"Traceback" in self._words.rpartition(b"soft reboot")[2]
        return ended and time.monotonic() - self._words_at > _ENDED_S

    def interrupt(self) -> None:
        """From another thread: whoever sends or waits now ends with a LinkError."""
        self._interrupted = True
        self._frames.put(LinkError(f"{self.name}: interrupted"))
        with self._port_lock:
            if hasattr(self._port, "cancel_write"):
                self._port.cancel_write()
            elif self._half and self._port.is_open:  # a socket that takes nothing
                with contextlib.suppress(OSError, AttributeError):
                    self._port._socket.shutdown(socket.SHUT_WR)

    def _check(self) -> None:
        if self._interrupted:
            raise LinkError(f"{self.name}: interrupted")

    def close(self) -> None:
        """Close the port and end the reader."""
        self._closing = True
        if self._port.is_open and hasattr(self._port, "cancel_read"):
            self._port.cancel_read()
        if not self._pair:
            self._reader.join()
        with self._port_lock:
            if self._half and self._port.is_open and not self._pair:
                self._end_frame()
            self._port.close()

    def _settle(self) -> None:
        """Wait until a device that still serves has taken all that was sent.

        What it has not read when a line is closed may be lost, and then the device waits for the
        rest of a frame: Ctrl-C would be a part of that.
        """
        silent_s = time.monotonic() - self.heard_at
        broken = self._closing or self._interrupted or self._half or self._pair
        if broken or not self._serves or silent_s > _ASK_S:
            return
        with contextlib.suppress(LinkError):
            if not self.credit.limit:
                self.repeat(m.PING.kind, b"")
            until = time.monotonic() + _SETTLE_S
            while self._taken != self.seq and time.monotonic() < until and self._reader.is_alive():
                time.sleep(0.005)

    def _end_frame(self) -> None:
        """Have the device forget half a frame, so that it takes what comes next for typed."""
        with contextlib.suppress(OSError, TypeError, ValueError):
            self._port.write_timeout = _READ_S
            self._port.write(_ZEROS + pack(m.PING.kind, self.seq, b""))
            until = time.monotonic() + _LAST_S
            while time.monotonic() < until and self._port.read(self._port.in_waiting or 1):
                pass  # a socket that is closed before the answer came would take all this with it

    def __enter__(self) -> Link:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._settle()
        self.close()

    def write(self, data: bytes) -> None:
        """Write bytes as they are, without numbers and credit; sent again where the line was stuck.

        Raises:
            LinkError: the device has stopped reading, or the line is gone.
        """
        if self._pair:
            self._write_pair(self._pair, memoryview(data))
            return
        began = time.monotonic()
        self._half = True
        while True:
            try:
                for at in range(0, len(data), _PIECE):
                    self._check()
                    self._port.write(data[at : at + _PIECE])
                self._half = False
                return
            except serial.SerialTimeoutException as error:
                self._check()
                if self._is_stuck(began):
                    raise LinkError(f"{self.name}: the device has stopped reading") from error
                # A part has gone, who knows how much. It ends here, and all is said again.
                data = _ZEROS + data.lstrip(b"\0")
            except (OSError, TypeError, ValueError) as error:  # pyserial, of a closed port
                raise LinkError(f"{self.name}: {reason(error)}") from error

    def _write_pair(self, pair: SocketPair, left: memoryview) -> None:
        """Write to a socket pair: what was taken is not said again."""
        since = time.monotonic()
        try:
            while left:
                self._check()
                sent, came = pair.exchange(left, _WRITE_S)
                self._take(came)
                left = left[sent:]
                if sent:
                    since = time.monotonic()
                elif self._is_stuck(since):
                    raise LinkError(f"{self.name}: the device has stopped reading")
        except OSError as error:
            self._check()
            raise LinkError(f"{self.name}: {reason(error)}") from error

    def _frame(self, kind: int, body: bytes) -> tuple[int, bytes]:
        """Number a message; returns that number and the frame."""
        seq = self.seq
        data = packed(kind, seq, body)
        if kind == m.HELLO.kind:  # it sets the numbers, so it may skip some
            for _ in range(255):  # a body may have a Ctrl-C under every number
                if _CTRL_C not in data:  # which would stop a board that is just starting
                    break
                seq = (seq + 1) & 255
                data = packed(kind, seq, body)
        if kind == m.STOP.kind:
            self._serves = False
        self.seq = (seq + 1) & 255
        self._sent[seq] = (kind, body)
        return seq, data

    def _send_on_credit(self, kind: int, body: bytes, begin: bytes = _BEGIN) -> int:
        """Wait until the device has room for a frame, then send it."""
        began = asked = time.monotonic()
        while not self.credit.has_room(len(begin) + len(body) + OVERHEAD):
            if not self._reader.is_alive():
                raise LinkError(f"{self.name}: the connection is gone")
            self._check()
            if self._is_stuck(began):
                raise LinkError(f"{self.name}: the device has stopped reading")
            if not self.credit.wait(_READ_S) and time.monotonic() - asked > _ASK_S:
                self.ask(m.PING.kind, b"")  # the device computes, or its answer was lost
                asked = time.monotonic()
        seq, data = self._frame(kind, body)
        self.credit.sent(seq, len(begin) + len(data))
        self.write(begin + data)
        return seq

    def _is_stuck(self, since: float) -> bool:
        """Whether the device has read nothing for too long."""
        now = time.monotonic()
        silent_s = now - max(since, self.heard_at)
        return silent_s > self.patience_s or now - since > self.stuck_s

    def _read(self) -> None:
        """The reader's loop: bytes to frames, until the link is closed or the line is gone."""
        try:
            while not self._closing:
                self._take(self._port.read(self._port.in_waiting or 1))
        except (OSError, TypeError, ValueError) as error:
            if not self._closing:
                self._frames.put(LinkError(f"{self.name}: {reason(error)}"))

    def _listen(self, timeout_s: float) -> None:
        """Read a socket pair until there is a frame, the line is gone, or the time is up."""
        if not self._pair or not self._frames.empty():
            return
        until = time.monotonic() + timeout_s
        try:
            while data := self._pair.read_within(until - time.monotonic()):
                self._take(data)
                if not self._frames.empty():
                    return
        except (OSError, TypeError, ValueError) as error:
            why = "interrupted" if self._interrupted else reason(error)
            self._frames.put(LinkError(f"{self.name}: {why}"))

    def _take(self, data: bytes) -> None:
        """Take bytes that came.

        Raises:
            OSError: too many frames came.
        """
        if not data:
            return
        self._words = (self._words + data)[-_WORDS:]
        self._words_at = time.monotonic()
        for kind, seq, body in frames(self._deframer, data):
            if kind < _FROM_DEVICE:
                self.echoed = True  # and no sign of life
                continue
            self.heard_at = time.monotonic()
            self._serves = True
            self._words = b""
            lost = self._expected >= 0 and seq != self._expected
            self._expected = (seq + 1) & 255
            if kind == m.ACK.kind and len(body) == m.ACK.size:
                self.acks += 1
                self.credit.acknowledge(body[0])
                self._taken = body[0]
            else:
                self._frames.put(Frame(kind, body, lost))
        if self._frames.qsize() > _MOST_FRAMES:
            raise OSError("the device sends data nobody asked for; is this an mtjkit board?")
        self.frames_bad = self._deframer.bad


def open_port(url: str, timeout_s: float) -> serial.SerialBase:
    """Open a serial port that no other program has open.

    Args:
        url: /dev/ttyACM0, COM3, a pseudo-terminal's path, socket://host:port.
        timeout_s: how long a read waits for its bytes.

    Raises:
        LinkError: the port is not there, or busy.
    """
    try:
        return serial.serial_for_url(
            url, BAUD, timeout=timeout_s, write_timeout=_WRITE_S, exclusive=True
        )
    except (OSError, ValueError) as error:  # pyserial's own errors are OSErrors
        raise LinkError(f"{url}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """One line that says why a port does not work."""
    text = str(error)
    number = getattr(error, "errno", None)
    if number == 2 or "FileNotFoundError" in text:
        return "there is no such port"
    if number == 13 or "PermissionError" in text:
        return "no permission to open it (on Linux: join the group dialout)"
    if number in (11, 16) or "exclusively lock" in text:
        return "the port is busy: another program has it open"
    broken = isinstance(error, (TypeError, BrokenPipeError, ConnectionResetError))
    if broken or "returned no data" in text or "Input/output" in text:
        return "the connection is gone"
    if "refused" in text:
        return "nothing listens there"
    if "NoneType" in text:  # pyserial, at a socket:// without a host or a port
        return "a socket is written socket://HOST:PORT"
    if number == 25 or "Inappropriate ioctl" in text:
        return "this is not a serial port"
    return " ".join(text.split()) or type(error).__name__
