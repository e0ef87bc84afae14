"""The messages of the link, declared once for both sides; host/PROTOCOL.md explains them.

A message is a type and a body of fixed little-endian fields, in some followed by data up to the
body's end. The device only ever answers; whatever it is sent, it executes nothing of it.
"""

import struct

from mtjkit_core.errors import ProtocolError
from mtjkit_core.frames import BODY_AT, MAX_BODY, OVERHEAD

VERSION = 1
MAGIC = b"MTJK"

KERNELS = ("auto", "python", "viper", "asm_thumb", "native")  # number on the wire = position

CHUNK = 238  # most data bytes of one MODEL_DATA or IMAGE_DATA
THE_MODEL = 0xFFFFFFFF  # what MISSING says in place of an image's index
MAX_INDEX = (1 << 30) - 1  # an image's index stays a small int on 32-bit MicroPython
MAX_TEXT = 200
MIN_CREDIT = 128  # bytes: a line that takes fewer while nobody reads cannot be served

# flags of INFO
HAS_MODEL = 1  # a complete model is there
MAPPED = 2  # ... in memory that cannot be written over the link
PROGRAMMED = 4  # its weights were written with the weight fields of INFO

# codes of ERROR
WRONG_VERSION = 1
TOO_LARGE = 2  # the model does not fit the free memory
BAD_MODEL = 3  # its bytes break the format, or their SHA-256 is another
NOT_READY = 4  # no model or no configuration yet: program first
BAD_REQUEST = 5  # a message that makes no sense, or not now
UNUSABLE = 6  # a configuration that this device cannot run


class Message:
    """One kind of message: its number, its name, its fields.

    Args:
        kind: number on the wire.
        name: for error texts.
        fields: struct format of the fixed fields.
        tail: True if data follow them.
    """

    def __init__(self, kind: int, name: str, fields: str, tail: bool = False):
        self.kind = kind
        self.name = name
        self.format = "<" + fields
        self.size = struct.calcsize(self.format)
        self.tail = tail

    def pack(self, *values, data: bytes = b"") -> bytes:
        """The body of such a message."""
        return struct.pack(self.format, *values) + data

    def check(self, body_size: int) -> None:
        """Raise ProtocolError unless a body of `body_size` bytes can be such a message."""
        if body_size < self.size or (body_size > self.size and not self.tail):
            raise ProtocolError("%s of %d bytes: %d are right" % (self.name, body_size, self.size))

    def unpack(self, body) -> tuple:
        """The fields of a body, and its data as a last item where this kind has data.

        Raises:
            ProtocolError: the body has the wrong length.
        """
        self.check(len(body))
        values = struct.unpack_from(self.format, body, 0)
        return values + (bytes(body[self.size :]),) if self.tail else values

    def unpack_frame(self, frame, body_size: int) -> tuple:
        """The same of a frame buffer whose body begins at BODY_AT."""
        return self.unpack(memoryview(frame)[BODY_AT : BODY_AT + body_size])


# Host to device
HELLO = Message(0x01, "HELLO", "4sB", True)  # MAGIC, version; later versions may say more
CONFIGURE = Message(0x02, "CONFIGURE", "IQQQBB")  # run, seed, maps', weights' rate, errors, kernel
MODEL_BEGIN = Message(0x03, "MODEL_BEGIN", "II32s")  # bytes of the model, of work memory; SHA-256
MODEL_DATA = Message(0x04, "MODEL_DATA", "I", True)  # offset; bytes
MODEL_END = Message(0x05, "MODEL_END", "")
IMAGE_DATA = Message(0x06, "IMAGE_DATA", "IIB", True)  # index, offset, slot; bytes
QUERY = Message(0x07, "QUERY", "IB")  # index, slot
PING = Message(0x08, "PING", "")
STOP = Message(0x09, "STOP", "")

# Device to host
INFO = Message(0x81, "INFO", "BBBBHHII32sQQB3s8s24sI")  # see Info in mtjkit_host.link.session
CONFIGURED = Message(0x82, "CONFIGURED", "IBBHII")  # run, kernel, slots, 0, weight bits: all, wrong
DONE = Message(0x83, "DONE", "B")  # sequence number of the request
RESULT = Message(0x84, "RESULT", "IHHIIII", True)  # index, first, classes, us, bits; int32 scores
MISSING = Message(0x85, "MISSING", "III")  # index or THE_MODEL, offset, bytes
LOST = Message(0x86, "LOST", "BB")  # first sequence number that did not come, how many
ACK = Message(0x87, "ACK", "B")  # sequence number that the device expects next
ERROR = Message(0x88, "ERROR", "BB", True)  # code, sequence number of the request; text

LEAST = bytearray([OVERHEAD] * 256)
"""Bytes of the shortest frame of each type that a device is sent."""
for _message in (CONFIGURE, MODEL_BEGIN, MODEL_DATA, IMAGE_DATA, QUERY):
    LEAST[_message.kind] = OVERHEAD + _message.size

SCORES_PER_RESULT = (MAX_BODY - RESULT.size) // 4


def u32(frame: bytes, at: int) -> int:
    """The little-endian number at `at`: allocates nothing on a 32-bit port while below 2**30."""
    return frame[at] | frame[at + 1] << 8 | frame[at + 2] << 16 | frame[at + 3] << 24
