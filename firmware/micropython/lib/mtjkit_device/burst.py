"""The rest of an image whose first chunks came in order, frame by frame: only on computers.

There a frame's bytes cost little and its Python much. So the next chunk's frame is read at once,
with the zero before it, and one function checks it and stores its data. A frame that is not the
expected one is left to the deframer. Boards have no room for this code, and their lines are slower.
"""

from array import array

import micropython
from mtjkit_core import messages as m
from mtjkit_core.frames import MAX_FRAME, OVERHEAD

from mtjkit_device.frames_viper import TABLE

_EMPTY = 1 + OVERHEAD + m.IMAGE_DATA.size  # bytes of a zero and a frame without data: 18
# What is expected: the array of Burst.
_SIZE, _SEQ, _INDEX, _OFFSET, _SLOT, _CHUNK, _TOTAL = range(7)


class Burst:
    """Reads the chunks that follow.

    Args:
        line: see Server.

    Attributes:
        chunk: what was read last.
        slot: whose chunks follow; None for no image's.
    """

    def __init__(self, line):
        self.chunk = bytearray(MAX_FRAME)
        self.slot = None
        self._line = line
        self._readinto = line.raw
        self._next = array("i", bytes(4 * 7))

    def begin(self, slot, number: int, end: int, chunk: int) -> None:
        """Expect the next chunks, if those before them are there and no others.

        Args:
            slot, number: the image's.
            end: offset of the last chunk, and the size of its frame's body.
            chunk: bytes of a chunk.
        """
        end -= m.IMAGE_DATA.size
        if slot.left != -(-(len(slot.data) - end) // chunk):
            return
        what = self._next
        what[_INDEX] = slot.index
        what[_OFFSET] = end
        what[_SLOT] = number
        what[_CHUNK] = chunk
        what[_TOTAL] = len(slot.data)
        what[_SIZE] = _EMPTY + min(chunk, len(slot.data) - end)
        self.slot = slot

    def rest(self, server) -> int:
        """Take chunks; returns the bytes in `chunk` that are not the expected frame, or -1.

        Args:
            server: computes the image once it is there.
        """
        slot = self.slot
        self.slot = None
        what = self._next
        what[_SEQ] = server.expected
        readinto = self._readinto
        chunk = self.chunk
        data = slot.data
        size = what[_SIZE]
        left = -1
        while size:
            left = readinto(chunk, size)
            if left != size or not _store(chunk, what, TABLE, data):
                break
            left = -1
            size = what[_SIZE]
        if left > 0:
            self._line.between = not chunk[left - 1]
        server.expected = what[_SEQ]
        there = -(-what[_OFFSET] // what[_CHUNK])
        for n in range(len(slot.have) - slot.left, there):
            slot.have[n] = 1
        slot.left = len(slot.have) - there
        if not slot.left:
            server.compute(slot)
        return left


@micropython.viper
def _store(chunk: ptr8, what: ptr32, table: ptr32, data: ptr8) -> bool:  # noqa: F821
    """Store the data of the frame in `chunk` if it is the expected one, and expect the next."""
    end = int(what[0]) - 1  # of the zero
    at = int(what[3])  # offset
    if chunk[0] or chunk[end]:
        return False
    ones = uint(0xFFFF)  # noqa: F821
    ones |= ones << 16
    crc = ones
    zero = 1 + int(chunk[1])  # where the next byte that stands for a zero is
    last = end - 4  # the CRC
    i = 2
    while i < end:
        byte = int(chunk[i])
        if byte == 0:
            return False
        if i == zero:
            zero += byte
            byte = 0
        if i < 13:
            if i == 2:
                right = 6  # IMAGE_DATA
            elif i == 3:
                right = int(what[1])
            elif i < 8:
                right = (int(what[2]) >> (8 * (i - 4))) & 255
            elif i < 12:
                right = (at >> (8 * (i - 8))) & 255
            else:
                right = int(what[4])
            if byte != right:
                return False
        elif i < last:
            data[at + i - 13] = byte
        else:
            if i == last:
                crc ^= ones
            if byte != int(crc & 255):
                return False
            crc >>= 8
        if i < last:
            crc = (uint(table[int((crc ^ uint(byte)) & 255)]) & ones) ^ (crc >> 8)  # noqa: F821
        i += 1
    if zero != end:
        return False
    what[1] = (int(what[1]) + 1) & 255
    at += last - 13
    what[3] = at
    left = int(what[6]) - at
    if left > int(what[5]):
        left = int(what[5])
    if left:
        left += 18  # _EMPTY
    what[0] = left
    return True
