"""What differs between boards: the line, its limits, the model in mapped memory."""

import gc
import os
import sys
import time

import micropython
from mtjkit_core.frames import MAX_FRAME
from mtjkit_core.messages import CHUNK

try:
    import machine
except ImportError:  # some ports have none
    machine = None

MAPPED_MODEL = "/rom/model.mtjb"  # a read-only file system whose files can be read in place

FLOW_CONTROLLED = ("linux", "darwin", "rp2", "qemu")  # a pseudo-terminal, USB, an emulator
UART_CREDIT = 256  # bytes: the receive buffer of MicroPython's UART ports
SMALL_CHUNK = 128  # data bytes of a frame that leaves room in it for a question

_CTRL_C = 3
_SILENCE_MS = 1000


def name() -> str:
    """What the machine calls itself, at most 24 bytes."""
    text = getattr(sys.implementation, "_machine", sys.platform)
    if sys.platform == "linux" or sys.platform == "darwin":
        text = "MicroPython on " + sys.platform
    return text.encode()[:24]


def unit() -> bytes:
    """Eight bytes that tell this board from others of its kind; zeros where there is no such."""
    if hasattr(machine, "unique_id"):
        return (machine.unique_id() + bytes(8))[:8]
    return bytes(8)


def boot_number() -> int:
    """A number that is another after every start: the host sees a reset by it."""
    if hasattr(os, "urandom"):
        return int.from_bytes(os.urandom(4), "little")
    return time.ticks_us()


def free_bytes() -> int:
    """Free heap, after a collection."""
    gc.collect()
    return gc.mem_free()


def mapped_model():
    """The model in mapped read-only memory as a memoryview, or None."""
    try:
        os.stat(MAPPED_MODEL)
        return memoryview(open(MAPPED_MODEL, "rb"))
    except (OSError, TypeError):
        return None


class Line:
    """Standard input and output as a binary line; a context, in which Ctrl-C is a byte like others.

    A host begins whatever it sends with a zero. So what comes after a second of silence and does
    not, somebody types: Ctrl-C among it ends the line, and the prompt is back. Ctrl-C that is held
    for some seconds does so at any time.

    Attributes:
        credit: bytes that the port can take while nobody reads, 0 if the line has flow control.
        chunk: data bytes of a frame that this line can take.
        write(buffer, size): sends the first `size` bytes of a buffer.
    """

    def __init__(self):
        self.credit = 0 if sys.platform in FLOW_CONTROLLED else UART_CREDIT
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
