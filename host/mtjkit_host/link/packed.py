"""Frames as bytes, as fast for zeros as for other data: `whole_frames.pack` in numpy."""

from __future__ import annotations

import binascii

import numpy as np
from mtjkit_core.frames import CRC_BYTES
from mtjkit_core.whole_frames import pack

_MANY = 12  # zeros: from here on numpy is faster


def packed(kind: int, seq: int, body: bytes) -> bytes:
    """See `mtjkit_core.whole_frames.pack`, which gives the same bytes."""
    if body.count(0) < _MANY:
        return pack(kind, seq, body)
    content = bytes((kind, seq)) + body
    content += binascii.crc32(content).to_bytes(CRC_BYTES, "little")
    frame = np.frombuffer(b"\0" + content + b"\0", np.uint8).copy()
    zeros = np.flatnonzero(frame == 0)
    frame[zeros[:-1]] = np.diff(zeros)
    return frame.tobytes()
