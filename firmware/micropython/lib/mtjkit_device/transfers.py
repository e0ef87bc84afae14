"""Data that come in chunks, in any order and more than once: the model, and images in slots."""

from array import array

from mtjkit_core.write_errors import COUNTS


class Transfer:
    """A buffer that chunks fill.

    Args:
        data: the buffer, a bytearray.
        chunk: bytes of every chunk but the last.
        copy: mtjkit_core.frames.copy or its fast twin.

    Attributes:
        left: chunks still to come.
        have: 1 for each chunk that is there.
    """

    def __init__(self, data, chunk: int, copy):
        self.data = data
        self.left = -(-len(data) // chunk)  # chunks still to come
        self.have = bytearray(self.left)
        self._chunk = chunk
        self._copy = copy

    def clear(self) -> None:
        """Expect all chunks again."""
        have = self.have
        self.left = len(have)
        for i in range(self.left):
            have[i] = 0

    def put(self, offset: int, source, start: int, size: int) -> bool:
        """Store a chunk. False if its offset or size is not a chunk boundary."""
        n = offset // self._chunk
        if n >= len(self.have) or offset != n * self._chunk:
            return False
        if size != min(self._chunk, len(self.data) - offset):
            return False
        if not self.have[n]:
            self._copy(self.data, offset, source, start, size)
            self.have[n] = 1
            self.left -= 1
        return True

    def gap(self) -> tuple:
        """The first run of missing bytes: (offset, size); size 0 if all are there."""
        first = self.have.find(b"\0")
        if first < 0:
            return 0, 0
        end = self.have.find(b"\1", first)
        if end < 0:
            end = len(self.have)
        offset = first * self._chunk
        return offset, min(end * self._chunk, len(self.data)) - offset


class Slot(Transfer):
    """An image and, once it is computed, its result, kept until the host takes the slot again."""

    def __init__(self, size: int, classes: int, chunk: int, copy):
        super().__init__(bytearray(size), chunk, copy)
        self.index = -1
        self.done = False
        self.us = 0
        self.counts = array("I", bytes(4 * len(COUNTS)))
        self.scores = array("i", bytes(4 * classes))

    def begin(self, index: int) -> None:
        """Expect another image."""
        self.clear()
        self.index = index
        self.done = False

    def take(self, us: int, counts, scores) -> None:
        """Keep a result."""
        self.us = us
        for i in range(len(self.counts)):
            self.counts[i] = counts[i]
        for i in range(len(self.scores)):
            self.scores[i] = scores[i]
        self.done = True
