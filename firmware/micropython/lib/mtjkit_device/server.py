"""The server: takes a model and images from the line, answers with results.

It only answers, and executes nothing that it is sent. Between two images nothing is allocated:
frames are decoded and built in place, images and results lie in slots that the host assigns.
host/PROTOCOL.md is the specification.
"""

import gc
import struct
import time

from mtjkit_core import messages as m
from mtjkit_core.errors import ConfigError, FormatError, MtjkitError, ProtocolError
from mtjkit_core.footprint import ram_bytes
from mtjkit_core.frames import BODY_AT, MAX_FRAME, SEQ_AT, TYPE_AT, Deframer, encode
from mtjkit_core.model import Model

from mtjkit_device import board
from mtjkit_device.engine import Engine
from mtjkit_device.inbox import Inbox, Slot

try:
    from mtjkit_device.fast import copy, seal, sealed
except (ImportError, SyntaxError):  # a port without viper
    from mtjkit_core.frames import copy, seal, sealed

try:
    from hashlib import sha256
except ImportError:  # then the model's own CRC-32 has to do
    sha256 = None

MAX_SLOTS = 8
_HEADROOM = 8192  # bytes of heap that slots leave alone
_BEAT_MS = 1000
_REPEATS = 64  # a frame this far behind the newest is a late copy
_RESULT_BYTES = m.RESULT.size
_IMAGE_AT = BODY_AT + m.IMAGE_DATA.size
_MODEL_AT = BODY_AT + m.MODEL_DATA.size


class RefusedError(MtjkitError):
    """A request that cannot be met: an ERROR message's code and text."""

    def __init__(self, code: int, text: str):
        super().__init__(text)
        self.code = code


class Beating:
    """A kernel that calls `beat` at every layer: see mtjkit_device.engine for the interface."""

    def __init__(self, kernel, beat):
        self._beat = beat
        self._seed = kernel.seed
        self.layer_map = kernel.layer_map
        self.layer_scores = kernel.layer_scores
        self.write = kernel.write
        self.program = kernel.program
        self.erase = kernel.erase

    def seed(self, state, key, image, place):
        self._beat()
        self._seed(state, key, image, place)


class Server:
    """One line, one model, its engine.

    Args:
        line: board.Line, or what reads and writes like it.
    """

    def __init__(self, line):
        self._line = line
        self._deframer = Deframer(sealed, copy)
        self._out = bytearray(MAX_FRAME)
        self._seq = 0
        self._expected = 0
        self._greeted = False
        self._running = True
        self._beat_at = time.ticks_ms()
        self._boot = board.boot_number()
        self._hash = bytes(32)
        self._model = None
        self._inbox = None  # of the model, while it comes
        self._forget_engine()
        self._weights = None  # (seed, threshold, errors) that the weights were written with
        self._weight_bits = (0, 0)
        data = board.mapped_model()
        self._mapped = data is not None
        if self._mapped:
            self._model = Model(data)
            if sha256:
                self._hash = sha256(data).digest()

    def serve(self) -> None:
        """Answer until STOP comes or the line ends."""
        chunk = bytearray(MAX_FRAME)
        deframer = self._deframer
        readinto = self._line.readinto
        wanted = deframer.wanted
        feed = deframer.feed
        try:
            while self._running:
                size = readinto(chunk, wanted())
                if not size:
                    return
                at = 0
                while at < size:
                    at = feed(chunk, at, size)
                    if deframer.body_size >= 0:
                        self._take(deframer.frame, deframer.body_size)
        except OSError:  # a pseudo-terminal whose other end was closed
            pass

    def _take(self, frame, size: int) -> None:
        """Answer one frame."""
        kind = frame[TYPE_AT]
        seq = frame[SEQ_AT]
        if kind == m.HELLO.kind:
            self._expected = seq
            self._greeted = True
        elif not self._greeted:  # restarted in the middle of a run
            if kind != m.IMAGE_DATA.kind and kind != m.MODEL_DATA.kind:
                self._refuse(m.NOT_READY, seq, "restarted: HELLO comes first")
            return
        ahead = (seq - self._expected) & 255
        late = ahead >= 256 - _REPEATS
        if not late:
            if ahead:
                self._reply(m.LOST, self._expected, ahead)
            self._expected = (seq + 1) & 255
        try:
            if kind == m.IMAGE_DATA.kind:
                self._image_data(frame, size, late)
            elif kind == m.MODEL_DATA.kind:
                self._model_data(frame, size)
            elif kind == m.QUERY.kind:
                self._query(frame, size)
            elif kind == m.PING.kind:
                self._reply(m.ACK, self._expected)
            elif not late:  # what changes the state is never done by a late copy
                self._request(kind, seq, frame, size)
        except RefusedError as error:
            self._refuse(error.code, seq, error)
        except (ConfigError, FormatError, ProtocolError) as error:
            self._refuse(m.BAD_REQUEST, seq, error)
        except MemoryError:
            self._refuse(m.TOO_LARGE, seq, "out of memory")
        if self._line.credit:
            self._reply(m.ACK, self._expected)

    def _request(self, kind: int, seq: int, frame, size: int) -> None:
        if kind == m.HELLO.kind:
            self._hello(m.HELLO.unpack_frame(frame, size))
        elif kind == m.CONFIGURE.kind:
            self._configure(m.CONFIGURE.unpack_frame(frame, size))
        elif kind == m.MODEL_BEGIN.kind:
            self._model_begin(*m.MODEL_BEGIN.unpack_frame(frame, size))
            self._reply(m.DONE, seq)
        elif kind == m.MODEL_END.kind:
            self._model_end(seq)
        elif kind == m.STOP.kind:
            self._running = False
            self._reply(m.DONE, seq)
        else:
            raise ProtocolError("message type 0x%02x is unknown" % kind)

    def _send(self, message, size: int) -> None:
        """Send the message whose body of `size` bytes is in the output frame."""
        out = self._out
        out[TYPE_AT] = message.kind
        out[SEQ_AT] = self._seq
        self._seq = (self._seq + 1) & 255
        self._line.write(out, encode(out, size, seal))

    def _reply(self, message, a: int, b: int = 0) -> None:
        """Send a message of one or two bytes."""
        self._out[BODY_AT] = a
        self._out[BODY_AT + 1] = b
        self._send(message, message.size)

    def _refuse(self, code: int, seq: int, error) -> None:
        text = str(error).encode()[: m.MAX_TEXT]
        body = m.ERROR.pack(code, seq, data=text)
        self._out[BODY_AT : BODY_AT + len(body)] = body
        self._send(m.ERROR, len(body))

    def _hello(self, fields) -> None:
        magic, _version, _rest = fields
        if magic != m.MAGIC:
            raise ProtocolError("HELLO without its magic bytes")
        flags = (m.HAS_MODEL if self._model else 0) | (m.MAPPED if self._mapped else 0)
        flags |= m.PROGRAMMED if self._weights else 0
        kernel = m.KERNELS.index(self._engine.kernel) if self._engine else 0
        free = board.free_bytes()
        seed, threshold, errors = self._weights or (0, 0, 0)
        body = m.INFO.pack(
            m.VERSION, flags, kernel, 0, self._line.chunk, self._line.credit, self._boot, free,
            self._hash, seed, threshold, errors, bytes(3), board.unit(), board.name(),
        )  # fmt: skip
        self._out[BODY_AT : BODY_AT + len(body)] = body
        self._send(m.INFO, len(body))

    def _forget_engine(self) -> None:
        self._engine = None
        self._slots = []
        self._configured = None  # fields of the CONFIGURE in force
        self._answer = b""

    def _model_begin(self, size: int, work: int, digest: bytes) -> None:
        if self._mapped:
            raise RefusedError(m.UNUSABLE, "the model is in mapped memory: flash another one")
        if self._inbox and digest == self._hash and size == len(self._inbox.data):
            return  # on its way already
        self._inbox = self._model = None
        self._weights = None
        self._forget_engine()
        free = board.free_bytes()
        try:
            if size + work > free:
                raise MemoryError
            self._inbox = Inbox(bytearray(size), self._line.chunk, copy)
        except MemoryError:
            self._too_large(size + work, free)
        self._hash = digest

    def _too_large(self, needed: int, free: int) -> None:
        raise RefusedError(
            m.TOO_LARGE, "the model needs %d bytes of memory, %d are free" % (needed, free)
        )

    def _model_data(self, frame, size: int) -> None:
        m.MODEL_DATA.check(size)
        if self._inbox:
            offset = m.u32(frame, BODY_AT)
            if not self._inbox.put(offset, frame, _MODEL_AT, size - m.MODEL_DATA.size):
                raise ProtocolError("MODEL_DATA at %d is no chunk of the model" % offset)

    def _model_end(self, seq: int) -> None:
        inbox = self._inbox
        if not inbox and not self._model:
            raise RefusedError(m.NOT_READY, "MODEL_END without a MODEL_BEGIN")
        if inbox:
            if inbox.left:
                return self._missing(m.THE_MODEL, *inbox.gap())
            self._inbox = None
            if sha256 and sha256(inbox.data).digest() != self._hash:
                raise RefusedError(m.BAD_MODEL, "the bytes that came have another SHA-256")
            try:
                self._model = Model(inbox.data)
            except FormatError as error:
                raise RefusedError(m.BAD_MODEL, str(error))
        self._reply(m.DONE, seq)

    def _beat(self) -> None:
        """Between two layers: tell the host, every second, that this device is alive."""
        now = time.ticks_ms()
        if time.ticks_diff(now, self._beat_at) >= _BEAT_MS:
            self._beat_at = now
            self._reply(m.ACK, self._expected)

    def _missing(self, index: int, offset: int, size: int) -> None:
        struct.pack_into(m.MISSING.format, self._out, BODY_AT, index, offset, size)
        self._send(m.MISSING, m.MISSING.size)

    def _configure(self, fields) -> None:
        if not self._model:
            raise RefusedError(m.NOT_READY, "no model is loaded")
        if fields != self._configured:
            self._configured = None
            run, seed, threshold, weight_threshold, errors, kernel = fields
            if kernel >= len(m.KERNELS):
                raise RefusedError(m.UNUSABLE, "kernel number %d is unknown" % kernel)
            try:
                self._build(m.KERNELS[kernel])
                self._program((seed, weight_threshold, errors) if weight_threshold else None)
                self._engine.configure(seed, threshold, errors)
            except ConfigError as error:
                raise RefusedError(m.UNUSABLE, str(error))
            for slot in self._slots:
                slot.begin(-1)
            self._answer = m.CONFIGURED.pack(
                run, m.KERNELS.index(self._engine.kernel), len(self._slots), 0, *self._weight_bits
            )
            self._configured = fields
        self._out[BODY_AT : BODY_AT + len(self._answer)] = self._answer
        self._send(m.CONFIGURED, len(self._answer))

    def _build(self, kernel: str) -> None:
        """Make the engine and as many slots as the memory has room for."""
        if self._engine and kernel in ("auto", self._engine.kernel):
            return
        self._forget_engine()
        height, width, channels = self._model.input_shape
        size = height * width * channels
        slot_bytes = size + 4 * self._model.classes + size // self._line.chunk + 256
        needed = ram_bytes(self._model, kernel) + slot_bytes
        free = board.free_bytes()
        try:
            if needed > free:
                raise MemoryError
            self._engine = Engine(self._model, kernel)
            self._engine._kernel = Beating(self._engine._kernel, self._beat)
            room = (board.free_bytes() - _HEADROOM) // slot_bytes
            for _ in range(min(MAX_SLOTS, max(1, room))):
                self._slots.append(Slot(size, self._model.classes, self._line.chunk, copy))
        except MemoryError:
            self._forget_engine()
            self._too_large(needed, free)
        gc.collect()

    def _program(self, wanted) -> None:
        """Have the weights written as wanted: (seed, threshold, errors), None for no errors."""
        if wanted == self._weights:
            if not wanted:
                self._weight_bits = (self._model.weight_bits, 0)
            return
        if self._mapped:
            raise ConfigError("the model is in mapped memory: flash it with its weight errors")
        if self._weights:
            raise RefusedError(m.NOT_READY, "the weights have other errors: send the model again")
        self._weight_bits = self._engine.program(*wanted)
        self._weights = wanted

    def _image_data(self, frame, size: int, late: bool) -> None:
        if size < m.IMAGE_DATA.size:
            m.IMAGE_DATA.check(size)
        if not self._configured:
            return  # the host will ask
        slot = self._slot(frame[BODY_AT + 8])
        index = m.u32(frame, BODY_AT)
        if index != slot.index:
            if late:
                return
            if index > m.MAX_INDEX:
                raise ProtocolError("image index %d; %d is the highest" % (index, m.MAX_INDEX))
            slot.begin(index)
        if slot.done:
            return
        offset = m.u32(frame, BODY_AT + 4)
        if not slot.put(offset, frame, _IMAGE_AT, size - m.IMAGE_DATA.size):
            raise ProtocolError("IMAGE_DATA at %d is no chunk of the image" % offset)
        if not slot.left:
            self._compute(slot)

    def _slot(self, number: int):
        """The slot of that number.

        Raises:
            RefusedError: there is no configuration yet.
            ProtocolError: there is no such slot.
        """
        if not self._configured:
            raise RefusedError(m.NOT_READY, "not configured")
        if number >= len(self._slots):
            raise ProtocolError("slot %d of %d" % (number, len(self._slots)))
        return self._slots[number]

    def _compute(self, slot) -> None:
        engine = self._engine
        self._beat_at = time.ticks_ms()
        start = time.ticks_us()
        engine.run(slot.data, slot.index)
        slot.take(time.ticks_diff(time.ticks_us(), start), engine.counts, engine.scores)
        self._results(slot)

    def _results(self, slot) -> None:
        """Send a slot's result, in as many parts as its scores need."""
        out = self._out
        counts = slot.counts
        classes = len(slot.scores)
        first = 0
        while first < classes:
            struct.pack_into(
                m.RESULT.format, out, BODY_AT, slot.index, first, classes, slot.us,
                counts[0], counts[1], counts[2],
            )  # fmt: skip
            at = BODY_AT + _RESULT_BYTES
            last = min(first + m.SCORES_PER_RESULT, classes)
            while first < last:
                struct.pack_into("<i", out, at, slot.scores[first])
                first += 1
                at += 4
            self._send(m.RESULT, at - BODY_AT)

    def _query(self, frame, size: int) -> None:
        m.QUERY.check(size)
        index = m.u32(frame, BODY_AT)
        slot = self._slot(frame[BODY_AT + 4])
        if slot.index != index:
            self._missing(index, 0, len(slot.data))
        elif slot.done:
            self._results(slot)
        else:
            self._missing(index, *slot.gap())
