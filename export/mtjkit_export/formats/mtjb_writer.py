"""Writer of `.mtjb` model files, versions 2.0 to 2.2 (FORMAT.md): the lowest one that will do."""

from __future__ import annotations

import binascii
import os
import struct

import numpy as np
from mtjkit_core import mtjb
from mtjkit_core.errors import ConfigError, FormatError
from mtjkit_core.model import Model
from numpy.typing import NDArray

from mtjkit_export.files import write_atomically
from mtjkit_export.nets.binary import INPUTS, BinaryLayer, BinaryNet
from mtjkit_export.nets.pixels import PixelRule, PixelTables


def pack_runs(bits: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Pack the last axis, a run of bits, into little-endian words, bit 0 first; padding 0.

    Args:
        bits: (..., n).

    Returns:
        (..., ceil(n / 32)) uint32.
    """
    spare = -bits.shape[-1] % 32
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, spare)])
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4")


def encode(network: BinaryNet) -> bytes:
    """Turn a network into the bytes of a model file.

    Raises:
        ConfigError: the name or the class names cannot be stored.
    """
    name = _utf8(network.name, "model name")
    if len(name) > mtjb.NAME_BYTES:
        raise ConfigError(f"model name {network.name!r} takes more than {mtjb.NAME_BYTES} bytes")
    if any("\n" in label for label in network.class_names):
        raise ConfigError("a class name cannot hold a line break")
    labels = _utf8("\n".join(network.class_names), "class names")
    labels += bytes(-len(labels) % 4)
    if len(labels) > 0xFFFF:
        raise ConfigError(f"class names take {len(labels)} bytes: the maximum is 65532")
    layers = network.geometry()
    entries = network.entries()
    table = b"".join(
        struct.pack(mtjb.ENTRY, *entry).ljust(mtjb.ENTRY_BYTES, b"\0") for entry in entries
    )
    body = b"".join(
        _layer_data(spec, g.run_is_row) for spec, g in zip(network.layers, layers, strict=True)
    )
    tables, pixels = b"", 0
    rule = network.pixel_rule
    if isinstance(rule, PixelTables):
        tables, pixels, rule = rule.values.tobytes(), 1, PixelRule()
    elif rule is None:
        pixels, rule = 2, PixelRule()
    scales = b""
    if network.scale is not None and network.offset is not None:
        scales = np.stack([network.scale, network.offset], 1).astype("<f4").tobytes()
    choices = (INPUTS[network.inputs], pixels, int(bool(scales)), int(network.by_sign))
    start, end = labels + tables + table, body + scales
    size = mtjb.HEADER_BYTES + len(start) + len(end) + mtjb.CRC_BYTES
    minor = mtjb.minor_of(choices, entries)
    header = struct.pack(
        mtjb.START, mtjb.MAGIC, mtjb.MAJOR, minor, len(layers), 0, size
    ) + struct.pack(
        mtjb.HEADER,
        mtjb.HEADER_BYTES,
        mtjb.ENTRY_BYTES,
        *network.input_shape,
        *choices[:2],
        *(rule.mul, rule.add, rule.div),
        *choices[2:],
        len(labels),
    )
    header = header.ljust(mtjb.HEADER_BYTES - mtjb.NAME_BYTES, b"\0")
    data = header + name.ljust(mtjb.NAME_BYTES, b"\0") + start + end
    data += struct.pack("<I", binascii.crc32(data))
    try:
        Model(data)  # what is written can be read
    except FormatError as error:
        raise ConfigError(f"network {network.name!r}: {error}") from None
    return data


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{what}: {text!r} cannot be stored as UTF-8") from None


def _layer_data(spec: BinaryLayer, run_is_row: bool) -> bytes:
    out = len(spec.weights)
    if spec.weight_bits == 8:
        rows = spec.weights.reshape(out, -1)
        data = np.pad(rows, [(0, 0), (0, -rows.shape[1] % 4)]).tobytes()
    else:
        bits = spec.weights > 0
        data = pack_runs(bits.reshape(out, -1) if run_is_row else bits).tobytes()
    if spec.thresholds is not None and spec.inverted is not None:
        data += spec.thresholds.astype("<i4").tobytes() + pack_runs(spec.inverted).tobytes()
    if spec.signs is not None:
        data += pack_runs(spec.signs).tobytes()
    return data


def save(network: BinaryNet, path: str | os.PathLike[str]) -> bytes:
    """Write a network as an `.mtjb` file, atomically, and return its bytes.

    Raises:
        ConfigError: the network cannot be stored, or the file cannot be written.
    """
    data = encode(network)
    write_atomically(path, data)
    return data
