"""The server: takes a model and images from the line, answers with results.

It only answers, and executes nothing that it is sent. Between two images nothing is allocated:
frames are decoded and built in place, images and results lie in slots that the host assigns.
host/PROTOCOL.md is the specification.
"""

import gc
import struct
import sys
import time

from mtjkit_core import forget
from mtjkit_core import messages as m
from mtjkit_core.errors import MtjkitError, ProtocolError
from mtjkit_core.frames import BODY_AT, MAX_FRAME, OVERHEAD, SEQ_AT, TYPE_AT, Deframer, encode, peek

from mtjkit_device import board
from mtjkit_device.session import RefusedError, Session

try:
    from mtjkit_device.frames_viper import copy, crc_is_right, seal, unstuff
except (ImportError, SyntaxError):  # a port without viper
    from mtjkit_core.frames import copy, crc_is_right, seal, unstuff

_BEAT_MS = 1000
# A computer has memory enough, and would compile the source of `setup` again and again.
_FORGETS = sys.platform not in ("linux", "darwin")
_LOADING = 4096  # bytes that loading `setup` takes for a moment, beyond its own
_REPEATS = 64  # a frame this far behind the newest is a late copy
# Offsets in a frame of what is read without unpacking, which allocates.
_MODEL_OFFSET_AT = m.MODEL_DATA.at("offset")
_MODEL_AT = m.MODEL_DATA.at("data")
_INDEX_AT = m.IMAGE_DATA.at("index")
_OFFSET_AT = m.IMAGE_DATA.at("offset")
_SLOT_AT = m.IMAGE_DATA.at("slot")
_IMAGE_AT = m.IMAGE_DATA.at("data")
_ASKED_INDEX_AT = m.QUERY.at("index")
_ASKED_SLOT_AT = m.QUERY.at("slot")
_SCORES_AT = m.RESULT.at("data")


class Server:
    """One line, one model, its engine.

    Args:
        line: serial_line.Line, or what reads and writes like it.
    """

    def __init__(self, line):
        self._line = line
        self._deframer = Deframer(crc_is_right, copy, unstuff, self._shortest)
        self._out = bytearray(MAX_FRAME)
        self._seq = 0
        self.expected = 0
        self._greeted = False
        self._running = True
        self._beat_at = time.ticks_ms()
        self.session = Session(line, copy, self._beat)
        self._blocks = None
        if not _FORGETS:  # now, so that it does not lie between others' buffers
            from mtjkit_device import setup  # noqa: F401

            if not line.credit:
                from mtjkit_device.blocks import Blocks

                self._blocks = Blocks(self, line)
                self.session.flags = self._blocks.flag

    def serve(self) -> None:
        """Answer until STOP comes or the line ends."""
        chunk = bytearray(MAX_FRAME)
        deframer = self._deframer
        readinto = self._line.readinto
        wanted = deframer.wanted
        feed = deframer.feed
        blocks = self._blocks
        try:
            while self._running:
                source = chunk
                if blocks and blocks.follow:
                    source = blocks.head
                    size = blocks.read()
                    if size < 0:
                        continue
                else:
                    size = readinto(chunk, wanted())
                if not size:
                    return
                at = 0
                while at < size:
                    at = feed(source, at, size)
                    if deframer.body_size >= 0:
                        self.take(deframer.frame, deframer.body_size)
        except OSError:  # a pseudo-terminal whose other end was closed
            pass

    def _shortest(self, frame, size: int) -> int:
        """Bytes that the frame under way has at least: of data, by where their chunk lies."""
        kind = frame[TYPE_AT]
        if kind >= len(m.SHORTEST_FRAMES):
            return OVERHEAD
        shortest = m.SHORTEST_FRAMES[kind]
        session = self.session
        at = _OFFSET_AT
        of = session.slots[0] if session.slots else None
        if kind == m.MODEL_DATA.kind:
            at = _MODEL_OFFSET_AT
            of = session.incoming
        elif kind != m.IMAGE_DATA.kind:
            return shortest
        if of and size >= shortest:
            offset = peek(frame, at)
            if 0 <= offset < len(of.data):
                shortest += min(len(of.data) - offset, session.chunk)
        return shortest

    def take(self, frame, size: int) -> None:
        """Answer one frame."""
        kind = frame[TYPE_AT]
        seq = frame[SEQ_AT]
        if kind == m.HELLO.kind:
            self.expected = seq
            self._greeted = True
        elif not self._greeted:  # restarted in the middle of a run
            if kind != m.IMAGE_DATA.kind and kind != m.MODEL_DATA.kind:
                self._refuse(m.NOT_READY, seq, "restarted: HELLO comes first")
            return
        ahead = (seq - self.expected) & 255
        late = ahead >= 256 - _REPEATS
        if not late:
            if ahead:
                self._reply(m.LOST, self.expected, ahead)
            self.expected = (seq + 1) & 255
        try:
            if kind == m.IMAGE_DATA.kind:
                self._image_data(frame, size, late)
            elif kind == m.MODEL_DATA.kind:
                self._model_data(frame, size)
            elif self._blocks and kind in self._blocks.kinds:
                self._blocks.take(frame, size)
            elif kind == m.QUERY.kind:
                self._query(frame, size)
            elif kind == m.PING.kind:
                self._reply(m.ACK, self.expected)
            elif not late:  # what changes the state is never done by a late copy
                self._request(kind, seq, frame, size)
        except RefusedError as error:
            if error.code == m.WRONG_VERSION:
                self._greeted = False
            self._refuse(error.code, seq, error)
        except MtjkitError as error:
            self._refuse(m.BAD_REQUEST, seq, error)
        except MemoryError:
            self._refuse(m.TOO_LARGE, seq, "out of memory")
        if self._line.credit:
            self._reply(m.ACK, self.expected)

    def _request(self, kind: int, seq: int, frame, size: int) -> None:
        if kind == m.STOP.kind:
            self._running = False
            self._reply(m.DONE, seq)
            return
        session = self.session
        session.free = board.free_bytes()
        session.used = gc.mem_alloc()
        from mtjkit_device import setup

        try:
            message, body = setup.answer(session, kind, seq, frame, size)
        finally:
            if _FORGETS and session.configured and board.free_bytes() >= _LOADING:
                forget("mtjkit_device.setup")
                forget("mtjkit_core.write_errors")
        self._send_body(message, body)

    def _send(self, message, size: int) -> None:
        """Send the message whose body of `size` bytes is in the output frame."""
        out = self._out
        out[TYPE_AT] = message.kind
        out[SEQ_AT] = self._seq
        self._seq = (self._seq + 1) & 255
        self._line.write(out, encode(out, size, seal))

    def _send_body(self, message, body: bytes) -> None:
        """Send a message with the given body."""
        self._out[BODY_AT : BODY_AT + len(body)] = body
        self._send(message, len(body))

    def _reply(self, message, a: int, b: int = 0) -> None:
        """Send a message of one or two bytes."""
        self._out[BODY_AT] = a
        self._out[BODY_AT + 1] = b
        self._send(message, message.size)

    def _refuse(self, code: int, seq: int, error) -> None:
        text = str(error).encode()[: m.MAX_TEXT]
        self._send_body(m.ERROR, m.ERROR.pack(code, seq, data=text))

    def _model_data(self, frame, size: int) -> None:
        m.MODEL_DATA.check(size)
        incoming = self.session.incoming
        offset = m.u32(frame, _MODEL_OFFSET_AT)
        if incoming and not incoming.put(offset, frame, _MODEL_AT, size - m.MODEL_DATA.size):
            raise ProtocolError("MODEL_DATA at %d is not a chunk of the model" % offset)

    def _beat(self) -> None:
        """Between two layers: tell the host, every second, that this device is alive."""
        now = time.ticks_ms()
        if time.ticks_diff(now, self._beat_at) >= _BEAT_MS:
            self._beat_at = now
            self._reply(m.ACK, self.expected)

    def missing(self, index: int, offset: int, size: int) -> None:
        struct.pack_into(m.MISSING.format, self._out, BODY_AT, index, offset, size)
        self._send(m.MISSING, m.MISSING.size)

    def _image_data(self, frame, size: int, late: bool) -> None:
        if size < m.IMAGE_DATA.size:
            m.IMAGE_DATA.check(size)
        if not self.session.configured:
            return  # the host will ask
        slot = self.session.slot(frame[_SLOT_AT])
        index = m.u32(frame, _INDEX_AT)
        if index != slot.index:
            if late:
                return
            if index > m.MAX_INDEX:
                raise ProtocolError("image index %d; the highest is %d" % (index, m.MAX_INDEX))
            slot.begin(index)
        if slot.done:
            return
        offset = m.u32(frame, _OFFSET_AT)
        if not slot.put(offset, frame, _IMAGE_AT, size - m.IMAGE_DATA.size):
            raise ProtocolError("IMAGE_DATA at %d is not a chunk of the image" % offset)
        if not slot.left:
            self.compute(slot)

    def compute(self, slot) -> None:
        """Compute a slot's image and send its result."""
        engine = self.session.engine
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
                counts[0], counts[1], counts[2], counts[3], counts[4],
            )  # fmt: skip
            at = _SCORES_AT
            last = min(first + m.SCORES_PER_RESULT, classes)
            while first < last:
                struct.pack_into("<i", out, at, slot.scores[first])
                first += 1
                at += 4
            self._send(m.RESULT, at - BODY_AT)

    def _query(self, frame, size: int) -> None:
        m.QUERY.check(size)
        index = m.u32(frame, _ASKED_INDEX_AT)
        slot = self.session.slot(frame[_ASKED_SLOT_AT])
        if slot.index != index:
            self.missing(index, 0, len(slot.data))
        elif slot.done:
            self._results(slot)
        else:
            self.missing(index, *slot.gap())
