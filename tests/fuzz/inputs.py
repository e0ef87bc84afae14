"""Inputs: good ones of every target, hostile ones made by hand, and mutations of both by a seed."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from random import Random

import importing
import networks
import numpy as np
from mtjkit_core import geometry, mtjb, whole_frames
from mtjkit_core import messages as m
from mtjkit_core.errors import FormatError
from mtjkit_core.mtjb import conv_entry, dense_entry
from mtjkit_host.campaign.description import CAMPAIGNS
from mtjkit_host.mtj.cell import Cell
from mtjkit_host.mtj.fit import COLUMNS
from mtjkit_host.mtj.pulse_plan import LayerPulses, PulsePlan
from mtjkit_host.mtj.scheme import Pulses
from mtjkit_host.paths import BOARDS
from PIL import Image, PngImagePlugin

CONV, DENSE = geometry.CONV, geometry.DENSE
EDGES = (0, 1, 2, 3, 31, 32, 33, 127, 128, 254, 255)
EDGES_16 = (0, 1, 2, 3, 16, 17, 32, 33, 1024, 1025, 16384, 16385, 0x7FFF, 0x8000, 0xFFFF)
EDGES_32 = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 27, 1 << 30)
LITERALS = (
    "0", "-1", "1e999", "-0.0", "nan", "NaN", "inf", "-Infinity", "true", "null", '""', "[]", "{}",
    "1e-9", "18446744073709551616", "1" + "0" * 400, "1" * 900, "1" * 5000, "0x" + "f" * 900,
    '"\\u0000"', '"\\ud800"', '"\\u001b[2J"', '"a\\nb"', '"' + "x" * 5000 + '"', "[" * 900,
    "[" * 3000, "[" * 200 + "]" * 200, "a" + ".a" * 400 + " = 1", '{"a": 1}', "{a = 1}",
    "[1, [2, {}]]", "2020-01-01", "1_0", "'x'",
)  # fmt: skip
SEQUENCES = tuple(
    bytes.fromhex(text) for text in ("c3a9", "eda080", "c1bf", "f4908080", "e080af", "9f")
)
"""UTF-8, and what is not."""
TOKEN = re.compile(rb'"[^"\n]*"|[\w.+-]+|[^\s\w]')


def absurd(shape: tuple[int, ...], specs: list[tuple[int, ...]], body: int = 0) -> bytes:
    """A model with a right size and checksum and `body` bytes of zeros as its layers."""
    head = struct.pack(mtjb.START, b"MTJB", 1, 0, len(specs), 0, 0)
    head += struct.pack(mtjb.HEADER_1, *shape, 1, 0, 1, 0, 0, 0)
    table = b"".join(struct.pack(mtjb.ENTRY_1, k, pad, pool, 0, n, 0) for k, pad, pool, n in specs)
    return networks.sealed(head + bytes(32) + table + bytes(body + 4))


def absurd_2(shape: tuple[int, ...], entries: list[tuple[int, ...]], body: int = 0) -> bytes:
    """The same as `absurd` in version 2.0."""
    head = struct.pack(mtjb.START, b"MTJB", 2, 0, len(entries), 0, 0) + networks.head_2(shape)
    head = head.ljust(mtjb.HEADER_BYTES, b"\0")
    return networks.sealed(head + networks.table_2(entries) + bytes(body + 4))


def lying(frame: bytes) -> Iterator[bytes]:
    """A frame whose code bytes promise other lengths than it has."""
    for code in EDGES:
        yield bytes([code]) + frame[1:]
        yield bytes([code]) + frame[1:] * 2
    yield b"\xff" * 254 + b"\0"
    yield b"\xff" * 600 + b"\0"
    for size in (0, 1, 3, 5, 6, 7, 249, 252):  # CRC and stuffing right, bodies too short or long
        raw = bytes([m.QUERY.kind, 0]) + b"\x01" * size
        raw += struct.pack("<I", zlib.crc32(raw))
        for cut in (len(raw), len(raw) - 3):
            part = raw[:cut].split(b"\0")
            yield b"".join(bytes([len(p) + 1 & 255]) + p for p in part) + b"\0"


WIDE = (CONV, 1, 0, 16384)
HOSTILE_MODELS = {
    "layers do not fit together: dense, then a convolution": absurd(
        (4, 4, 1), [(CONV, 1, 0, 2), (DENSE, 0, 0, 2), (CONV, 0, 0, 2), (DENSE, 0, 0, 2)], 500
    ),
    "layers do not fit together: a map shrinks below a kernel": absurd(
        (4, 4, 1), [(CONV, 0, 0, 2)] * 3 + [(DENSE, 0, 0, 2)], 500
    ),
    "layers do not fit together: half a pixel": absurd(
        (6, 5, 1), [(CONV, 1, 1, 2), (DENSE, 0, 0, 2)], 500
    ),
    "layers do not fit together: the body is the next network's": absurd(
        (4, 4, 1), [(CONV, 1, 0, 2), (DENSE, 0, 0, 2)], 500
    ),
    "2**34 bits in one map": absurd((1024, 1024, 1), [WIDE, (CONV, 1, 0, 1), (DENSE, 0, 0, 1)]),
    "1.1e9 bits of maps in 63 layers": absurd(
        (1024, 1024, 1), [(CONV, 1, 0, 17)] * 63 + [(DENSE, 0, 0, 1)], 99999
    ),
    "2**31 weights": absurd((3, 3, 1), [WIDE, WIDE, (DENSE, 0, 0, 1)]),
    "2**38 weights": absurd((9, 9, 16), [WIDE] * 63 + [(DENSE, 0, 0, 1024)]),
    "a sum of 2**34 products": absurd((1024, 1024, 1), [WIDE, (DENSE, 0, 0, 1)]),
    "every geometry field at its most": absurd(
        (65535, 65535, 65535), [(255, 255, 255, 65535)] * 255, 65535
    ),
    "4 GB, it says": networks.sealed(absurd((3, 3, 1), [WIDE, (DENSE, 0, 0, 1)]))[:8]
    + b"\xff\xff\xff\xff" + bytes(116),
    "a size that wraps to the right one": networks.sealed(
        absurd((1024, 1024, 16), [WIDE, WIDE, WIDE, (DENSE, 0, 0, 1024)], 16384)
    ),
    "valid and absurd: 1.05e9 map bits and 2e10 products in a file of 10 kB": absurd(
        (1024, 1024, 1), [(CONV, 1, 0, 1000), *[(CONV, 1, 1, 1)] * 10, (DENSE, 0, 0, 1)],
        1000 * 8 + 128 + 9 * 128 + 8 + 9 * (9 * 4 + 8) + 4,
    ),
    "valid and absurd: 1.5e12 products in a file of 193 kB": absurd(
        (1024, 1024, 1), [(CONV, 1, 0, 400)] * 2 + [(CONV, 1, 1, 1)] * 10 + [(DENSE, 0, 0, 1)],
        4 * 813 + 4 * (400 * 118 + 13) + 4 * 119 + 9 * 44 + 4,
    ),
    "valid and absurd: 64 layers, one bit each": absurd(
        (3, 3, 1), [(CONV, 0, 0, 1), *[(DENSE, 0, 0, 1)] * 63], 63 * 12 + 4
    ),
    "valid and absurd: a score for each of 1024 classes, from one pixel": absurd(
        (1, 1, 1), [(CONV, 1, 0, 1), (DENSE, 0, 0, 1024)], 12 + 4096
    ),
    "2.0: every field of every entry at its most": absurd_2(
        (65535, 65535, 65535),
        [(255, 255, 65535, *[255] * 8, 127, *[255] * 5, 65535, 255, 255)] * 255,
    ),
    "valid and absurd: 1.5e11 products of a kernel of 255 x 255": absurd_2(
        (1024, 1024, 1),
        [
            conv_entry(0, 4, (255, 255), (1, 1), (0,) * 4, 0, (255, 255), (255, 255)),
            dense_entry(1, 1, True),
        ],
        4 * (4 * 2033 + 4 + 1) + 4 * 9,
    ),
    "2.0: a vector of 16384 inputs, then 16384 outputs": absurd_2(
        (1, 1, 16384), [dense_entry(0, 16384), dense_entry(1, 1, True)], 4 * 16384
    ),
    "2.0: a header longer than any file": networks.sealed(
        absurd_2((3, 3, 1), [conv_entry(0, 1), dense_entry(1, 1, True)], 16)[:12]
        + b"\xfc\xff\xfc\xff" + bytes(200)
    ),
    "valid and absurd: 6e8 bits of pooling windows": absurd_2(
        (1024, 1024, 1),
        [
            conv_entry(0, 1, (1, 1), (1, 1), (0,) * 4, 0, (255, 255), (8, 8)),
            dense_entry(1, 1, True),
        ],
        12 + 4 * 97 * 97,
    ),
}  # fmt: skip


def _text(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Good inputs of a target, the hand-made hostile ones behind them."""
    if name in ("model", "model-file"):
        nets = (*networks.NETWORKS, *networks.GEOMETRIES)
        good = [bytes(networks.build(net)) for net in nets]
        good += [bytes(networks.as_version_2(networks.build(net))) for net in ("thin", "pooled")]
        named = bytearray(64 + 12) + networks.build("thin")[64:]
        named[:64] = networks.build("thin")[:64]
        named[24:26] = b"\x0c\x00"
        named[64:76] = "K\u00e4se\u20ac\U0001f600".encode()
        return (*good, networks.sealed(named), *HOSTILE_MODELS.values())
    if name == "frames":
        stream = whole_frames.pack(1, 0, b"\x01\0\0\xff") + whole_frames.pack(7, 9, bytes(248))
        stream += b"".join(
            whole_frames.pack(k, k, bytes(one.size)) for k, one in _messages().items()
        )
        good = [bytes([step]) + stream for step in (0, 6, 63, 255)]
        lies = [b"\x0f" + lie + stream[:12] for lie in lying(whole_frames.pack(7, 9, b"\0" * 5))]
        return (*good, *lies, b"\x00" + b"\xff" * 2000, b"\xff" + bytes(2000))
    if name == "messages":
        sizes = {k: one.size for k, one in _messages().items()}
        return tuple(
            bytes([k]) + bytes([k & 127]) * max(0, size + more)
            for k, size in sizes.items()
            for more in (0, 1, -1, 99, 248)
        )
    if name == "arrays":
        return (b"", b"\1" * 99, *(Random(n).randbytes(60) for n in range(40)))
    if name == "campaign":
        return tuple(path.read_bytes() for path in sorted(CAMPAIGNS.glob("*.toml")))
    if name == "cell-toml":
        return (b"tau_ns = 14.8\ncurrent_ua = 150\nvoltage_v = 1.08\n", b"tau_ns = 1\n")
    if name == "cell-json":
        return (b'{"tau_ns": 14.8, "current_ua": 150, "voltage_v": 1.08}', b'{"tau_ns": 1}')
    if name == "run-file":
        from targets import RUN_HEAD

        options = {"model": "m", "data": "d", "images": 3, "ber": 0.1, "weight_ber": 0.0}
        options |= {"errors": "flip", "seed": 7, "kernel": "viper", "pulse_ns": None}
        head = RUN_HEAD | {"options": options | {"device": {"tau_ns": 14.8}}}
        lines = [{"i": i, "s": [3, -5], "b": [9, 2, 1, 5, 1], "us": 40} for i in range(3)]
        return (_text(head, {"kernel": "viper", "w": [10, 2]}, *lines), _text(head), b"no newline")
    if name == "results":
        return (_text({"id": "a" * 64, "correct": 3, "n": 5}, {"id": "b", "rrmse": [0.5]}),)
    if name == "cifar10":
        return (bytes(3073), bytes([9]) + bytes(3072), bytes(6146))
    if name == "npz":
        return _archives()
    if name == "idx":
        plain = b"\0\0\x08\x03" + struct.pack(">III", 2, 3, 4) + bytes(range(24))
        huge = b"\0\0\x08\x03" + struct.pack(">III", 1 << 20, 1 << 20, 4)
        return (plain, gzip.compress(plain), huge, gzip.compress(huge))
    if name == "labels":
        return (
            b"path,label\nlabels.csv,3\n",
            b"Width;Path;ClassId\n3;a.png;1\n\n4;b.png;2\n",
            b'file\tclass\n"a\nb"\tc\n',
        )
    if name == "photo":
        return _photos()
    if name == "plan":
        return (_plan(),)
    if name == "board":
        return tuple(path.read_bytes() for path in sorted(BOARDS.glob("*/board.toml")))
    if name == "measurements":
        rows = "10,150,up,900,1000\n20,150,up,990,1000\n10,,down,25,50\n"
        return (f"{','.join(COLUMNS)}\n{rows}".encode(),)
    if name == "npy":
        return _npy()
    if name == "cifar100":
        return (bytes(3074), bytes([9, 99]) + bytes(3072), bytes(6148))
    if name in importing.TARGETS:
        return importing.seeds(name)
    from tensors import checkpoint_seed, fixed_seed

    return checkpoint_seed() if name == "checkpoint" else fixed_seed()


def _archives() -> tuple[bytes, ...]:
    """Small .npz files, and two that promise what they must not get."""
    x, y = np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.array([0, 1, 0])
    found = []
    for save, arrays in (
        (np.savez, {"x": x, "y": y}),
        (np.savez_compressed, {"images": x, "labels": y, "classes": np.array(["a", "b"])}),
        (np.savez, {"x": x, "y": np.array([print, 1, 2], object)}),
        (np.savez_compressed, {"x": np.zeros((1 << 15, 4), np.uint8)}),
    ):
        out = io.BytesIO()
        save(out, **arrays)
        found.append(out.getvalue())
    return tuple(found)


def _npy() -> tuple[bytes, ...]:
    """Images as arrays, of types that are taken and of others."""
    found = []
    for array in (
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.zeros((2, 3, 4, 1), np.int8),
        np.array([print], object),
        np.zeros(3, "M8[s]"),
    ):
        out = io.BytesIO()
        np.save(out, array)
        found.append(out.getvalue())
    return tuple(found)


def _plan() -> bytes:
    """A plan of two layers."""
    pulses = LayerPulses(Pulses(30.0, 40.0), (1 << 20, 1 << 21))
    plan = PulsePlan("net.mtjb", "0" * 64, "keep", Cell(), "fixed", (pulses, pulses), {"a": 1})
    return plan.to_toml().encode()


def _photos() -> tuple[bytes, ...]:
    """Small pictures of several kinds, with what else such files hold."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    more = PngImagePlugin.PngInfo()
    more.add_text("a", "b" * 20, zip=True)
    more.add_itxt("c", "d", "en", "e")
    found = []
    for mode, kind, options in (
        ("RGB", "PNG", {"pnginfo": more, "exif": exif}),
        ("I;16", "PNG", {}),
        ("P", "PNG", {"transparency": 0}),
        ("RGBA", "PNG", {"icc_profile": bytes(130)}),
        ("1", "PNG", {}),
        ("RGB", "JPEG", {"exif": exif, "comment": b"x"}),
        ("L", "JPEG", {"progressive": True}),
        ("CMYK", "JPEG", {"icc_profile": bytes(130)}),
    ):
        out = io.BytesIO()
        Image.new(mode, (9, 5), 1).save(out, kind, **options)
        found.append(out.getvalue())
    return tuple(found)


def _messages() -> dict[int, m.Message]:
    from both import MESSAGES

    return MESSAGES


def built(rng: Random) -> bytes:
    """A model with a right checksum and any geometry, complete where that is possible and small."""
    shape = tuple(rng.choice((1, 2, 3, 4, 5, 16, 17, 64, 1024, 0)) for _ in range(3))
    if rng.random() < 0.5:
        return built_2(rng, shape)
    outs = (1, 2, 31, 32, 33, 64, 65, 1024, 16384, 0, 65535)
    kinds = [CONV] * rng.randint(1, 5) + [DENSE] * rng.choice((1, 1, 2, 9, 60))
    if rng.random() < 0.2:
        rng.shuffle(kinds)
    specs = []
    for kind in kinds:
        padding, pool = (rng.choice((0, 1)), rng.choice((0, 0, 1))) if kind == CONV else (0, 0)
        specs.append((kind, padding, pool, outs[min(rng.randrange(11), rng.randrange(11))]))
    try:
        layers = mtjb.chain(shape, mtjb.entries_1(specs), 1)
    except FormatError:
        return absurd(shape, specs, rng.choice((0, 4, 400)))
    size = sum(layer.data_bytes for layer in layers)
    return absurd(shape, specs, size if size < 1 << 16 else 400)


def built_2(rng: Random, shape: tuple[int, ...]) -> bytes:
    """A network of version 2.0 that fits together, or nearly."""
    entries = []
    for index in range(rng.randint(1, 4)):
        kernel = rng.choice(((3, 3), (1, 1), (5, 5), (1, 5), (3, 1), (2, 2)))
        pads = tuple(rng.randrange(side) for side in (*kernel, *kernel))
        pool = rng.choice(((0, 0), (0, 0), (2, 2), (3, 3), (1, 2)))
        steps = tuple(rng.choice((1, 2, 3)) for _ in range(2)) if pool[0] else (0, 0)
        stride = (rng.choice((1, 1, 2)), rng.choice((1, 1, 2)))
        out = rng.choice((1, 31, 32, 33))
        entries.append(
            conv_entry(index, out, kernel, stride, pads, rng.choice((-1, 0, 1)), pool, steps)
        )
    entries += [dense_entry(len(entries), 33), dense_entry(len(entries) + 1, 3, True)]
    try:
        layers = mtjb.chain(shape, entries)
    except FormatError:
        return absurd_2(shape, entries, rng.choice((0, 4, 400)))
    size = sum(layer.data_bytes for layer in layers)
    return absurd_2(shape, entries, size if size < 1 << 16 else 400)


def mutated(name: str, rng: Random) -> bytes:
    """A seed of a target, changed in one to four places; often sealed again where that applies."""
    if name in ("model", "model-file") and rng.random() < 0.3:
        return built(rng)
    if name in importing.TARGETS:
        other = importing.mutated(name, rng)
        if other is not None:
            return other
    data = bytearray(rng.choice(seeds(name)))
    for _ in range(rng.randint(1, 4)):
        data = _words(data, rng) if rng.random() < _TEXT.get(name, 0) else _bytes(data, rng)
    if name in ("model", "model-file") and rng.random() < 0.9:
        return networks.sealed(data)
    return bytes(data)


_TEXT = {"campaign": 0.8, "plan": 0.8, "board": 0.8, "measurements": 0.8, "cell-toml": 0.8,
         "cell-json": 0.8, "run-file": 0.8, "results": 0.8, "checkpoint": 0.5,
         "fixed": 0.5}  # fmt: skip
"""How often a target's inputs are changed by the word instead of by the byte."""


def _bytes(data: bytearray, rng: Random) -> bytearray:
    """Change bytes, the first 128 more often than others: there the headers are."""
    if not data:
        return bytearray(rng.randbytes(rng.randint(0, 80)))
    at = rng.randrange(min(len(data), 128) if rng.random() < 0.7 else len(data))
    kind = rng.randrange(8)
    if kind == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at] = rng.choice(EDGES)
    elif kind in (2, 3):
        at &= ~1
        data[at : at + 2] = struct.pack("<H", rng.choice(EDGES_16))
    elif kind == 4:
        at &= ~3
        data[at : at + 4] = struct.pack("<I", rng.choice(EDGES_32))
    elif kind == 5:
        del data[at : at + rng.choice((1, 4, 8, 64, len(data)))]
    elif kind == 6:
        size = rng.choice((1, 4, 8, 64))
        data[at:at] = data[at : at + size] if rng.random() < 0.5 else rng.randbytes(size)
    else:
        data[at : at + 6] = rng.choice(SEQUENCES)
    return data


def _words(data: bytearray, rng: Random) -> bytearray:
    """Replace, repeat or leave out a word of a text."""
    words = list(TOKEN.finditer(bytes(data[:8192])))
    if not words:
        return _bytes(data, rng)
    start, end = rng.choice(words).span()
    kind = rng.randrange(4)
    if kind == 0:
        data[start:end] = rng.choice(words).group()
    elif kind == 1:
        data[start:start] = data[start:end] + b" "
    else:
        data[start:end] = rng.choice(LITERALS).encode()
    return data
