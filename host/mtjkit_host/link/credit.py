"""What a device without flow control can take: PROTOCOL.md, credit."""

from __future__ import annotations

import threading
import time
from collections import deque

QUESTION_BYTES = 80
"""Of the credit, kept free for a question."""

_LOST_S = 5.0  # after which a question that nothing acknowledged counts as lost


class Credit:
    """Counts the bytes that were sent and, as far as is known, not read yet.

    The sender's thread calls all methods but `acknowledge`, which is the reader's.

    Attributes:
        limit: bytes that may be on their way; 0 where the line has flow control.
    """

    def __init__(self) -> None:
        self.limit = 0
        self._unread: deque[tuple[int, int]] = deque()  # (sequence number, bytes)
        self._asked: tuple[int, float] | None = None  # a question: sequence number, when
        self._acks: deque[int] = deque(maxlen=256)
        self._acked = threading.Event()

    def acknowledge(self, expected: int) -> None:
        """The device expects this sequence number next: it has read, or lost, all before it."""
        self._acks.append(expected)
        self._acked.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for an acknowledgement; False if none comes in time."""
        came = self._acked.wait(timeout_s)
        self._acked.clear()
        return came

    def has_room(self, size: int) -> bool:
        """Whether `size` bytes may be sent now; a device that has read everything takes any."""
        self._count()
        used = sum(n for _, n in self._unread)
        return not used or used + size + QUESTION_BYTES <= self.limit

    def sent(self, seq: int, size: int) -> None:
        """Count a frame of `size` bytes as on its way."""
        self._unread.append((seq, size))

    def may_ask(self) -> bool:
        """Whether a question may be sent now: none is on its way."""
        self._count()
        return self._asked is None or time.monotonic() - self._asked[1] > _LOST_S

    def asked(self, seq: int) -> None:
        """A question is on its way."""
        self._asked = seq, time.monotonic()

    def _count(self) -> None:
        while self._acks:
            expected = self._acks.popleft()
            while self._unread and _is_before(self._unread[0][0], expected):
                self._unread.popleft()
            if self._asked and _is_before(self._asked[0], expected):
                self._asked = None


def _is_before(seq: int, other: int) -> bool:
    return 0 < (other - seq) & 255 < 128
