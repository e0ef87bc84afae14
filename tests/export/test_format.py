"""export/FORMAT.md: its hex dump is the writer's output, and every rule refuses a broken file."""

import dataclasses
import re
import struct
from pathlib import Path

import networks
import numpy as np
import pytest
from mtjkit_core import mtjb
from mtjkit_core.errors import FormatError
from mtjkit_core.model import Model
from mtjkit_core.mtjb import ENTRY_FIELDS, conv_entry, dense_entry
from mtjkit_core.reference import run_image
from mtjkit_core.write_errors import WriteErrors
from mtjkit_export import BinaryLayer, BinaryNet, PixelRule, encode
from mtjkit_host.simulate.simulator import open_simulator

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
LABELS_AT, TABLE_AT, DATA_AT = 96, 104, 168
HEADER_FIELDS = {  # offset and struct format
    "header_bytes": (12, "<H"),
    "entry_bytes": (14, "<H"),
    "height": (16, "<H"),
    "width": (18, "<H"),
    "channels": (20, "<H"),
    "input": (22, "<B"),
    "pixels": (23, "<B"),
    "mul": (24, "<H"),
    "add": (26, "<H"),
    "div": (28, "<H"),
    "scores": (30, "<B"),
    "decision": (31, "<B"),
    "labels_bytes": (32, "<I"),
}


def patched(at, raw, data=None):
    """The tiny model with other bytes at an offset, sealed."""
    data = bytearray(data or encode(TINY))
    data[at : at + len(raw)] = raw
    return networks.sealed(data)


def header(**fields):
    """The tiny model with other header fields, sealed."""
    data = bytearray(encode(TINY))
    for name, value in fields.items():
        at, form = HEADER_FIELDS[name]
        struct.pack_into(form, data, at, value)
    return networks.sealed(data)


def longer(header_zeros, entry_zeros):
    """The tiny model with more bytes in its header and at the end of its entries, sealed."""
    data = bytearray(encode(TINY))
    for end in (DATA_AT, DATA_AT - 32):
        data[end:end] = entry_zeros
    data[96:96] = header_zeros
    struct.pack_into("<HH", data, 12, 96 + len(header_zeros), 32 + len(entry_zeros))
    return networks.sealed(data)


def layers(*entries, shape=(3, 3, 1), minor=0):
    """A file with these layers and an empty body, sealed.

    All rules on geometry come before the one on the body's size.
    """
    head = struct.pack(mtjb.START, b"MTJB", 2, minor, len(entries), 0, 0)
    head += struct.pack(mtjb.HEADER, 96, 32, *shape, 0, 0, 1, 0, 1, 0, 0, 0)
    table = b"".join(struct.pack(mtjb.ENTRY, *one).ljust(32, b"\0") for one in entries)
    return networks.sealed(head.ljust(96, b"\0") + table + bytes(4))


def conv(index, out=2, **options):
    """Entry of a 3x3 convolution."""
    return conv_entry(index, out, **options)


def dense(index, out=2):
    """Entry of a dense layer of the scores."""
    return dense_entry(index, out, sums=True)


def entry(start, **fields):
    """An entry with other fields."""
    values = dict(zip(ENTRY_FIELDS, start, strict=True))
    return tuple({**values, **fields}.values())


def chained(*kinds):
    """A file with layers of these kinds and two outputs each, all but the last hidden."""
    last = len(kinds) - 1
    return layers(
        *(
            conv(i, pads=(1,) * 4) if kind == "conv" else dense_entry(i, 2, i == last)
            for i, kind in enumerate(kinds)
        )
    )


def layers_1(*specs, shape=(3, 3, 1)):
    """A file of version 1.0 with layers of (kind, padding, pool, outputs) and an empty body."""
    head = struct.pack(mtjb.START, b"MTJB", 1, 0, len(specs), 0, 0)
    head += struct.pack(mtjb.HEADER_1, *shape, 1, 0, 1, 0, 0, 0) + bytes(32)
    table = b"".join(struct.pack(mtjb.ENTRY_1, k, pad, pool, 0, n, 0) for k, pad, pool, n in specs)
    return networks.sealed(head + table + bytes(4))


def tiny_1():
    """The tiny model as version 1.0."""
    data = encode(TINY)
    labels, body = data[LABELS_AT:TABLE_AT], data[DATA_AT:-4]
    head = struct.pack(mtjb.START, b"MTJB", 1, 0, 2, 0, 0)
    head += struct.pack(mtjb.HEADER_1, 3, 3, 1, 1, 0, 1, len(labels), 0, 0) + data[64:96]
    table = struct.pack(mtjb.ENTRY_1, 1, 0, 0, 0, 2, 0) + struct.pack(
        mtjb.ENTRY_1, 2, 0, 0, 0, 2, 0
    )
    return networks.sealed(head + labels + table + body + bytes(4))


def named(name, *class_names, **options):
    """A network of version 2.1: one dense layer over the tiny model's image, one score."""
    layer = BinaryLayer.dense([[1, -1, 1] * 3], input_shape=(3, 3, 1))
    data = encode(BinaryNet(name, [layer], (3, 3, 1), **options))
    if class_names:  # which the writer would refuse
        raw = "\n".join(class_names).encode()
        labels = raw + bytes(-len(raw) % 4)
        data = data[:32] + struct.pack("<I", len(labels)) + data[36:96] + labels + data[96:]
    return networks.sealed(data)


def scaled(number):
    """The tiny model with scales and offsets, of which the last one is `number`."""
    data = bytearray(encode(dataclasses.replace(TINY, scale=[0.5, 2], offset=[0, -1])))
    struct.pack_into("<f", data, len(data) - 8, number)
    return networks.sealed(data)


def signed(mask):
    """The tiny model with signs, whose mask begins with these bytes."""
    layer = BinaryLayer.conv(FIRST, [5, -3], pool=(1, 1), signs=[1, 0])
    data = bytearray(encode(dataclasses.replace(TINY, layers=[layer, TINY.layers[1]])))
    at = DATA_AT + 20
    assert data[at : at + 4] == b"\1\0\0\0"
    data[at : at + len(mask)] = mask
    return networks.sealed(data)


SIZE = len(encode(TINY))
AVERAGED = conv(0, pool=(1, 1), pool_stride=(1, 1), pool_kind=2)
SIGNED = conv(0, pool=(1, 1), pool_stride=(1, 1), pool_kind=3)
C, WIDE = conv(0), {"out": 16384, "pads": (1,) * 4}
BROKEN = [
    ("R1", b"", "not an .mtjb model"),
    ("R1", patched(0, b"MTJC"), "not an .mtjb model"),
    ("R1", b"\x7fELF" + bytes(200), "not an .mtjb model"),
    ("R2", encode(TINY)[:67], "shorter than a header"),
    ("R2", networks.sealed(encode(TINY)[:99]), "shorter than a header"),
    ("R3", patched(4, b"\x03"), "format version 3.0"),
    ("R3", patched(4, b"\0"), "format version 0.0"),
    ("R3", patched(5, b"\x03"), "format version 2.3"),
    ("R4", encode(TINY)[:-1], f"truncated: the file has {SIZE - 1} of {SIZE}"),
    ("R4", encode(TINY) + b"\0", "1 bytes after"),
    ("R5", encode(TINY)[:-1] + b"\0", "checksum mismatch"),
    ("R6", patched(7, b"\x01"), "reserved header"),
    ("R6", patched(36, b"\x01"), "reserved header"),
    ("R6", patched(63, b"\x80"), "reserved header"),
    ("R6", longer(bytes(4) + b"\0\x01\0\0", b""), "reserved header"),
    ("R6", patched(TABLE_AT + 22, b"\x01"), "layer 0: reserved"),
    ("R6", patched(TABLE_AT + 63, b"\x01"), "layer 1: reserved"),
    ("R6", longer(b"", b"\0\0\0\1"), "layer 0: reserved"),
    ("R7", header(div=0), "divides by 0"),
    ("R7", header(pixels=2, mul=2), "a pixel rule beside"),
    ("R7", header(pixels=1, add=1), "a pixel rule beside"),
    ("R8", header(labels_bytes=7), "not a multiple of 4"),
    ("R8", header(header_bytes=92), "a header of 92 bytes"),
    ("R8", header(header_bytes=98), "not multiples of 4"),
    ("R8", header(entry_bytes=28), "entries of 28"),
    ("R8", header(entry_bytes=33), "not multiples of 4"),
    ("R9", header(labels_bytes=120), "longer than the file"),
    ("R9", header(labels_bytes=0xFFFFFFFC), "longer than the file"),
    ("R9", header(header_bytes=SIZE), "longer than the file"),
    ("R9", header(entry_bytes=0xFFFC), "longer than the file"),
    ("R9", patched(6, b"\xff"), "longer than the file"),
    ("R9", header(pixels=1), "longer than the file"),
    ("R10", patched(64, b"\xff\xfe"), "not UTF-8"),
    ("R10", patched(72, b"x"), "after its end"),
    ("R10", patched(64, b"\x1b[2J"), "control"),
    ("R10", patched(64, b"a\nb"), "control"),
    ("R10", patched(LABELS_AT, b"\x07"), "control"),
    ("R10", patched(LABELS_AT, b"\xc3\x28"), "not UTF-8"),
    ("R10", patched(LABELS_AT, b"\xc1\xbf"), "not UTF-8"),  # overlong, which MicroPython decodes
    ("R10", patched(LABELS_AT, b"\xed\xa0\x80"), "not UTF-8"),  # a surrogate
    ("R10", patched(64, b"\xf4\x90\x80\x80"), "not UTF-8"),  # beyond Unicode
    ("R10", patched(LABELS_AT + 1, b"\0"), "after its end"),
    ("R11", patched(LABELS_AT, b"no\n\n"), "3 class names for 2"),
    ("R11", patched(LABELS_AT, b"nope"), "1 class names for 2"),
    (
        "R11",
        patched(5, b"\1", header(decision=1)),
        "the sign of one score decides, but there are 2",
    ),
    ("R11", patched(5, b"\1", named("sign", "a", by_sign=True)), "needs 2"),
    ("R12", layers(), "1 to 64 layers"),
    ("R12", chained(*["conv"] * 64, "dense"), "1 to 64 layers"),
    ("R12", header(height=0), "sides go from"),
    ("R12", header(width=1025), "sides go from"),
    ("R12", header(channels=0), "0 channels"),
    ("R12", header(channels=16385), "16385 channels"),
    ("R13", layers(entry(C, kind=3), dense(1)), "layer 0: kind 3"),
    ("R13", layers(entry(C, kind=0), dense(1)), "layer 0: kind 0"),
    ("R13", layers(entry(C, kernel_height=0), dense(1)), "kernel or a stride of 0"),
    ("R13", layers(entry(C, stride_x=0), dense(1)), "kernel or a stride of 0"),
    ("R13", layers(C, entry(dense(1), kernel_height=1)), "a dense layer has"),
    ("R13", layers(C, entry(dense(1), stride_y=1)), "a dense layer has"),
    ("R13", layers(C, entry(dense(1), pad_left=1)), "a dense layer has"),
    ("R13", layers(C, entry(dense(1), pad_value=1)), "a dense layer has"),
    ("R13", layers(C, entry(dense(1), pool_kind=1)), "a dense layer has"),
    ("R14", layers(C, entry(conv(1, kernel=(1, 1)), output=1)), "last layer is"),
    ("R14", layers(C, dense_entry(1, 2), conv(2, kernel=(1, 1)), dense(3)), "cannot follow"),
    ("R14", layers(AVERAGED, dense_entry(1, 2), dense(2)), "layer 0: average pooling stands"),
    ("R14", layers(C, dense_entry(1, 2, False, 8), dense(2)), "layer 1: int8 weights are for"),
    ("R15", layers(conv(0, 0), dense(1)), "0 outputs"),
    ("R15", layers(conv(0, 16385), dense(1)), "16385 outputs"),
    ("R15", layers(C, dense(1, 1025)), "1025 outputs"),
    ("R16", layers(C, conv(1), dense(2)), "layer 1: its input of 1 x 1"),
    ("R16", layers(conv(0, stride=(3, 3)), conv(1, stride=(2, 2)), dense(2)), "input of 1 x 1"),
    ("R16", layers(conv(0, pool=(2, 2), pool_stride=(2, 2)), dense(1)), "1 x 1 sums are too few"),
    ("R17", layers(conv(0, **WIDE), dense(1), shape=(1024, 1024, 1)), "too long"),
    ("R17", layers(dense_entry(0, 2, True, 8), shape=(256, 256, 1)), "65536 products are too long"),
    (
        "R17",
        layers(
            conv(0, **WIDE, pool=(181, 181), pool_stride=(1, 1), pool_kind=2),
            dense(1),
            shape=(182, 182, 1),
        ),
        "too long",
    ),
    ("R18", networks.sealed(encode(TINY)[:-4]), f"the file has {SIZE - 4}"),
    ("R18", networks.sealed(encode(TINY) + bytes(4)), f"the file has {SIZE + 4}"),
    ("R18", layers(conv(0, **WIDE), dense(1, 1024), shape=(2, 2, 1)), "the layers need"),
    ("R19", patched(DATA_AT + 1, b"\x02"), "layer 0: weight padding"),
    ("R19", patched(DATA_AT + 20, b"\x04"), "layer 1: weight padding"),
    ("R19", patched(DATA_AT + 19, b"\x80"), "layer 0: inversion mask"),
    ("R19", signed(b"\x04"), "layer 0: sign mask"),
    ("R20", encode(TINY)[:8] + b"\1\0\0\x08" + encode(TINY)[12:], "the maximum is 134217728"),
    ("R20", layers(conv(0, **WIDE), conv(1, **WIDE), dense(2)), "more than 134217728 bytes"),
    (
        "R21",
        layers(conv(0, **WIDE), conv(1, 1, pads=(1,) * 4), dense(2), shape=(257, 256, 1)),
        "more than 1073741824 bits",
    ),
    ("R22", layers(conv(0, pads=(3, 0, 0, 0)), dense(1)), "as wide as the kernel"),
    ("R22", layers(conv(0, kernel=(3, 1), pads=(0, 0, 0, 1)), dense(1)), "as wide as the kernel"),
    ("R23", layers(C, conv(1, kernel=(1, 1), pad_value=2), dense(2)), "pad value 2"),
    ("R23", layers(C, conv(1, kernel=(1, 1), pad_value=-2), dense(2)), "pad value -2"),
    ("R24", layers(entry(C, pool_kind=4), dense(1)), "pooling of kind 4"),
    ("R24", layers(entry(C, pool_height=1), dense(1)), "pool size without pooling"),
    ("R24", layers(entry(C, pool_kind=1), dense(1)), "pool stride of 0"),
    ("R24", layers(entry(C, pool_kind=2), dense(1)), "pool stride of 0"),
    (
        "R24",
        layers(conv(0, pool=(182, 181), pool_stride=(1, 1), pool_kind=2), dense(1)),
        "an average of more than 32767 bits",
    ),
    ("R25", header(input=3), "input of kind 3"),
    ("R25", header(pixels=3), "pixels of kind 3"),
    ("R25", header(scores=2), "scores of kind 2"),
    ("R25", header(decision=2), "decision of kind 2"),
    ("R25", header(input=1), "version 2.0 cannot say"),
    ("R25", header(pixels=2), "version 2.0 cannot say"),
    ("R25", header(scores=1), "version 2.0 cannot say"),
    ("R25", patched(5, b"\0", named("sign", by_sign=True)), "version 2.0 cannot say"),
    ("R25", patched(5, b"\0", named("alone")), "version 2.0 cannot say"),
    ("R25", layers(C, dense_entry(1, 2)), "version 2.0 cannot say"),
    ("R25", layers(C, entry(conv(1), source=0), dense(2)), "layer 1: its source is map 0"),
    ("R25", layers(entry(C, weight_bits=2), dense(1)), "weights of 2 bits"),
    ("R25", layers(entry(C, weight_bits=8), dense(1)), "version 2.0 cannot say"),
    ("R25", layers(conv(0, groups=2), dense(1), shape=(3, 3, 2)), "version 2.0 cannot say"),
    ("R25", layers(AVERAGED, dense(1)), "version 2.0 cannot say"),
    ("R25", layers(SIGNED, dense(1), minor=1), "version 2.1 cannot say"),
    ("R25", layers(entry(C, output=1), dense(1)), "output of kind 1"),
    ("R25", layers(C, entry(dense(1), output=2)), "output of kind 2"),
    ("R27", layers(entry(C, groups=0), dense(1)), "0 groups"),
    ("R27", layers(C, entry(dense(1), groups=2)), "2 groups; a dense layer has 1"),
    ("R27", layers(conv(0, groups=2), dense(1)), "2 groups of 1 inputs"),
    ("R27", layers(conv(0, 3, groups=2), dense(1), shape=(3, 3, 2)), "2 inputs and 3 outputs"),
    ("R26", scaled(2.0**96), "score 1: scale and offset are 0 or"),
    ("R26", scaled(-(2.0**-97)), "score 1: scale and offset are 0 or"),
    ("R26", scaled(float("inf")), "score 1: scale and offset are 0 or"),
    ("R26", scaled(float("nan")), "score 1: scale and offset are 0 or"),
]
CONV_1, DENSE_1 = (1, 0, 0, 2), (2, 0, 0, 2)
BROKEN_1 = [
    ("R2", tiny_1()[:67], "shorter than a header"),
    ("R3", patched(5, b"\x01", tiny_1()), "format version 1.1"),
    ("R4", tiny_1()[:-1], "truncated: the file has 119 of 120"),
    ("R5", tiny_1()[:-1] + b"\0", "checksum mismatch"),
    ("R6", patched(7, b"\x01", tiny_1()), "reserved"),
    ("R6", patched(26, b"\x01", tiny_1()), "reserved"),
    ("R6", patched(31, b"\x80", tiny_1()), "reserved"),
    ("R6", patched(72 + 3, b"\x01", tiny_1()), "layer 0: reserved"),
    ("R6", patched(72 + 8 + 6, b"\x01", tiny_1()), "layer 1: reserved"),
    ("R7", patched(22, b"\0", tiny_1()), "divides by 0"),
    ("R8", patched(24, b"\7", tiny_1()), "not a multiple of 4"),
    ("R9", patched(24, b"\x78", tiny_1()), "longer than the file"),
    ("R10", patched(32, b"\xff\xfe", tiny_1()), "not UTF-8"),
    ("R12", layers_1(CONV_1), "2 to 64 layers"),
    ("R12", patched(16, b"\x11", tiny_1()), "17 channels"),
    ("R13", layers_1((3, 0, 0, 2), DENSE_1), "layer 0: kind 3"),
    ("R13", layers_1((1, 2, 0, 2), DENSE_1), "padding and pooling"),
    ("R13", layers_1((1, 0, 2, 2), DENSE_1), "padding and pooling"),
    ("R13", layers_1(CONV_1, (2, 1, 0, 2)), "a dense layer has"),
    ("R13", layers_1(CONV_1, (2, 0, 1, 2)), "a dense layer has"),
    ("R14", layers_1(DENSE_1, DENSE_1), "first layer is"),
    ("R14", layers_1(CONV_1, (1, 1, 0, 2)), "last layer is"),
    ("R14", layers_1(CONV_1, DENSE_1, (1, 1, 0, 2), DENSE_1), "cannot follow"),
    ("R16", layers_1(CONV_1, CONV_1, DENSE_1), "layer 1: its input of 1 x 1"),
    ("R16", layers_1((1, 1, 1, 2), DENSE_1), "pooling of odd 3 x 3"),
    ("R18", networks.sealed(tiny_1()[:-4]), "the file has 116"),
    ("R19", patched(88 + 1, b"\x02", tiny_1()), "layer 0: weight padding"),
]


@pytest.mark.parametrize(("rule", "data", "message"), BROKEN + BROKEN_1)
def test_a_broken_rule_is_refused(rule, data, message):
    with pytest.raises(FormatError, match=re.escape(message)):
        Model(data)


def test_every_rule_of_the_page_is_broken_above():
    assert set(re.findall(r"^\| (R\d+) \|", PAGE, re.MULTILINE)) == {rule for rule, *_ in BROKEN}


def test_the_page_dumps_the_tiny_model():
    rows = re.findall(r"^00[0-9a-f]0  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)", PAGE, re.MULTILINE)
    assert bytes.fromhex(" ".join(rows)) == encode(TINY)


@pytest.mark.parametrize("good", [encode(TINY), tiny_1()])
def test_every_flipped_bit_and_every_cut_is_noticed(good):
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(FormatError):
            Model(data)
    for size in range(len(good)):
        with pytest.raises(FormatError):
            Model(good[:size])


def test_the_page_states_the_layout_that_the_code_declares():
    sizes = {mtjb.START: 12, mtjb.HEADER: 24, mtjb.ENTRY: 22, mtjb.HEADER_1: 20, mtjb.ENTRY_1: 8}
    assert {form: struct.calcsize(form) for form in sizes} == sizes
    assert (mtjb.HEADER_BYTES, mtjb.NAME_BYTES, mtjb.ENTRY_BYTES) == (96, 32, 32)
    table = PAGE.split("### Entry of the layer table")[1].split("### Block")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| \w+ \| `(\w+)` \|", table, re.MULTILINE)
    assert [name for *_, name in rows] == list(ENTRY_FIELDS)
    at = 0
    for offset, size, _ in rows:
        assert int(offset) == at
        at += int(size)
    assert at == struct.calcsize(mtjb.ENTRY)


def test_a_longer_header_and_longer_entries_are_read():
    model, plain = Model(longer(bytes(8), bytes(4))), Model(encode(TINY))
    assert (model.name, model.class_names) == (plain.name, plain.class_names)
    first, there = model.layers[0], plain.layers[0]
    assert first.weights_at == there.weights_at + 8 + 2 * 4
    assert bytes(model.data[first.weights_at : -4]) == bytes(plain.data[there.weights_at : -4])


def test_both_versions_of_a_file_say_the_same():
    old, new = Model(tiny_1()), Model(encode(TINY))
    assert (old.version, new.version) == ((1, 0), (2, 0))
    assert (old.name, old.class_names, old.input_shape, old.pixel_rule) == (
        new.name,
        new.class_names,
        new.input_shape,
        new.pixel_rule,
    )
    for image in (bytes(9), bytes(range(120, 129))):
        errors = WriteErrors(7, limits=1 << 30)
        results = [run_image(model, image, 0, errors, [0] * 5) for model in (old, new)]
        assert results[0] == results[1]


def test_every_model_that_the_project_carries_is_the_same_as_version_2():
    carried = sorted((ROOT / "host").rglob("*.mtjb"))
    assert carried
    for path in carried:
        old = Model(path.read_bytes())
        if old.version != (1, 0):
            continue
        new = Model(bytes(networks.as_version_2(old.data)))
        assert (new.name, new.class_names, new.pixel_rule) == (
            old.name,
            old.class_names,
            old.pixel_rule,
        )
        images = np.random.default_rng(1).integers(-128, 128, (2, *old.input_shape), np.int8)
        indices = np.arange(2, dtype=np.uint32)
        runs = [open_simulator(model).run(images, indices) for model in (old, new)]
        assert (runs[0][0] == runs[1][0]).all()
        assert (runs[0][1] == runs[1][1]).all()
