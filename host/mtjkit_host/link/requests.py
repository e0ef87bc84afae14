"""Requests to a device, each repeated until it is answered, and the upload of a model."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from mtjkit_core import messages as m
from mtjkit_core.blocks import MODEL_BLOCK, TAKES_BLOCKS
from mtjkit_core.chip_errors import ChipErrors
from mtjkit_core.errors import ConfigError, FormatError, LinkError, MtjkitError, ProtocolError
from mtjkit_core.write_errors import LIMITS_BYTES, WriteErrors, pack_limits

from mtjkit_host.link.link import FEW_ZEROS, Frame, Link

FIRST_PROBE_S = 0.25
LONGEST_PROBE_S = 4.0
BOOT_S = 60.0  # that a board may take to start its main.py
_WAKE_AFTER = 0.25  # of the time that a first answer may take: it may just be starting
_HELLO_STUCK = 2  # times the silence that is allowed, a device may take over its first answer
_MAC_S = 1e-6  # on the slowest device there is, an emulated Pico with the kernel viper
_PYTHON_MAC_S = 1e-4  # the same with the kernel python
_MOST_FRAMES = 1 << 12  # that are not the answer waited for, or that got lost
_MODEL_STUCK_S = 30.0  # in which at least one byte of a model must arrive that was missing
_BATCH = 16  # chunks of a model sent between two looks at what came back
_BLOCK = 1024  # chunks of a model in a block


class DeviceResetError(LinkError):
    """The device lost its model or configuration: it was reset. Program it again."""


_ERRORS: dict[int, type[MtjkitError]] = {
    m.WRONG_VERSION: ProtocolError,
    m.TOO_LARGE: ConfigError,
    m.BAD_MODEL: FormatError,
    m.NOT_READY: DeviceResetError,
    m.BAD_REQUEST: ProtocolError,
    m.UNUSABLE: ConfigError,
}


@dataclass(frozen=True)
class Info:
    """What a device says of itself."""

    has_model: bool
    """Whether a model is there and ready."""
    mapped: bool
    """The model lies in mapped read-only memory."""
    takes_blocks: bool
    """It takes data behind a frame."""
    weights: bytes | None
    """WriteErrors.weights_digest of the errors its weights were written with, zeros where the
    device cannot tell; None: without errors."""
    model_sha256: bytes
    """Of the model that is there, as it was sent."""
    kernel: str
    """The kernel that it has taken; "auto" if it has none yet."""
    chunk: int
    """Data bytes of a frame."""
    credit: int
    """Bytes that the device can take while it computes; 0: the line has flow control."""
    boot: int
    """Another number after every start."""
    free_bytes: int
    """Free memory."""
    used_bytes: int
    """Memory in use: no image adds to it."""
    unit: bytes
    """The board's own number, zeros if it has none."""
    board: str
    """What the machine calls itself."""

    @classmethod
    def from_body(cls, body: bytes) -> Info:
        """Read an INFO message.

        Raises:
            ProtocolError: the firmware speaks another version, or its INFO makes no sense.
        """
        if body and body[0] != m.VERSION:
            raise ProtocolError(
                f"the firmware speaks protocol version {body[0]}, this mtjkit speaks "
                f"{m.VERSION}: put this mtjkit's firmware on the board"
            )
        f = m.INFO.unpack(body)
        if not 1 <= f.chunk <= m.CHUNK or 0 < f.credit < m.MIN_CREDIT:
            raise ProtocolError(f"INFO with chunks of {f.chunk} and credit of {f.credit} bytes")
        if f.reserved or f.kernel >= len(m.KERNELS):
            raise ProtocolError("INFO with reserved fields that are not 0, or an unknown kernel")
        text = f.board.rstrip(b"\0").decode("ascii", "replace")
        return cls(
            has_model=bool(f.flags & m.HAS_MODEL),
            mapped=bool(f.flags & m.MAPPED),
            takes_blocks=bool(f.flags & TAKES_BLOCKS),
            weights=f.weights if f.flags & m.PROGRAMMED else None,
            model_sha256=f.sha256,
            kernel=m.KERNELS[f.kernel],
            chunk=f.chunk,
            credit=f.credit,
            boot=f.boot,
            free_bytes=f.free,
            used_bytes=f.used,
            unit=f.unit,
            board="".join(c if c.isprintable() else "?" for c in text),
        )


class Requests:
    """The device at the other end of a link.

    Args:
        link: an open link; the caller closes it.
        timeout_s: how long the device may be silent before it counts as gone.
    """

    def __init__(self, link: Link, timeout_s: float) -> None:
        self.link = link
        self.timeout_s = timeout_s
        self._work_s = 0.0
        self._again = 0  # frames of a model sent again

    def allow(self, kernel: str, macs: int) -> None:
        """Set how long the device may take over one answer or image, whatever else it sends.

        Args:
            kernel: the kernel that it is asked to take.
            macs: multiply-accumulates of an image.
        """
        self._work_s = macs * (_PYTHON_MAC_S if kernel == "python" else _MAC_S)

    def hello(self, timeout_s: float) -> Info:
        """Greet the device, which also sets its sequence numbers; one at its prompt is woken.

        Raises:
            LinkError: nothing answers.
            ProtocolError: the firmware speaks another protocol version.
        """
        self.link.credit.limit = 0
        self.link.patience_s = timeout_s
        self.link.stuck_s = _HELLO_STUCK * timeout_s
        body = m.HELLO.pack(m.MAGIC, m.VERSION)
        try:
            try:
                answer = self.request(m.HELLO, body, m.INFO, timeout_s=_WAKE_AFTER * timeout_s)
            except SilenceError:
                self.link.wake()
                answer = self.request(m.HELLO, body, m.INFO, timeout_s=timeout_s)
            info = Info.from_body(answer.body)
        except SilenceError:
            raise LinkError(f"{self.link.name}: {self._why_silent()}") from None
        if info.credit:
            self._settle(timeout_s)
            self.link.zeros = FEW_ZEROS
        self.link.credit.limit = 0 if self.link.loses_nothing else info.credit
        self.link.patience_s = self.timeout_s
        self.link.stuck_s = self.timeout_s + self._work_s
        return info

    def _why_silent(self) -> str:
        """What to say of a device that does not answer to HELLO."""
        said = self.link.said
        if self.link.echoed:
            return "this line sends back what is sent to it: an echo, not an mtjkit board"
        if self.link.program_ended:
            return f"the board's program ended: {self.link.error_said}"
        if self.link.shows_prompt:
            return "MicroPython's prompt is there, but no mtjkit: flash the board"
        told = f" What comes from there: {said}" if said else ""
        return f"no mtjkit answers there; is its firmware on the board and running?{told}"

    def _is_over(self, message: m.Message, started: float, limit_s: float) -> bool:
        """Whether a request has waited long enough for the device to be called silent."""
        now = time.monotonic()
        silent_s = now - max(started, self.link.heard_at)
        if message is not m.HELLO:
            return silent_s > limit_s or now - started > limit_s + self._work_s
        # A board that starts anew may be slow in its boot.py, or have said why it does not start.
        limit_s = max(limit_s, BOOT_S) if self.link.is_starting else limit_s
        late = silent_s > limit_s or now - started > _HELLO_STUCK * limit_s
        return late or self.link.program_ended

    def _settle(self, timeout_s: float) -> None:
        """Wait until the answers end: a HELLO said again may still lie in the device's buffer."""
        until = time.monotonic() + timeout_s
        while self.link.receive(FIRST_PROBE_S) and time.monotonic() < until:
            pass

    def request(
        self,
        message: m.Message,
        body: bytes,
        *answers: m.Message,
        accept: Callable[[Frame], bool] = lambda frame: True,
        timeout_s: float | None = None,
    ) -> Frame:
        """Send a request until it is answered; returns the answer.

        Args:
            message, body: the request.
            answers: kinds of message that answer it. DONE answers only this very request.
            accept: False for an answer that belongs to another request.
            timeout_s: how long the device may be silent, if not the usual time.

        Raises:
            MtjkitError: what the device objects, as the error it stands for.
            LinkError: the device is silent, gone, or sends all but an answer.
        """
        limit = self.timeout_s if timeout_s is None else timeout_s
        kinds = [answer.kind for answer in answers]
        seqs: set[int] = set()
        wait_s = FIRST_PROBE_S
        started = time.monotonic()
        useless = 0
        while True:
            if seqs or message is m.HELLO:
                seqs.add(self.link.repeat(message.kind, body))
            else:
                seqs.update(self.link.send(message.kind, body))
            until = time.monotonic() + wait_s
            while (left := until - time.monotonic()) > 0:
                frame = self.link.receive(left)
                if frame is None:
                    break
                if frame.kind == m.ERROR.kind:
                    error, seq = device_error(frame.body)
                    if seq in seqs:
                        raise error
                elif frame.kind in kinds:
                    mine = frame.kind != m.DONE.kind or m.DONE.unpack(frame.body).seq in seqs
                    if mine and accept(frame):
                        return frame
                useless += 1
                if useless > _MOST_FRAMES:
                    raise SilenceError(f"{self.link.name}: the device sends all but an answer")
                if self._is_over(message, started, limit):
                    break
            if self._is_over(message, started, limit):
                raise SilenceError(f"{self.link.name}: the device does not answer")
            wait_s = min(2 * wait_s, max(LONGEST_PROBE_S, limit / 8))  # for devices slow to answer

    def send_limits(self, run: int, errors: WriteErrors) -> None:
        """Send what of an error process does not fit CONFIGURE: limits by layer.

        Args:
            run: number of the run whose CONFIGURE follows.
            errors: the error process.

        Raises:
            ConfigError, FormatError, ProtocolError: the device objects.
            LinkError: the device is silent or gone.
        """
        for what, part in enumerate(limit_parts(errors)):
            for at in range(0, len(part), m.LAYERS_PER_FRAME * LIMITS_BYTES):
                data = part[at : at + m.LAYERS_PER_FRAME * LIMITS_BYTES]
                layers = len(data) // LIMITS_BYTES
                body = m.WRITE_ERRORS.pack(run, what, at // LIMITS_BYTES, layers, 0, data=data)
                self.request(m.WRITE_ERRORS, body, m.DONE)

    def upload(
        self,
        model: bytes,
        work_bytes: int,
        chunk: int,
        progress: Callable[[int, int], None] | None = None,
        blocks: bool = False,
    ) -> None:
        """Send a model; what got lost is sent again until the device has all of it.

        Args:
            model: the bytes of an .mtjb file.
            work_bytes: memory that the device will need beside it.
            chunk: data bytes of a frame.
            progress: called with (bytes sent, bytes in all).
            blocks: whether to send it in blocks first.

        Raises:
            FormatError, ConfigError: the device cannot take it.
            ProtocolError: it lacks what makes no sense.
            LinkError: the device is silent or gone, or does not take the model.
        """
        self._again = 0
        digest = hashlib.sha256(model).digest()
        self.request(m.MODEL_BEGIN, m.MODEL_BEGIN.pack(len(model), work_bytes, digest), m.DONE)
        if blocks:
            self._send_blocks(model, _BLOCK * chunk, progress)
        else:
            self._send_model(model, chunk, 0, len(model), progress)
        there, grew_at = -1, time.monotonic()
        while True:
            answer = self.request(m.MODEL_END, b"", m.DONE, m.MISSING)
            if answer.kind == m.DONE.kind:
                return
            lacks = m.MISSING.unpack(answer.body)
            end = lacks.offset + lacks.size
            whole = lacks.offset % chunk == 0 and lacks.offset < end <= len(model)
            if lacks.index != m.THE_MODEL or not whole:
                raise ProtocolError(f"MISSING {lacks.size} bytes at {lacks.offset} of the model")
            now = time.monotonic()
            if lacks.offset > there:
                there, grew_at = lacks.offset, now
            elif now - grew_at > min(self.timeout_s, _MODEL_STUCK_S):
                raise LinkError(
                    f"{self.link.name}: the device does not take the model: it lacks byte {there} "
                    f"after {now - grew_at:.0f} s of sending it again"
                )
            self._send_model(model, chunk, lacks.offset, end, None)

    def _send_blocks(
        self, model: bytes, step: int, progress: Callable[[int, int], None] | None
    ) -> None:
        for at in range(0, len(model), step):
            data = model[at : at + step]
            body = MODEL_BLOCK.pack(at, len(data))
            self.link.send_block(MODEL_BLOCK.kind, body, data)
            if progress:
                progress(at + len(data), len(model))

    def _send_model(
        self,
        model: bytes,
        chunk: int,
        start: int,
        end: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        step = _BATCH * chunk
        for at in range(start, end, step):
            stop = min(at + step, end)
            self.link.send(
                m.MODEL_DATA.kind,
                *(
                    m.MODEL_DATA.pack(i, data=model[i : min(i + chunk, stop)])
                    for i in range(at, stop, chunk)
                ),
            )
            while frame := self.link.receive(0):
                if frame.kind == m.ERROR.kind:
                    raise device_error(frame.body)[0]
                if frame.kind == m.LOST.kind:
                    for kind, body in self.link.sent(*m.LOST.unpack(frame.body)):
                        if kind == m.MODEL_DATA.kind:
                            self.link.send(kind, body)
                            self._again += 1
                    if self._again > _MOST_FRAMES + 4 * (len(model) // chunk):
                        raise LinkError(f"{self.link.name}: the device loses all that it is sent")
            if progress:
                progress(stop, len(model))


class SilenceError(LinkError, TimeoutError):
    """The device did not answer in time."""


def limit_parts(errors: WriteErrors) -> list[bytes]:
    """What of an error process does not fit CONFIGURE, by the sort of WRITE_ERRORS; or b""."""
    parts = [
        pack_limits(pairs) if len(pairs) > 1 else b""
        for pairs in (errors.limits, errors.weight_limits)
    ]
    return [*parts, *errors.parts()] if isinstance(errors, ChipErrors) else parts


def device_error(body: bytes) -> tuple[MtjkitError, int]:
    """What an ERROR message says, as an exception, and the request's sequence number."""
    code, seq, raw = m.ERROR.unpack(body)
    text = "".join(c if c.isprintable() else "?" for c in raw.decode("utf-8", "replace"))
    return _ERRORS.get(code, ProtocolError)(f"the device says: {text}"), seq
