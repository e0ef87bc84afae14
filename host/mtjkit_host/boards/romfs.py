"""MicroPython's read-only file system, for a model that a board reads in place.

`mpremote romfs build` makes the same format, but puts data at any address; kernels that read
whole words need them aligned, as Cortex-M0+ has no other loads.
"""

HEADER = b"\xd2\xcd\x31"
ALIGN = 32
_PADDING, _VERBATIM, _FILE = 1, 2, 5  # kinds of record


def romfs_image(name: str, data: bytes) -> bytes:
    """A file system of one file whose data begin at a multiple of `ALIGN` from its start.

    Args:
        name: the file's name, ASCII.
        data: its content.
    """
    inner = _number(len(name)) + name.encode("ascii") + _record(_VERBATIM, data)
    file = _record(_FILE, inner)
    pad = b""
    # The length of a record's length may change with the padding: try until it fits.
    for spare in range(2 * ALIGN):
        pad = _record(_PADDING, bytes(spare))
        head = len(HEADER) + len(_number(len(pad) + len(file))) + len(pad)
        if (head + len(file) - len(data)) % ALIGN == 0:
            break
    return HEADER + _number(len(pad) + len(file)) + pad + file


def _record(kind: int, payload: bytes) -> bytes:
    return _number(kind) + _number(len(payload)) + payload


def _number(value: int) -> bytes:
    """A number, seven bits a byte, the highest first; all bytes but the last have bit 7 set."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.insert(0, 0x80 | value & 0x7F)
    return bytes(digits)
