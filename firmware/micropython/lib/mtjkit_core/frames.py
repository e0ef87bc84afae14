"""Frames: COBS with a CRC-32, as host/PROTOCOL.md defines them. No I/O happens here.

On the wire: one code byte, then type, sequence number, body and CRC-32 with every zero byte
replaced by COBS, then a zero. At most 254 bytes are stuffed, so COBS always costs one byte and
works in place: a frame is always 8 bytes longer than its body.

COBS: Cheshire and Baker, "Consistent overhead byte stuffing", IEEE/ACM Trans. Netw. 7(2), 1999.
"""

import binascii
import struct

MAX_BODY = 248
MAX_FRAME = 256  # on the wire, with the zero that ends it
TYPE_AT = 1  # offsets in a frame buffer
SEQ_AT = 2
BODY_AT = 3
CRC_BYTES = 4
OVERHEAD = BODY_AT + CRC_BYTES + 1

_ZERO = b"\0"
_SHORTEST_FRAMES = bytes([OVERHEAD]) * 256


def seal(frame, end: int) -> None:
    """Append the CRC-32 of frame[1:end]."""
    struct.pack_into("<I", frame, end, binascii.crc32(memoryview(frame)[TYPE_AT:end]) & 0xFFFFFFFF)


def crc_is_right(frame, end: int) -> bool:
    """True if the four bytes before `end` are the CRC-32 of what lies between byte 1 and them."""
    crc = binascii.crc32(memoryview(frame)[TYPE_AT : end - CRC_BYTES]) & 0xFFFFFFFF
    (there,) = struct.unpack_from("<I", frame, end - CRC_BYTES)
    return bool(there == crc)


def copy(target, at: int, source, start: int, size: int) -> None:
    """Copy `size` bytes of `source` from `start` to `target` at `at`."""
    target[at : at + size] = source[start : start + size]


def encode(frame, body_size: int, seal=seal) -> int:
    """Finish a frame in place; returns its length on the wire.

    Args:
        frame: bytearray(MAX_FRAME) with type, sequence number and body from byte 1 on.
        body_size: bytes of the body, 0 .. MAX_BODY.
        seal: what appends the CRC (a faster twin of `seal`, say).
    """
    end = BODY_AT + body_size
    seal(frame, end)
    end += CRC_BYTES
    frame[end] = 0
    at = 0  # where the next code byte goes
    while at < end:
        zero = frame.find(_ZERO, at + 1, end + 1)
        frame[at] = zero - at
        at = zero
    return end + 1


def pack(kind: int, seq: int, body=b"") -> bytes:
    """One frame as bytes.

    Raises:
        ValueError: the body is longer than MAX_BODY.
    """
    if len(body) > MAX_BODY:
        raise ValueError("a body has %d bytes; the maximum is %d" % (len(body), MAX_BODY))
    frame = bytearray(MAX_FRAME)
    frame[TYPE_AT] = kind
    frame[SEQ_AT] = seq
    frame[BODY_AT : BODY_AT + len(body)] = body
    return bytes(memoryview(frame)[: encode(frame, len(body))])


class Deframer:
    """Cuts a stream of bytes, fed in chunks of any size, into frames.

    Only a zero ends a frame, so that after garbage the next zero brings both sides together
    again. Empty frames are skipped. What is too long, badly stuffed or fails its CRC is dropped
    and counted.

    Args:
        crc_is_right, copy: the functions of this module, or faster twins.
        shortest_frames: bytes of the shortest frame of each type.

    Attributes:
        frame: the buffer; after `feed` found a frame, type, sequence number and body from byte 1.
        body_size: length of that body, or -1 when no frame is ready.
        bad: number of frames dropped.
    """

    def __init__(self, crc_is_right=crc_is_right, copy=copy, shortest_frames=_SHORTEST_FRAMES):
        self.frame = bytearray(MAX_FRAME)
        self.body_size = -1
        self.bad = 0
        self._size = 0  # bytes of the frame so far; MAX_FRAME when it is too long
        self._announced = False  # the last byte was a zero that ended nothing
        self._code_at = 0  # the code byte that comes next, as far as the frame is known
        self._crc_is_right = crc_is_right
        self._copy = copy
        self._shortest_frames = shortest_frames

    def wanted(self) -> int:
        """How many bytes are sure to come up to the end of the frame: 1 .. 255.

        At least this many more bytes belong to the current frame, by its COBS code or by the
        minimum length of its type. Between frames the answer is 1; after a zero that ended
        nothing, a frame or more zeros follow. A port whose reads block until their buffer is
        full reads this many. If bytes were lost, the port waits for ones that do not come: the
        peer sends zeros before it repeats a message.
        """
        size = self._size
        if not size:
            return OVERHEAD if self._announced else 1
        if self._code_at >= MAX_FRAME:
            return 1
        shortest = self._shortest_frames[self.frame[TYPE_AT]] if size > TYPE_AT else OVERHEAD
        return max(self._code_at + 1, shortest) - size

    def feed(self, chunk: bytes, start: int, end: int) -> int:
        """Take bytes from chunk[start:end] up to the end of a frame; returns where to go on.

        Args:
            chunk: bytes or bytearray.
        """
        self.body_size = -1
        zero = chunk.find(_ZERO, start, end)
        size = (end if zero < 0 else zero) - start
        if self._size + size >= MAX_FRAME:
            self._size = self._code_at = MAX_FRAME
        elif size:
            self._copy(self.frame, self._size, chunk, start, size)
            self._size += size
            while self._code_at < self._size:
                self._code_at += self.frame[self._code_at]
        if zero < 0:
            return end
        self._announced = self._size == 0
        if self._size:
            self._finish()
        return zero + 1

    def _finish(self) -> None:
        """Undo the stuffing in place and check the frame."""
        size = self._size
        good = self._code_at == size and OVERHEAD - 1 <= size < MAX_FRAME
        self._size = self._code_at = 0
        if good:
            frame = self.frame
            at = frame[0]
            while at < size:
                code = frame[at]
                frame[at] = 0
                at += code
            good = self._crc_is_right(frame, size)
        if good:
            self.body_size = size - OVERHEAD + 1
        else:
            self.bad += 1


def frames(deframer: Deframer, chunk):
    """Feed one chunk to a deframer and yield each frame in it as (type, seq, body bytes)."""
    at = 0
    while at < len(chunk):
        at = deframer.feed(chunk, at, len(chunk))
        if deframer.body_size >= 0:
            frame = deframer.frame
            yield (
                frame[TYPE_AT],
                frame[SEQ_AT],
                bytes(memoryview(frame)[BODY_AT : BODY_AT + deframer.body_size]),
            )
