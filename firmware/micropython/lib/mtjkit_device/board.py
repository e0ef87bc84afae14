"""What differs between boards: the limits of the line, the model in mapped memory."""

import gc
import os
import time

MAPPED_MODEL = "/rom/model.mtjb"  # a read-only file system whose files can be read in place

FLOW_CONTROLLED = ("linux", "darwin", "rp2", "qemu")  # a pseudo-terminal, USB, an emulator
UART_CREDIT = 256  # bytes: the receive buffer of MicroPython's UART ports


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
