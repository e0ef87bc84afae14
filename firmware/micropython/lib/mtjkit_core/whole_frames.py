"""Frames as bytes, where memory is not scarce: see mtjkit_core.frames, which boards use."""

import binascii
import struct

from mtjkit_core.frames import BODY_AT, MAX_BODY, SEQ_AT, TYPE_AT, Deframer

_ZERO = b"\0"


def pack(kind: int, seq: int, body=b"") -> bytes:
    """One frame as bytes.

    Raises:
        ValueError: the body is longer than MAX_BODY.
    """
    if len(body) > MAX_BODY:
        raise ValueError("a body has %d bytes; the maximum is %d" % (len(body), MAX_BODY))
    content = bytes((kind, seq)) + bytes(body)
    content += struct.pack("<I", binascii.crc32(content) & 0xFFFFFFFF)
    parts = content.split(_ZERO)  # where all are zeros, far faster than `encode` on a host
    return b"".join([bytes((len(p) + 1,)) + p if p else b"\1" for p in parts]) + _ZERO


def frames(deframer: Deframer, chunk):
    """Feed one chunk to a deframer and yield each frame in it as (type, seq, body bytes)."""
    at = 0
    while at < len(chunk):
        at = deframer.feed(chunk, at, len(chunk))
        if deframer.body_size >= 0:
            frame = deframer.frame
            yield (
                frame[TYPE_AT],
                frame[SEQ_AT],
                bytes(memoryview(frame)[BODY_AT : BODY_AT + deframer.body_size]),
            )
