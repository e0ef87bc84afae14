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


def unstuff(frame, size: int) -> bool:
    """Undo the stuffing of frame[:size] in place; False if its codes do not end there."""
    at = frame[0]
    while at < size:
        code = frame[at]
        frame[at] = 0
        at += code
    return at == size


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


def peek(frame, at: int) -> int:
    """The little-endian u32 at `at` of a frame that is still stuffed; -1 from 2**24 on."""
    code = 0
    while code < at:
        code += frame[code]
    value = 0
    for i in range(4):
        if at + i == code:  # a zero is stuffed
            code += frame[code]
        elif i == 3:
            return -1
        else:
            value |= frame[at + i] << 8 * i
    return value


class Deframer:
    """Cuts a stream of bytes, fed in chunks of any size, into frames.

    Only a zero ends a frame, so that after garbage the next zero brings both sides together
    again. Empty frames are skipped. What is too long, badly stuffed or fails its CRC is dropped
    and counted.

    Args:
        crc_is_right, copy, unstuff: the functions of this module, or faster twins.
        shortest: shortest(frame, size) tells how many bytes the frame under way has at least, from
            its first `size` bytes, which are still stuffed and hold the type; default OVERHEAD.

    Attributes:
        frame: the buffer; after `feed` found a frame, type, sequence number and body from byte 1.
        body_size: length of that body, or -1 when no frame is ready.
        bad: number of frames dropped.
    """

    def __init__(self, crc_is_right=crc_is_right, copy=copy, unstuff=unstuff, shortest=None):
        self.frame = bytearray(MAX_FRAME)
        self.body_size = -1
        self.bad = 0
        self._size = 0  # bytes of the frame so far; MAX_FRAME when it is too long
        self._announced = False  # the last byte was a zero that ended nothing
        self._code_at = 0  # the code byte that comes next, as far as the frame is known
        self._crc_is_right = crc_is_right
        self._copy = copy
        self._unstuff = unstuff
        self._shortest = shortest

    def wanted(self) -> int:
        """How many bytes are sure to come up to the end of the frame: 1 .. 255.

        At least this many more bytes belong to the current frame, by its COBS code or by what
        `shortest` tells; where data are zeros, codes promise one byte at a time. Between frames the
        answer is 1; after a zero that ended nothing, a frame or more zeros follow. A port whose
        reads block until their buffer is full reads this many. If bytes were lost, the port waits
        for ones that do not come: the peer sends zeros before it repeats a message.
        """
        size = self._size
        if not size:
            return OVERHEAD if self._announced else 1
        if self._code_at >= MAX_FRAME:
            return 1
        shortest = OVERHEAD
        if self._shortest and size > TYPE_AT:
            shortest = self._shortest(self.frame, size)
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
        if zero < 0:
            while self._code_at < self._size < MAX_FRAME:
                self._code_at += self.frame[self._code_at]
            return end
        self._announced = self._size == 0
        if self._size:
            self._finish()
        return zero + 1

    def _finish(self) -> None:
        """Undo the stuffing in place and check the frame."""
        size = self._size
        frame = self.frame
        self._size = self._code_at = 0
        if (
            OVERHEAD - 1 <= size < MAX_FRAME
            and self._unstuff(frame, size)
            and self._crc_is_right(frame, size)
        ):
            self.body_size = size - OVERHEAD + 1
        else:
            self.bad += 1
