"""Reader of `.mtjb` model files: checks every rule of export/FORMAT.md, copies no weights.

The layer table holds only what cannot be derived; sizes, offsets and geometry follow from it
(mtjkit_core.geometry), so that a file cannot contradict itself. Versions 1.0 and 2.0 are read.
"""

import binascii
import struct

from mtjkit_core.bits import load_word, tail_mask
from mtjkit_core.errors import FormatError
from mtjkit_core.geometry import MAX_FILE_BYTES, LayerShape, chain, entries_1

MAGIC = b"MTJB"
MAJOR = 2
MINOR = 0
START = "<4sBBBBI"  # of both versions: magic, major, minor, layers, reserved, file_bytes
HEADER = "<HHHHHBBHHHBBI"  # then zeros, then the name
HEADER_AT = 12
HEADER_BYTES = 96
NAME_BYTES = 32
ENTRY = "<BBHBBBBBBBBbBBBBBHBB"  # mtjkit_core.geometry.ENTRY_FIELDS, then zeros
ENTRY_BYTES = 32
CRC_BYTES = 4

HEADER_1 = "<HHHHHHHHI"  # of version 1.0, from HEADER_AT on; then the name
HEADER_1_BYTES = 64
ENTRY_1 = "<BBBBHH"
ENTRY_1_BYTES = 8

_CHECKED_BYTES = 512  # of weights, whose padding is checked at once
_CHOICES = ("input", "pixels", "scores", "decision")


def _text(raw, what: str, separator: str = "") -> str:
    """Decode a zero-padded UTF-8 field; `separator` is the one control character it may hold."""
    raw = bytes(raw)
    end = raw.find(b"\0")
    if end < 0:
        end = len(raw)
    if raw[end:] != bytes(len(raw) - end):
        raise FormatError(what + ": bytes after its end are not 0")
    try:
        text = str(raw[:end], "utf-8")
    except (UnicodeError, ValueError):
        raise FormatError(what + " is not UTF-8")
    size = 0
    control = False
    for c in text:
        code = ord(c)
        control = control or (c != separator and (code < 32 or 127 <= code < 160))
        # MicroPython also decodes surrogates, what is beyond Unicode and overlong sequences.
        if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            raise FormatError(what + " is not UTF-8")
        size += 1 + (code > 0x7F) + (code > 0x7FF) + (code > 0xFFFF)
    if size != end:
        raise FormatError(what + " is not UTF-8")
    if control:
        raise FormatError(what + " holds control characters")
    return text


class Model:
    """A model file in memory: header, layers, and where their data lie.

    Args:
        data: the whole file, bytes-like. It is kept, not copied.
        check_crc: False when the bytes are known to be good (a corrupted image of a model, say).

    Raises:
        FormatError: the bytes break a rule of FORMAT.md.
    """

    def __init__(self, data, check_crc=True):
        data = memoryview(data)
        size = len(data)
        if size < 4 or data[:4] != MAGIC:
            raise FormatError("not an .mtjb model (its first bytes are not MTJB)")
        if size < HEADER_1_BYTES + CRC_BYTES:
            raise FormatError("truncated: %d bytes are less than a header" % size)
        _, major, minor, count, reserved, file_bytes = struct.unpack_from(START, data)
        if not 1 <= major <= MAJOR or minor > 0:
            raise FormatError(
                "format version %d.%d; this mtjkit reads up to %d.%d" % (major, minor, MAJOR, MINOR)
            )
        if file_bytes > MAX_FILE_BYTES:
            raise FormatError("%d bytes: the maximum is %d" % (file_bytes, MAX_FILE_BYTES))
        if file_bytes != size:
            if size < file_bytes:
                raise FormatError("truncated: %d of %d bytes are there" % (size, file_bytes))
            raise FormatError("%d bytes after the model's end" % (size - file_bytes))
        if check_crc:
            (crc,) = struct.unpack_from("<I", data, size - CRC_BYTES)
            if binascii.crc32(data[: size - CRC_BYTES]) & 0xFFFFFFFF != crc:
                raise FormatError("checksum mismatch: the file is damaged, copy it again")
        self.data = data
        self.version = (major, minor)
        if major == 1:
            *fields, labels_bytes, zero, zeros = struct.unpack_from(HEADER_1, data, HEADER_AT)
            header_bytes, entry_bytes = HEADER_1_BYTES, ENTRY_1_BYTES
            name_at = HEADER_1_BYTES - NAME_BYTES
            reserved = reserved or zero or zeros
        else:
            if size < HEADER_BYTES + CRC_BYTES:
                raise FormatError("truncated: %d bytes are less than a header" % size)
            header_bytes, entry_bytes, *fields = struct.unpack_from(HEADER, data, HEADER_AT)
            labels_bytes = fields.pop()
            choices = fields[3:5] + fields[8:]
            fields = fields[:3] + fields[5:8]
            name_at = HEADER_BYTES - NAME_BYTES
            if header_bytes < HEADER_BYTES or entry_bytes < ENTRY_BYTES:
                raise FormatError(
                    "a header of %d bytes and entries of %d; they have at least %d and %d"
                    % (header_bytes, entry_bytes, HEADER_BYTES, ENTRY_BYTES)
                )
            if (header_bytes | entry_bytes) & 3:
                raise FormatError("the sizes of header and entries are not multiples of 4")
            if header_bytes + CRC_BYTES > size:
                raise FormatError("the header is longer than the file")
            header_end = HEADER_AT + struct.calcsize(HEADER)
            reserved = (
                reserved or any(data[header_end:name_at]) or any(data[HEADER_BYTES:header_bytes])
            )
            for name, choice in zip(_CHOICES, choices):
                if choice:
                    raise FormatError("%s of kind %d; only kind 0 is possible" % (name, choice))
        if reserved:
            raise FormatError("reserved header fields are not 0")
        if not fields[5]:
            raise FormatError("pixel rule divides by 0")
        if labels_bytes & 3:
            raise FormatError("class names take %d bytes, not a multiple of 4" % labels_bytes)
        table_at = header_bytes + labels_bytes
        data_at = table_at + entry_bytes * count
        if data_at + CRC_BYTES > size:
            raise FormatError("layer table and class names are longer than the file")
        self.name = _text(data[name_at : name_at + NAME_BYTES], "model name")
        labels = _text(data[header_bytes:table_at], "class names", "\n")
        self.class_names = labels.split("\n") if labels else []
        self.input_shape = tuple(fields[:3])
        self.pixel_rule = tuple(fields[3:])
        entries = []
        for i in range(count):
            at = table_at + entry_bytes * i
            if major == 1:
                kind, padding, pool, zero, out, zeros = struct.unpack_from(ENTRY_1, data, at)
                reserved = zero or zeros
                entries.append((kind, padding, pool, out))
            else:
                reserved = any(data[at + struct.calcsize(ENTRY) : at + entry_bytes])
                entries.append(struct.unpack_from(ENTRY, data, at))
            if reserved:
                raise FormatError("layer %d: reserved fields are not 0" % i)
        if major == 1:
            entries = entries_1(entries)
        self.layers = chain(self.input_shape, entries, major)
        classes = self.layers[-1].out_channels
        if self.class_names and len(self.class_names) != classes:
            raise FormatError("%d class names for %d scores" % (len(self.class_names), classes))
        at = data_at
        for layer in self.layers:
            layer.weights_at = at
            at += layer.data_bytes
        if at + CRC_BYTES != size:
            raise FormatError("the layers need %d bytes, the file has %d" % (at + CRC_BYTES, size))
        for layer in self.layers:
            self._check_padding(layer)

    def _check_padding(self, layer: LayerShape) -> None:
        spare = ~tail_mask(layer.run_bits) & 0xFFFFFFFF
        if spare:
            # Many runs at once, as one long number: a file may have millions.
            run = 4 * layer.run_words
            runs = max(1, _CHECKED_BYTES // run)
            padding = int.from_bytes((bytes(run - 4) + struct.pack("<I", spare)) * runs, "little")
            end = layer.weights_at + 4 * layer.weight_words
            for at in range(layer.weights_at, end, run * runs):
                part = self.data[at : min(at + run * runs, end)]
                if int.from_bytes(part, "little") & padding:
                    raise FormatError("layer %d: weight padding is not 0" % layer.index)
        if not layer.last:
            spare = ~tail_mask(layer.out_channels) & 0xFFFFFFFF
            if load_word(self.data, (layer.inverted_at >> 2) + layer.out_words - 1) & spare:
                raise FormatError("layer %d: inversion mask padding is not 0" % layer.index)

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.layers[-1].out_channels

    @property
    def weight_bits(self) -> int:
        """Weights of all layers, one bit each, without padding."""
        return sum(layer.weight_bits for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def map_bits(self) -> int:
        """Feature-map bits written for one image, without padding."""
        return sum(layer.map_bits for layer in self.layers)

    @property
    def half_words(self) -> tuple:
        """Words of the buffer's two halves: even layers write half 0, odd layers half 1."""
        return (
            max(layer.map_words for layer in self.layers[::2]),
            max(layer.map_words for layer in self.layers[1::2]),
        )
