"""The file format `.mtjb`: its layout, its rules, and the reader that checks every one of them.

export/FORMAT.md is the specification. The layer table holds only what cannot be derived; sizes,
offsets and geometry follow from it, so that a file cannot contradict itself. Versions 1.0 and 2.0
to 2.2 are read, and no weight is copied. A board forgets this module once its model is read.
"""

import binascii
import struct

from mtjkit_core.bits import load_word, tail_mask
from mtjkit_core.errors import FormatError
from mtjkit_core.geometry import (
    AVERAGES,
    BITS,
    CONV,
    DENSE,
    NUMBERS,
    PLUS_MINUS,
    SIGNED,
    SUMS,
    LayerShape,
)

MAGIC = b"MTJB"
MAJOR = 2
MINOR = 2
START = "<4sBBBBI"  # of both versions: magic, major, minor, layers, reserved, file_bytes
HEADER = "<HHHHHBBHHHBBI"  # then zeros, then the name
HEADER_AT = 12
HEADER_BYTES = 96
NAME_BYTES = 32
ENTRY = "<BBHBBBBBBBBbBBBBBHBB"  # ENTRY_FIELDS, then zeros
ENTRY_BYTES = 32
CRC_BYTES = 4

HEADER_1 = "<HHHHHHHHI"  # of version 1.0, from HEADER_AT on; then the name
HEADER_1_BYTES = 64
ENTRY_1 = "<BBBBHH"
ENTRY_1_BYTES = 8

_CHECKED_BYTES = 512  # of weights, whose padding is checked at once
_CHOICES = (("input", PLUS_MINUS), ("pixels", 2), ("scores", 1), ("decision", 1))
TABLE_BYTES = 256  # of a channel's pixel table
SCALE_BYTES = 8  # of a score's scale and offset
_SCALES = (-96, 95)  # binary exponents of scales and offsets: no float32 step leaves its range

NO_POOL = 0
MAX_POOL = 1  # of bits, which is their OR
AVERAGE = 2  # the signed sum of the bits
SIGNED_POOL = 3  # max, then XOR the sign mask
_MAX_WINDOW = 32767  # bits of an average: it is an int16

MAX_LAYERS = 64
MAX_SIDE = 1024
MAX_CHANNELS = 16384
MAX_INPUT_CHANNELS_1 = 16  # in format 1.0
MAX_CLASSES = 1024
MAX_SUM = 1 << 30  # |S| of any layer stays below: sums and thresholds fit 32 bits
MAX_FILE_BYTES = 1 << 27  # weight bits and byte offsets fit 32 bits
MAX_MAP_BITS = 1 << 30  # bits stored for an image, all layers: counts and addresses fit 32 bits

# What a layer's entry in the model file says, in the order of ENTRY.
ENTRY_FIELDS = (
    "kind",
    "source",
    "out_channels",
    "kernel_height",
    "kernel_width",
    "stride_y",
    "stride_x",
    "pad_top",
    "pad_left",
    "pad_bottom",
    "pad_right",
    "pad_value",
    "pool_kind",
    "pool_height",
    "pool_width",
    "pool_stride_y",
    "pool_stride_x",
    "groups",
    "weight_bits",
    "output",
)


def conv_entry(
    index,
    out_channels,
    kernel=(3, 3),
    stride=(1, 1),
    pads=(0, 0, 0, 0),
    pad_value=0,
    pool=(0, 0),
    pool_stride=(0, 0),
    pool_kind=MAX_POOL,
    groups=1,
    weight_bits=1,
) -> tuple:
    """Entry of a convolution: the values of ENTRY_FIELDS.

    Args:
        index: number of the layer, which reads the map of the layer before it.
        out_channels: filters.
        kernel, stride, pool, pool_stride: (vertical, horizontal); pool 0 means no pooling.
        pads: taps beyond the map, (top, left, bottom, right).
        pad_value: what these taps hold.
        pool_kind: MAX_POOL, AVERAGE or SIGNED_POOL, if there is a pool.
        groups: of channels, each with weights of its own.
        weight_bits: 1, or 8 for int8 weights.
    """
    kind = pool_kind if pool[0] else NO_POOL
    start = (CONV, index, out_channels) + tuple(kernel) + tuple(stride) + tuple(pads)
    return (
        start + (pad_value, kind) + tuple(pool) + tuple(pool_stride) + (groups, weight_bits, BITS)
    )


def dense_entry(index, out_channels, sums=False, weight_bits=1) -> tuple:
    """Entry of a dense layer; arguments as of `conv_entry`, `sums` where sums are the scores."""
    return (DENSE, index, out_channels) + (0,) * 14 + (1, weight_bits, SUMS if sums else BITS)


def minor_of(choices, entries) -> int:
    """The lowest minor version of format 2 that says this.

    Args:
        choices: values of the header's `input`, `pixels`, `scores` and `decision`.
        entries: values of ENTRY_FIELDS for each layer.
    """
    if any([e[12] == SIGNED_POOL for e in entries]):
        return 2
    if any(choices) or len(entries) == 1 or entries[-1][19] != SUMS:
        return 1
    return int(any([e[12] == AVERAGE or e[17] != 1 or e[18] != 1 for e in entries]))


def entries_1(specs) -> list:
    """Entries from what format 1.0 says of each layer: (kind, padding, pool, out_channels)."""
    entries = []
    for index, (kind, padding, pool, out_channels) in enumerate(specs):
        if padding > 1 or pool > 1:
            raise FormatError("layer %d: padding and pooling are 0 or 1" % index)
        last = index == len(specs) - 1
        if kind == DENSE and not (padding or pool):
            entries.append(dense_entry(index, out_channels, last))
            continue
        two = (2 * pool, 2 * pool)
        entry = conv_entry(index, out_channels, pads=(padding,) * 4, pool=two, pool_stride=two)
        entries.append((kind,) + entry[1:-1] + (SUMS if last else BITS,))
    return entries


def chain(input_shape, entries, major=2, reads=None) -> list:
    """Build the layers of a network and check that they fit together.

    Args:
        input_shape: (height, width, channels) of the int8 image.
        entries: values of ENTRY_FIELDS for each layer: see `conv_entry`, `dense_entry`.
        major: version of the format whose rules hold.
        reads: how the image lies, see mtjkit_core.geometry; None for int8.

    Raises:
        FormatError: a rule of FORMAT.md is broken; the message names the layer.
    """
    least = 2 if major == 1 else 1
    if not least <= len(entries) <= MAX_LAYERS:
        limits = (least, MAX_LAYERS, len(entries))
        raise FormatError("a network has %d to %d layers, not %d" % limits)
    height, width, channels = input_shape
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise FormatError("input of %d x %d: sides go from 1 to %d" % (height, width, MAX_SIDE))
    most = MAX_INPUT_CHANNELS_1 if major == 1 else MAX_CHANNELS
    if not 1 <= channels <= most:
        raise FormatError("input of %d channels: 1 to %d are possible" % (channels, most))
    layers: list[LayerShape] = []
    shape = input_shape
    for index, entry in enumerate(entries):
        last = index == len(entries) - 1
        where = "layer %d: " % index
        dense = entry[0] == DENSE
        _check_entry(where, index, last, entry)
        if index == 0 and dense and major == 1:
            raise FormatError(where + "the first layer is a 3x3 convolution")
        if not dense and index and layers[-1].kind == DENSE:
            raise FormatError(where + "a convolution cannot follow a dense layer")
        if last and not dense:
            raise FormatError(where + "the last layer is dense")
        limit = MAX_CLASSES if last else MAX_CHANNELS
        if not 1 <= entry[2] <= limit:
            raise FormatError(where + "%d outputs: 1 to %d are possible" % (entry[2], limit))
        averages = index and layers[-1].output == AVERAGES
        lies = NUMBERS if averages else None if index else reads
        layer = LayerShape(index, last, shape, entry, lies)
        if shape[2] % layer.groups or layer.out_channels % layer.groups:
            limits = (layer.groups, shape[2], layer.out_channels)
            raise FormatError(where + "%d groups of %d inputs and %d outputs" % limits)
        if layer.output == AVERAGES and index != len(entries) - 2:
            raise FormatError(where + "average pooling stands before the last layer alone")
        if layer.cells > 1 and index and not last:
            raise FormatError(where + "int8 weights are for the first and the last layer")
        if layer.out_height < 1 or layer.out_width < 1:
            raise FormatError(where + "its input of %d x %d is too small" % shape[:2])
        if layer.map_height < 1 or layer.map_width < 1:
            text = "%d x %d sums are too few for pooling" % (layer.out_height, layer.out_width)
            raise FormatError(where + text)
        if major == 1 and layer.pool and (layer.out_height | layer.out_width) & 1:
            text = "2x2 pooling of odd %d x %d" % (layer.out_height, layer.out_width)
            raise FormatError(where + text)
        largest = 128 if index == 0 else 1
        if averages:
            largest = layers[-1].pool_height * layers[-1].pool_width
        if layer.fan_in * largest * (128 if layer.cells > 1 else 1) >= MAX_SUM:
            raise FormatError(where + "sums of %d products are too long" % layer.fan_in)
        layers.append(layer)
        shape = layer.map_shape
    if sum([layer.data_bytes for layer in layers]) > MAX_FILE_BYTES:
        raise FormatError("the layers need more than %d bytes" % MAX_FILE_BYTES)
    if sum([layer.map_bits for layer in layers]) > MAX_MAP_BITS:
        raise FormatError("the maps of one image take more than %d bits" % MAX_MAP_BITS)
    return layers


def _check_entry(where, index, last, entry) -> None:
    """Check what an entry says by itself."""
    kind, source = entry[:2]
    pads = entry[7:11]
    pad_value, pool_kind = entry[11:13]
    groups, weight_bits, output = entry[17:]
    if kind not in (CONV, DENSE):
        raise FormatError(where + "kind %d is unknown (1 conv, 2 dense)" % kind)
    if source != index:
        raise FormatError(where + "its source is map %d; only map %d is possible" % (source, index))
    if groups < 1 or (groups > 1 and kind == DENSE):
        raise FormatError(
            where + "%d groups; a dense layer has 1, a convolution 1 or more" % groups
        )
    if weight_bits not in (1, 8):
        raise FormatError(where + "weights of %d bits; 1 and 8 are possible" % weight_bits)
    if output != BITS and not (last and output == SUMS):
        text = "bits (0) and sums (1) are" if last else "bits (0) is"
        raise FormatError(where + "output of kind %d; only %s possible" % (output, text))
    if kind == DENSE:
        if any(entry[3:17]):
            raise FormatError(where + "a dense layer has no kernel, no padding and no pooling")
        return
    if 0 in entry[3:7]:
        raise FormatError(where + "a kernel or a stride of 0")
    if max(pads[0], pads[2]) >= entry[3] or max(pads[1], pads[3]) >= entry[4]:
        raise FormatError(where + "padding as wide as the kernel")
    if index and not -1 <= pad_value <= 1:
        raise FormatError(where + "pad value %d; only -1, 0 and 1 are possible" % pad_value)
    if pool_kind > SIGNED_POOL:
        text = "pooling of kind %d; 0 none, 1 max, 2 average, 3 max with signs"
        raise FormatError(where + text % pool_kind)
    if pool_kind == NO_POOL and any(entry[13:17]):
        raise FormatError(where + "a pool size without pooling")
    if pool_kind != NO_POOL and 0 in entry[13:17]:
        raise FormatError(where + "a pool size or a pool stride of 0")
    if pool_kind == AVERAGE and entry[13] * entry[14] > _MAX_WINDOW:
        raise FormatError(where + "an average of more than %d bits" % _MAX_WINDOW)


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


def read(
    data, check_crc: bool
) -> tuple[
    memoryview,
    tuple[int, int],
    str,
    list[str],
    tuple[int, int, int],
    tuple[int, int, int],
    list[LayerShape],
    int,
    int,
    int,
    bool,
]:
    """Read a file.

    Args:
        data: see mtjkit_core.model.Model.
        check_crc: the same.

    Returns:
        The attributes of a Model, in the order in which it lists them.

    Raises:
        FormatError: the bytes break a rule of FORMAT.md.
    """
    data = memoryview(data)
    size = len(data)
    if size < 4 or data[:4] != MAGIC:
        raise FormatError("not an .mtjb model (its first bytes are not MTJB)")
    if size < HEADER_1_BYTES + CRC_BYTES:
        raise FormatError("truncated: %d bytes, shorter than a header" % size)
    _, major, minor, count, reserved, file_bytes = struct.unpack_from(START, data)
    if not 1 <= major <= MAJOR or minor > (MINOR if major == MAJOR else 0):
        raise FormatError(
            "format version %d.%d; this mtjkit reads up to %d.%d" % (major, minor, MAJOR, MINOR)
        )
    if file_bytes > MAX_FILE_BYTES:
        raise FormatError("%d bytes: the maximum is %d" % (file_bytes, MAX_FILE_BYTES))
    if file_bytes != size:
        if size < file_bytes:
            raise FormatError("truncated: the file has %d of %d bytes" % (size, file_bytes))
        raise FormatError("%d bytes after the model's end" % (size - file_bytes))
    choices = (0, 0, 0, 0)
    if check_crc:
        (crc,) = struct.unpack_from("<I", data, size - CRC_BYTES)
        if binascii.crc32(data[: size - CRC_BYTES]) & 0xFFFFFFFF != crc:
            raise FormatError("checksum mismatch: the file is damaged, copy it again")
    if major == 1:
        fields = struct.unpack_from(HEADER_1, data, HEADER_AT)
        height, width, channels, mul, add, div, labels_bytes, zero, zeros = fields
        header_bytes, entry_bytes = HEADER_1_BYTES, ENTRY_1_BYTES
        name_at = HEADER_1_BYTES - NAME_BYTES
        reserved = reserved or zero or zeros
    else:
        if size < HEADER_BYTES + CRC_BYTES:
            raise FormatError("truncated: %d bytes, shorter than a header" % size)
        fields = struct.unpack_from(HEADER, data, HEADER_AT)
        header_bytes, entry_bytes, height, width, channels = fields[:5]
        mul, add, div = fields[7:10]
        choices = fields[5:7] + fields[10:12]
        labels_bytes = fields[12]
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
        reserved = reserved or any(data[header_end:name_at]) or any(data[HEADER_BYTES:header_bytes])
        for (what, most), choice in zip(_CHOICES, choices):
            if choice > most:
                limits = (what, choice, most)
                raise FormatError("%s of kind %d; only kinds 0 to %d are possible" % limits)
    if reserved:
        raise FormatError("reserved header fields are not 0")
    if not div:
        raise FormatError("pixel rule divides by 0")
    reads, pixels, scaled, by_sign = choices
    if pixels and (mul, add, div) != (1, 0, 1):
        raise FormatError("a pixel rule beside pixels of kind %d; it is then 1, 0, 1" % pixels)
    if labels_bytes & 3:
        raise FormatError("class names take %d bytes, not a multiple of 4" % labels_bytes)
    labels_end = header_bytes + labels_bytes
    table_at = labels_end + (TABLE_BYTES * channels if pixels == 1 else 0)
    data_at = table_at + entry_bytes * count
    if data_at + CRC_BYTES > size:
        raise FormatError("class names, pixel tables and layer table are longer than the file")
    name = _text(data[name_at : name_at + NAME_BYTES], "model name")
    labels = _text(data[header_bytes:labels_end], "class names", "\n")
    class_names = labels.split("\n") if labels else []
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
    layers = chain((height, width, channels), entries, major, reads)
    needed = minor_of(choices, entries)
    if major == MAJOR and needed > minor:
        text = "version 2.%d cannot say what this file says: it is of version 2.%d"
        raise FormatError(text % (minor, needed))
    classes = layers[-1].out_channels
    if by_sign:
        if classes != 1:
            raise FormatError("the sign of one score decides, but there are %d" % classes)
        if class_names and len(class_names) != 2:
            raise FormatError("%d class names; the sign of a score needs 2" % len(class_names))
    elif class_names and len(class_names) != classes:
        raise FormatError("%d class names for %d scores" % (len(class_names), classes))
    at = data_at
    for layer in layers:
        layer.weights_at = at
        at += layer.data_bytes
    scales_at = at if scaled else 0
    at += SCALE_BYTES * classes * scaled
    if at + CRC_BYTES != size:
        raise FormatError("the layers need %d bytes, the file has %d" % (at + CRC_BYTES, size))
    for layer in layers:
        _check_padding(data, layer)
    if scaled:
        _check_scales(data[scales_at:at])
    shape, rule = (height, width, channels), (mul, add, div)
    tables_at = labels_end if pixels == 1 else 0
    more = (pixels, tables_at, scales_at, bool(by_sign))
    return (data, (major, minor), name, class_names, shape, rule, layers) + more


def _check_scales(raw) -> None:
    """Check that scales and offsets are 0 or within _SCALES, as bits: boards may lack float32."""
    least, most = _SCALES
    for at in range(0, len(raw), 4):
        bits = load_word(raw, at >> 2) & 0x7FFFFFFF
        if bits and not least <= (bits >> 23) - 127 <= most:
            text = "score %d: scale and offset are 0 or from 2**%d to below 2**%d"
            raise FormatError(text % (at // SCALE_BYTES, least, most + 1))


def _check_padding(data, layer: LayerShape) -> None:
    spare = ~tail_mask(layer.run_bits) & 0xFFFFFFFF
    if spare:
        # Many runs at once, as one long number: a file may have millions.
        run = 4 * layer.run_words
        runs = max(1, _CHECKED_BYTES // run)
        padding = int.from_bytes((bytes(run - 4) + struct.pack("<I", spare)) * runs, "little")
        end = layer.weights_at + 4 * layer.weight_words
        for at in range(layer.weights_at, end, run * runs):
            part = data[at : min(at + run * runs, end)]
            if int.from_bytes(part, "little") & padding:
                raise FormatError("layer %d: weight padding is not 0" % layer.index)
    if layer.output != SUMS:
        spare = ~tail_mask(layer.out_channels) & 0xFFFFFFFF
        last = (layer.inverted_at >> 2) + layer.out_words - 1
        if load_word(data, last) & spare:
            raise FormatError("layer %d: inversion mask padding is not 0" % layer.index)
        if layer.output == SIGNED and load_word(data, last + layer.out_words) & spare:
            raise FormatError("layer %d: sign mask padding is not 0" % layer.index)
