"""Viper twins of frames.copy, unstuff, seal and crc_is_right that allocate nothing.

Slices are objects on MicroPython's heap, and so is an integer over 30 bits on a 32-bit port.
"""

import binascii
from array import array

import micropython

# What one byte adds to a CRC-32, from the CRC-32 of that byte.
TABLE = array("I", [binascii.crc32(bytes((i ^ 255,))) ^ 0xFF000000 for i in range(256)])


@micropython.viper
def copy(target: ptr8, at: int, source: ptr8, start: int, size: int):  # noqa: F821
    for i in range(size):
        target[at + i] = source[start + i]


@micropython.viper
def unstuff(frame: ptr8, size: int) -> bool:  # noqa: F821
    at = int(frame[0])
    while at < size:
        code = int(frame[at])
        frame[at] = 0
        at += code
    return at == size


@micropython.viper
def _crc(frame: ptr8, end: int, table: ptr32, store: int) -> int:  # noqa: F821
    """Store the CRC-32 of frame[1:end] at `end`, or compare it with what is there: 1 if equal."""
    ones = uint(0xFFFF)  # noqa: F821
    ones |= ones << 16  # a constant of 32 bits does not compile on 32-bit ports
    crc = ones
    for i in range(1, end):
        crc = (uint(table[int((crc ^ frame[i]) & 255)]) & ones) ^ (crc >> 8)  # noqa: F821
    crc ^= ones
    equal = 1
    for i in range(end, end + 4):
        if store:
            frame[i] = int(crc & 255)
        elif frame[i] != int(crc & 255):
            equal = 0
        crc >>= 8
    return equal


def seal(frame, end: int) -> None:
    _crc(frame, end, TABLE, 1)


def crc_is_right(frame, end: int) -> bool:
    return _crc(frame, end - 4, TABLE, 0) == 1
