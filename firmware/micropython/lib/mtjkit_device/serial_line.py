"""Standard input and output as the line; the Ctrl-C by which a person gets the prompt back."""

import sys
import time

import micropython
from mtjkit_core.frames import MAX_FRAME
from mtjkit_core.messages import CHUNK

from mtjkit_device import board

SMALL_CHUNK = 64  # data bytes of a frame: two and a question fit the buffer of a UART

_CTRL_C = 3
_ENTER = 13
_SILENCE_MS = 1000


class Line:
    """Standard input and output as a binary line; a context, in which Ctrl-C is a byte like others.

    A host puts a zero before every frame. Another byte between two frames, or after a second of
    silence, is typed by a person or a tool, or damaged. The line drops what is typed up to the next
    zero. Ctrl-C ends the line, and the prompt is back, if only Enter was typed before it, or after
    the silence. Ctrl-C that is held for some seconds does so at any time.

    Attributes:
        credit: bytes that the port can take while nobody reads, 0 if the line has flow control.
        chunk: data bytes of a frame that this line can take.
        between: the last byte was a zero.
        raw(buffer, size): reads `size` bytes whatever they are; the caller sets `between`.
        write(buffer, size): sends the first `size` bytes of a buffer.
    """

    def __init__(self):
        self.credit = 0 if sys.platform in board.FLOW_CONTROLLED else board.UART_CREDIT
        self.chunk = SMALL_CHUNK if self.credit else CHUNK
        self._held = 0  # Ctrl-C in a row
        self.between = True
        self.raw = sys.stdin.buffer.readinto
        self.write = sys.stdout.buffer.write

    def readinto(self, buffer, size: int) -> int:
        """Wait for `size` bytes, 1 between two frames; 0 at the line's end, or by Ctrl-C."""
        if size == 1:
            start = time.ticks_ms()
            size = self.raw(buffer, 1)
            if size and buffer[0]:
                silent = time.ticks_diff(time.ticks_ms(), start) >= _SILENCE_MS
                if (self.between or silent) and not self._skip_typed(buffer, silent):
                    return 0
        else:
            size = self.raw(buffer, size)
        self.between = not (size and buffer[size - 1])
        if buffer[0] != _CTRL_C:
            self._held = 0
            return size
        # A host that died in the middle of a frame leaves one that waits for bytes. No frame
        # has as many of these as come from a key that is held.
        for i in range(size):
            if buffer[i] != _CTRL_C:
                self._held = 0
                return size
        self._held += size
        return size if self._held <= MAX_FRAME else 0

    def _skip_typed(self, buffer, silent: bool) -> bool:
        """Drop bytes from the one in the buffer up to a zero; False if Ctrl-C ends the line.

        Args:
            buffer: holds the first byte, and the zero afterwards.
            silent: there was a second of silence before: this is not a damaged frame.
        """
        first = True  # nothing but Enter has come
        while buffer[0]:
            if buffer[0] == _CTRL_C and (first or silent):
                return False
            if buffer[0] != _ENTER:
                first = False
            start = time.ticks_ms()
            if not self.raw(buffer, 1):
                return False
            if time.ticks_diff(time.ticks_ms(), start) >= _SILENCE_MS:
                silent = True
        return True

    def __enter__(self):
        micropython.kbd_intr(-1)
        return self

    def __exit__(self, *exception):
        micropython.kbd_intr(_CTRL_C)
