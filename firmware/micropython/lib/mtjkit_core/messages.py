"""The messages of the link, declared once for both sides; host/PROTOCOL.md explains them.

A message is a type and a body of fixed little-endian fields, in some followed by data up to the
body's end. The device only ever answers, and it never executes what it receives.
"""

import struct
import sys
from collections import namedtuple as _namedtuple

from mtjkit_core.errors import ProtocolError
from mtjkit_core.frames import BODY_AT, MAX_BODY, OVERHEAD
from mtjkit_core.write_errors import COUNTS, LIMITS_BYTES

_KEEPS_TUPLES = sys.implementation.name != "micropython"  # a board has no memory for them

VERSION = 2  # never 3: no HELLO may hold a Ctrl-C
MAGIC = b"MTJK"

KERNELS = ("auto", "python", "viper", "asm_thumb", "native", "asm_rv32")  # on the wire: position

CHUNK = 238  # most data bytes of one MODEL_DATA or IMAGE_DATA
THE_MODEL = 0xFFFFFFFF  # what MISSING says in place of an image's index
MAX_INDEX = (1 << 30) - 1  # an image's index stays a small int on 32-bit MicroPython
MAX_TEXT = 200
MIN_CREDIT = 128  # bytes: a line that takes fewer while nobody reads cannot be served

# flags of INFO
HAS_MODEL = 1  # a complete model is there
MAPPED = 2  # ... in memory that cannot be written over the link
PROGRAMMED = 4  # its weights were written with errors, as INFO's digest tells

# what a WRITE_ERRORS carries
MAP_LIMITS = 0  # fail limits (down, up) of feature maps, two u64 a layer
WEIGHT_LIMITS = 1  # the same of weights
CHIP_PARTS = 2  # and on: chip_errors.ChipErrors.parts

# what CONFIGURE's kind may hold beside the kind of errors
CHIP = 2  # WRITE_ERRORS brought the parts of ChipErrors

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
        types: struct codes of the fixed fields, without the byte order.
        names: of the fields, with a space between two. One more than there are types names the
            data that follow the fixed fields, up to the body's end.
    """

    def __init__(self, kind: int, name: str, types: str, names: str):
        self.kind = kind
        self.name = name
        self.format = "<" + types
        self.size = struct.calcsize(self.format)
        self._names = names  # one string each: boards have no memory for lists of strings
        self.tail = len(self.names) > len(self._codes())

    _tuple: object = None  # a namedtuple, made when needed first

    @property
    def names(self) -> tuple:
        """The names of the fields."""
        return tuple(self._names.split())

    def _codes(self) -> list:
        """The codes of the struct format one by one: "<4sB" -> ["4s", "B"]."""
        codes = []
        count = ""
        for c in self.format[1:]:
            count += c
            if c.isalpha():
                codes.append(count)
                count = ""
        return codes

    def pack(self, *values, data: bytes = b"", **named) -> bytes:
        """The message's body: values in their order, or all by name; 0 where not named."""
        if named:
            empty = [bytes(1) if code[-1] == "s" else 0 for code in self._codes()]
            values = tuple([named.pop(n, e) for n, e in zip(self.names, empty)])
            if named:
                raise KeyError(sorted(named)[0])
        return struct.pack(self.format, *values) + data

    def check(self, body_size: int) -> None:
        """Raise ProtocolError unless a body of `body_size` bytes can be a message of this kind."""
        if body_size < self.size or (body_size > self.size and not self.tail):
            text = "%s has %d bytes, expected %d"
            raise ProtocolError(text % (self.name, body_size, self.size))

    def unpack(self, body):
        """The fields of a body as a namedtuple, with its data where this kind has data.

        Raises:
            ProtocolError: the body has the wrong length.
        """
        self.check(len(body))
        values = struct.unpack_from(self.format, body, 0)
        if self.tail:
            values += (bytes(body[self.size :]),)
        if self._tuple is not None:
            return self._tuple(*values)  # type: ignore[operator]
        made = _namedtuple(self.name, self.names)  # type: ignore[misc]
        if _KEEPS_TUPLES:
            self._tuple = made
        return made(*values)

    def unpack_frame(self, frame, body_size: int):
        """The same of a frame buffer whose body begins at BODY_AT."""
        return self.unpack(memoryview(frame)[BODY_AT : BODY_AT + body_size])

    def at(self, name: str) -> int:
        """Offset of a field in a frame buffer."""
        before = self._codes()[: self.names.index(name)]
        return BODY_AT + struct.calcsize("<" + "".join(before))


_COUNTS = " ".join(COUNTS)

# Host to device
HELLO = Message(0x01, "HELLO", "4sB", "magic version rest")
CONFIGURE = Message(
    0x02,
    "CONFIGURE",
    "IQBBBBQQQQI",
    "run seed kind kernel map_layers weight_layers down up weights_down weights_up crc",
)
MODEL_BEGIN = Message(0x03, "MODEL_BEGIN", "II32s", "size work_bytes sha256")
MODEL_DATA = Message(0x04, "MODEL_DATA", "I", "offset data")
MODEL_END = Message(0x05, "MODEL_END", "", "")
IMAGE_DATA = Message(0x06, "IMAGE_DATA", "IIB", "index offset slot data")
QUERY = Message(0x07, "QUERY", "IB", "index slot")
PING = Message(0x08, "PING", "", "")
STOP = Message(0x09, "STOP", "", "")
WRITE_ERRORS = Message(0x0A, "WRITE_ERRORS", "IBBBB", "run what first layers reserved data")

# Device to host
INFO = Message(
    0x81,
    "INFO",
    "BBBBHHII32s20s8s24sI",
    "version flags kernel reserved chunk credit boot free sha256 weights unit board used",
)
CONFIGURED = Message(0x82, "CONFIGURED", "IBBHII", "run kernel slots reserved written wrong")
DONE = Message(0x83, "DONE", "B", "seq")
RESULT = Message(0x84, "RESULT", "IHHIIIIII", "index first classes us " + _COUNTS + " data")
MISSING = Message(0x85, "MISSING", "III", "index offset size")
LOST = Message(0x86, "LOST", "BB", "first count")
ACK = Message(0x87, "ACK", "B", "expected")
ERROR = Message(0x88, "ERROR", "BB", "code seq data")

SHORTEST_FRAMES = bytearray([OVERHEAD] * (WRITE_ERRORS.kind + 1))
"""Bytes of the shortest frame of each type that a device is sent, by type."""
for _message in (CONFIGURE, MODEL_BEGIN, MODEL_DATA, IMAGE_DATA, QUERY, WRITE_ERRORS):
    SHORTEST_FRAMES[_message.kind] = OVERHEAD + _message.size

SCORES_PER_RESULT = (MAX_BODY - RESULT.size) // 4
LAYERS_PER_FRAME = (MAX_BODY - WRITE_ERRORS.size) // LIMITS_BYTES


def u32(frame: bytes, at: int) -> int:
    """The little-endian number at `at`: allocates nothing on a 32-bit port while below 2**30."""
    return frame[at] | frame[at + 1] << 8 | frame[at + 2] << 16 | frame[at + 3] << 24
