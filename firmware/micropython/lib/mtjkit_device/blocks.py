"""Images and models that come as plain bytes behind one frame: only on computers.

There a byte costs little and Python much. So what follows the frame is read where it belongs, by
one read. Boards have no room for this code, and their lines lose bytes.
"""

from binascii import crc32

from mtjkit_core import messages as m
from mtjkit_core.blocks import IMAGE_BLOCK, MODEL_BLOCK, TAKES_BLOCKS
from mtjkit_core.errors import ProtocolError
from mtjkit_core.frames import OVERHEAD, TYPE_AT

from mtjkit_device.frames_viper import crc_is_right, unstuff

_ZEROS = 2  # that a host sends before a block's frame
_FRAME = OVERHEAD + IMAGE_BLOCK.size
_LEAST = _ZEROS + OVERHEAD  # bytes that come at least, whatever a host sends
_INDEX_AT = IMAGE_BLOCK.at("index")
_SLOT_AT = IMAGE_BLOCK.at("slot")
_CRC_AT = IMAGE_BLOCK.at("crc")


class Blocks:
    """Takes the blocks of a server's line.

    Args:
        server: computes an image once it is there.
        line: see Server.

    Attributes:
        head: what `read` has read.
        kinds: types of their frames.
        flag: of INFO.
        follow: the last message was an image's block, so that another is likely to follow.
    """

    kinds = bytes((IMAGE_BLOCK.kind, MODEL_BLOCK.kind))
    flag = TAKES_BLOCKS

    def __init__(self, server, line):
        self.head = bytearray(_ZEROS + _FRAME)
        self.follow = False
        self._server = server
        self._raw = line.raw
        head = memoryview(self.head)
        self._rest = head[_LEAST:]
        self._frame = head[_ZEROS:]

    def read(self) -> int:
        """Take the next image's block; returns the bytes in `head` that are another message, or -1.

        The frame is read by two reads, where a deframer takes four.
        """
        self.follow = False
        head = self.head
        size = self._raw(head, _LEAST)
        if size < _LEAST or head[0] or head[1] or head[_ZEROS + TYPE_AT] != IMAGE_BLOCK.kind:
            return size
        frame = self._frame
        end = _FRAME - 1
        size += self._raw(self._rest, _FRAME - OVERHEAD)
        if head.find(b"\0", _ZEROS) != _ZEROS + end:  # a zero too early, or none
            return size
        if unstuff(frame, end) and crc_is_right(frame, end):
            self._server.take(frame, IMAGE_BLOCK.size)
        return -1

    def take(self, frame, size: int) -> None:
        """Read what follows a block's frame.

        Raises:
            MtjkitError: the block makes no sense, or not now; its bytes are not read.
        """
        if frame[TYPE_AT] == MODEL_BLOCK.kind:
            self._model(*MODEL_BLOCK.unpack_frame(frame, size))
            return
        IMAGE_BLOCK.check(size)
        slot = self._server.session.slot(frame[_SLOT_AT])
        index = m.u32(frame, _INDEX_AT)
        if index > m.MAX_INDEX:
            raise ProtocolError("image index %d; the highest is %d" % (index, m.MAX_INDEX))
        crc = m.u32(frame, _CRC_AT)
        self.follow = True
        data = slot.data
        done = slot.done and slot.index == index
        slot.index = index
        slot.done = done
        right = self._raw(data, len(data)) == len(data) and crc32(data) == crc
        if done:
            return
        if right:
            if slot.left:
                _fill(slot, 0, len(slot.have))
            self._server.compute(slot)
        else:
            slot.begin(index)
            self._server.missing(index, 0, len(data))

    def _model(self, offset: int, size: int) -> None:
        incoming = self._server.session.incoming
        if not incoming:
            raise ProtocolError("MODEL_BLOCK without a MODEL_BEGIN")
        chunk = self._server.session.chunk
        end = offset + size
        if offset % chunk or not offset < end <= len(incoming.data):
            raise ProtocolError("MODEL_BLOCK of %d bytes at %d of the model" % (size, offset))
        if end % chunk and end < len(incoming.data):
            raise ProtocolError("MODEL_BLOCK ends at %d, within a chunk" % end)
        first = offset // chunk
        last = -(-end // chunk)
        if self._raw(memoryview(incoming.data)[offset:end], size) == size:
            _fill(incoming, first, last)


def _fill(transfer, first: int, end: int) -> None:
    """Count chunks of a transfer as there."""
    transfer.left -= bytes(transfer.have[first:end]).count(b"\0")
    transfer.have[first:end] = b"\1" * (end - first)
