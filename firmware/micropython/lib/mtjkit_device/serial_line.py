"""Standard input and output as the line; the Ctrl-C by which a person gets the prompt back."""

import sys
import time

import micropython
from mtjkit_core.frames import MAX_FRAME
from mtjkit_core.messages import CHUNK

from mtjkit_device import board

SMALL_CHUNK = 128  # data bytes of a frame that leaves room in a UART's buffer for a question

_CTRL_C = 3
_SILENCE_MS = 1000


class Line:
    """Standard input and output as a binary line; a context, in which Ctrl-C is a byte like others.

    A host begins whatever it sends with a zero. A byte other than zero after a second of silence
    was typed by a person: Ctrl-C among what is typed ends the line, and the prompt is back. Ctrl-C
    that is held for some seconds does so at any time.

    Attributes:
        credit: bytes that the port can take while nobody reads, 0 if the line has flow control.
        chunk: data bytes of a frame that this line can take.
        write(buffer, size): sends the first `size` bytes of a buffer.
    """

    def __init__(self):
        self.credit = 0 if sys.platform in board.FLOW_CONTROLLED else board.UART_CREDIT
        self.chunk = SMALL_CHUNK if self.credit else CHUNK
        self._held = 0  # Ctrl-C in a row
        self._readinto = sys.stdin.buffer.readinto
        self.write = sys.stdout.buffer.write

    def readinto(self, buffer, size: int) -> int:
        """Wait for `size` bytes, 1 between two frames; 0 at the line's end, or by Ctrl-C."""
        if size == 1:
            start = time.ticks_ms()
            size = self._readinto(buffer, 1)
            if time.ticks_diff(time.ticks_ms(), start) >= _SILENCE_MS:
                while size and buffer[0]:
                    if buffer[0] == _CTRL_C:
                        return 0
                    size = self._readinto(buffer, 1)
        else:
            size = self._readinto(buffer, size)
        if buffer[0] != _CTRL_C:
            self._held = 0
            return size
        # A host that died in the middle of a frame leaves one that waits for bytes. In no frame
        # are there so many of these as come from a key that is held.
        for i in range(size):
            if buffer[i] != _CTRL_C:
                self._held = 0
                return size
        self._held += size
        return size if self._held <= MAX_FRAME else 0

    def __enter__(self):
        micropython.kbd_intr(-1)
        return self

    def __exit__(self, *exception):
        micropython.kbd_intr(_CTRL_C)
