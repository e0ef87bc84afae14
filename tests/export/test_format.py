"""export/FORMAT.md: its hex dump is the writer's output, and every rule refuses a broken file."""

import re
import struct
import zlib
from pathlib import Path

import pytest
from mtjkit_core import model as mtjb
from mtjkit_core.errors import FormatError
from mtjkit_core.model import Model
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, encode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "export" / "FORMAT.md").read_text(encoding="utf-8")
FIRST = [[[[1, -1, -1]] * 3], [[[1, 1, 1], [-1] * 3, [-1] * 3]]]
TINY = BinaryNet(
    "tiny",
    [BinaryLayer.conv(FIRST, [5, -3], [False, True]), BinaryLayer.dense([[1, -1], [-1, 1]])],
    input_shape=(3, 3, 1),
    pixel_rule=PixelRule(1, 0, 1),
    class_names=("no", "yes"),
)
LABELS_AT, TABLE_AT, DATA_AT = 64, 72, 88
HEADER_FIELDS = ("height", "width", "channels", "mul", "add", "div", "labels_bytes")


def sealed(data):
    """The same bytes with the right size and checksum."""
    data = bytearray(data)
    struct.pack_into("<I", data, 8, len(data))
    struct.pack_into("<I", data, len(data) - 4, zlib.crc32(data[:-4]))
    return bytes(data)


def patched(at, raw):
    """The tiny model with other bytes at an offset, sealed."""
    data = bytearray(encode(TINY))
    data[at : at + len(raw)] = raw
    return sealed(data)


def header(**fields):
    """The tiny model with other 16-bit header fields, sealed."""
    data = bytearray(encode(TINY))
    for name, value in fields.items():
        struct.pack_into("<H", data, 12 + 2 * HEADER_FIELDS.index(name), value)
    return sealed(data)


def layers(*specs, shape=(3, 3, 1)):
    """A file with layers of (kind, padding, pool, outputs) and an empty body, sealed.

    All rules on geometry come before the one on the body's size.
    """
    head = struct.pack(
        mtjb.HEADER, b"MTJB", 1, 0, len(specs), 0, 0, *shape, 1, 0, 1, 0, 0, 0
    ) + bytes(32)
    table = b"".join(struct.pack(mtjb.LAYER, k, pad, pool, 0, n, 0) for k, pad, pool, n in specs)
    return sealed(head + table + bytes(4))


CONV, DENSE, WIDE = (1, 0, 0, 2), (2, 0, 0, 2), (1, 1, 0, 16384)
BROKEN = [
    ("R1", b"", "not an .mtjb model"),
    ("R1", patched(0, b"MTJC"), "not an .mtjb model"),
    ("R1", b"\x7fELF" + bytes(200), "not an .mtjb model"),
    ("R2", encode(TINY)[:67], "less than a header"),
    ("R3", patched(4, b"\x02"), "format version 2.0"),
    ("R3", patched(5, b"\x01"), "format version 1.1"),
    ("R4", encode(TINY)[:-1], "truncated: 119 of 120"),
    ("R4", encode(TINY) + b"\0", "1 bytes after"),
    ("R5", encode(TINY)[:-1] + b"\0", "checksum mismatch"),
    ("R6", patched(7, b"\x01"), "reserved"),
    ("R6", patched(26, b"\x01"), "reserved"),
    ("R6", patched(31, b"\x80"), "reserved"),
    ("R6", patched(TABLE_AT + 3, b"\x01"), "layer 0: reserved"),
    ("R6", patched(TABLE_AT + 8 + 6, b"\x01"), "layer 1: reserved"),
    ("R7", header(div=0), "divides by 0"),
    ("R8", header(labels_bytes=7), "no multiple of 4"),
    ("R9", header(labels_bytes=120), "longer than the file"),
    ("R9", patched(6, b"\xff"), "longer than the file"),
    ("R10", patched(32, b"\xff\xfe"), "not UTF-8"),
    ("R10", patched(40, b"x"), "after its end"),
    ("R10", patched(32, b"\x1b[2J"), "control"),
    ("R10", patched(32, b"a\nb"), "control"),
    ("R10", patched(LABELS_AT, b"\x07"), "control"),
    ("R10", patched(LABELS_AT, b"\xc3\x28"), "not UTF-8"),
    ("R10", patched(LABELS_AT, b"\xc1\xbf"), "not UTF-8"),  # overlong, which MicroPython decodes
    ("R10", patched(LABELS_AT, b"\xed\xa0\x80"), "not UTF-8"),  # a surrogate
    ("R10", patched(32, b"\xf4\x90\x80\x80"), "not UTF-8"),  # beyond Unicode
    ("R10", patched(LABELS_AT + 1, b"\0"), "after its end"),
    ("R11", patched(LABELS_AT, b"no\n\n"), "3 class names for 2"),
    ("R11", patched(LABELS_AT, b"nope"), "1 class names for 2"),
    ("R12", layers(DENSE), "2 to 64 layers"),
    ("R12", layers(), "2 to 64 layers"),
    ("R12", layers(*[CONV] * 64, DENSE), "2 to 64 layers"),
    ("R12", header(height=0), "sides go from"),
    ("R12", header(width=1025), "sides go from"),
    ("R12", header(channels=0), "0 channels"),
    ("R12", header(channels=17), "17 channels"),
    ("R13", layers((3, 0, 0, 2), DENSE), "layer 0: kind 3"),
    ("R13", layers((0, 0, 0, 2), DENSE), "layer 0: kind 0"),
    ("R13", layers((1, 2, 0, 2), DENSE), "padding and pooling"),
    ("R13", layers((1, 0, 2, 2), DENSE), "padding and pooling"),
    ("R13", layers(CONV, (2, 1, 0, 2)), "a dense layer has"),
    ("R13", layers(CONV, (2, 0, 1, 2)), "a dense layer has"),
    ("R14", layers(DENSE, DENSE), "first layer is"),
    ("R14", layers(CONV, (1, 1, 0, 2)), "last layer is"),
    ("R14", layers(CONV, DENSE, (1, 1, 0, 2), DENSE), "cannot follow"),
    ("R15", layers((1, 0, 0, 0), DENSE), "0 outputs"),
    ("R15", layers((1, 0, 0, 16385), DENSE), "16385 outputs"),
    ("R15", layers(CONV, (2, 0, 0, 1025)), "1025 outputs"),
    ("R16", layers(CONV, CONV, DENSE), "layer 1: its input of 1 x 1"),
    ("R16", layers((1, 1, 1, 2), DENSE), "pooling of odd 3 x 3"),
    ("R17", layers((1, 1, 0, 16384), DENSE, shape=(1024, 1024, 1)), "too long"),
    ("R18", sealed(encode(TINY)[:-4]), "the file has 116"),
    ("R18", sealed(encode(TINY) + bytes(4)), "the file has 124"),
    ("R18", layers((1, 1, 0, 16384), (2, 0, 0, 1024), shape=(2, 2, 1)), "the layers need"),
    ("R19", patched(DATA_AT + 1, b"\x02"), "layer 0: weight padding"),
    ("R19", patched(DATA_AT + 20, b"\x04"), "layer 1: weight padding"),
    ("R19", patched(DATA_AT + 19, b"\x80"), "layer 0: inversion mask"),
    ("R20", encode(TINY)[:8] + b"\1\0\0\x08" + encode(TINY)[12:], "134217728 are the most"),
    ("R20", layers(WIDE, WIDE, DENSE), "more than 134217728 bytes"),
    ("R21", layers(WIDE, (1, 1, 0, 1), DENSE, shape=(257, 256, 1)), "more than 1073741824 bits"),
]


@pytest.mark.parametrize(("rule", "data", "message"), BROKEN)
def test_a_broken_rule_is_refused(rule, data, message):
    with pytest.raises(FormatError, match=re.escape(message)):
        Model(data)


def test_every_rule_of_the_page_is_broken_above():
    assert set(re.findall(r"^\| (R\d+) \|", PAGE, re.MULTILINE)) == {rule for rule, *_ in BROKEN}


def test_the_page_dumps_the_tiny_model():
    rows = re.findall(r"^00[0-7]0  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)", PAGE, re.MULTILINE)
    assert bytes.fromhex(" ".join(rows)) == encode(TINY)


def test_every_flipped_bit_and_every_cut_is_noticed():
    good = encode(TINY)
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(FormatError):
            Model(data)
    for size in range(len(good)):
        with pytest.raises(FormatError):
            Model(good[:size])


def test_the_page_states_the_layout_that_the_code_declares():
    for struct_format, size in ((mtjb.HEADER, 32), (mtjb.LAYER, 8)):
        assert struct.calcsize(struct_format) == size
    assert (mtjb.HEADER_BYTES, mtjb.NAME_BYTES, mtjb.LAYER_BYTES) == (64, 32, 8)


def test_every_model_that_the_project_carries_is_valid():
    carried = sorted((ROOT / "host").rglob("*.mtjb"))
    assert carried
    for path in carried:
        Model(path.read_bytes())
