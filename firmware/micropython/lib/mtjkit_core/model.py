"""Reader of `.mtjb` model files: checks every rule of export/FORMAT.md, copies no weights.

The layer table holds only what cannot be derived; sizes, offsets and geometry follow from it,
so that a file cannot contradict itself.
"""

import binascii
import struct

from mtjkit_core.bits import load_word, tail_mask, words_for
from mtjkit_core.errors import FormatError

MAGIC = b"MTJB"
MAJOR = 1
MINOR = 0
HEADER = "<4sBBBBIHHHHHHHHI"  # then the name, 32 bytes
HEADER_BYTES = 64
NAME_BYTES = 32
LAYER = "<BBBBHH"
LAYER_BYTES = 8
CRC_BYTES = 4

CONV = 1  # 3x3 convolution, stride 1
DENSE = 2  # fully connected, over the whole map in (y, x, channel) order

MAX_LAYERS = 64
MAX_SIDE = 1024
MAX_CHANNELS = 16384
MAX_INPUT_CHANNELS = 16
MAX_CLASSES = 1024
MAX_SUM = 1 << 30  # |S| of any layer stays below: sums and thresholds fit 32 bits
MAX_FILE_BYTES = 1 << 27  # weight bits and byte offsets fit 32 bits
MAX_MAP_BITS = 1 << 30  # bits stored for an image, all layers: counts and addresses fit 32 bits

_CHECKED_BYTES = 512  # of weights, whose padding is checked at once


class Layer:
    """One layer: what the file says of it, and what follows from that.

    Maps are (y, x, channel), each pixel's channels one run of bits. A hidden layer stores its
    output after pooling; the last layer's output is its signed sums.
    """

    def __init__(self, index, last, kind, padding, pool, in_shape, out_channels):
        self.index = index
        self.last = last
        self.kind = kind
        self.padding = padding
        self.pool = pool
        self.in_height, self.in_width, self.in_channels = in_shape
        self.in_words = words_for(self.in_channels)  # words of one input pixel
        if kind == CONV:
            self.kernel_height = self.kernel_width = 3
        else:
            self.kernel_height, self.kernel_width = self.in_height, self.in_width
        taps = self.kernel_height * self.kernel_width
        self.fan_in = taps * self.in_channels  # products in one sum without padding
        # The first layer's rows hold its taps densely; hidden rows one run for each tap.
        if index == 0:
            self.run_bits = self.fan_in
            self.row_words = self.run_words = words_for(self.fan_in)
        else:
            self.run_bits = self.in_channels
            self.run_words = self.in_words
            self.row_words = taps * self.in_words
        # Sums, before pooling.
        self.out_height = self.in_height + 2 * padding - self.kernel_height + 1
        self.out_width = self.in_width + 2 * padding - self.kernel_width + 1
        self.out_channels = out_channels
        self.out_words = words_for(out_channels)
        # What is stored, after pooling.
        self.map_height = self.out_height >> pool
        self.map_width = self.out_width >> pool
        self.map_words = 0 if last else self.map_height * self.map_width * self.out_words
        self.map_bits = 0 if last else self.map_height * self.map_width * out_channels
        self.weight_words = out_channels * self.row_words
        self.weight_bits = out_channels * self.fan_in
        self.macs = self.out_height * self.out_width * out_channels * self.fan_in
        # Offsets in the file, in bytes; set by Model.
        self.weights_at = 0
        self.thresholds_at = 0
        self.inverted_at = 0

    @property
    def map_shape(self) -> tuple:
        """(height, width, channels) of the layer's output as the next layer reads it."""
        return self.map_height, self.map_width, self.out_channels

    @property
    def data_bytes(self) -> int:
        """Bytes of weights, thresholds and inversion mask in the file."""
        rows = 0 if self.last else self.out_channels + self.out_words
        return 4 * (self.weight_words + rows)


def chain(input_shape, specs) -> list:
    """Build the layers of a network and check that they fit together.

    Args:
        input_shape: (height, width, channels) of the int8 image.
        specs: one (kind, padding, pool, out_channels) for each layer.

    Raises:
        FormatError: a rule of FORMAT.md is broken; the message names the layer.
    """
    if not 2 <= len(specs) <= MAX_LAYERS:
        raise FormatError("a network has 2 to %d layers, not %d" % (MAX_LAYERS, len(specs)))
    height, width, channels = input_shape
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise FormatError("input of %d x %d: sides go from 1 to %d" % (height, width, MAX_SIDE))
    if not 1 <= channels <= MAX_INPUT_CHANNELS:
        raise FormatError(
            "input of %d channels: 1 to %d are possible" % (channels, MAX_INPUT_CHANNELS)
        )
    layers: list[Layer] = []
    shape = input_shape
    for index, (kind, padding, pool, out_channels) in enumerate(specs):
        last = index == len(specs) - 1
        where = "layer %d: " % index
        if kind not in (CONV, DENSE):
            raise FormatError(where + "kind %d is unknown (1 conv, 2 dense)" % kind)
        if padding > 1 or pool > 1:
            raise FormatError(where + "padding and pooling are 0 or 1")
        if kind == DENSE and (padding or pool):
            raise FormatError(where + "a dense layer has no padding and no pooling")
        if index == 0 and kind != CONV:
            raise FormatError(where + "the first layer is a 3x3 convolution")
        if kind == CONV and index and layers[-1].kind == DENSE:
            raise FormatError(where + "a convolution cannot follow a dense layer")
        if last and kind != DENSE:
            raise FormatError(where + "the last layer is dense")
        limit = MAX_CLASSES if last else MAX_CHANNELS
        if not 1 <= out_channels <= limit:
            raise FormatError(where + "%d outputs: 1 to %d are possible" % (out_channels, limit))
        layer = Layer(index, last, kind, padding, pool, shape, out_channels)
        if layer.out_height < 1 or layer.out_width < 1:
            raise FormatError(where + "its input of %d x %d is too small" % shape[:2])
        if pool and (layer.out_height & 1 or layer.out_width & 1):
            raise FormatError(
                where + "2x2 pooling of odd %d x %d" % (layer.out_height, layer.out_width)
            )
        if layer.fan_in * (128 if index == 0 else 1) >= MAX_SUM:
            raise FormatError(where + "sums of %d products are too long" % layer.fan_in)
        layers.append(layer)
        shape = layer.map_shape
    if sum([layer.data_bytes for layer in layers]) > MAX_FILE_BYTES:
        raise FormatError("the layers need more than %d bytes" % MAX_FILE_BYTES)
    if sum([layer.map_bits for layer in layers]) > MAX_MAP_BITS:
        raise FormatError("the maps of one image take more than %d bits" % MAX_MAP_BITS)
    return layers


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
        if size < HEADER_BYTES + CRC_BYTES:
            raise FormatError("truncated: %d bytes are less than a header" % size)
        (_, major, minor, count, flags, file_bytes, *fields) = struct.unpack_from(HEADER, data)
        height, width, channels, mul, add, div, labels_bytes, reserved, reserved2 = fields
        if major != MAJOR or minor > MINOR:
            raise FormatError(
                "format version %d.%d; this mtjkit reads up to %d.%d" % (major, minor, MAJOR, MINOR)
            )
        if file_bytes > MAX_FILE_BYTES:
            raise FormatError("%d bytes: %d are the most" % (file_bytes, MAX_FILE_BYTES))
        if file_bytes != size:
            if size < file_bytes:
                raise FormatError("truncated: %d of %d bytes are there" % (size, file_bytes))
            raise FormatError("%d bytes after the model's end" % (size - file_bytes))
        if check_crc:
            (crc,) = struct.unpack_from("<I", data, size - CRC_BYTES)
            if binascii.crc32(data[: size - CRC_BYTES]) & 0xFFFFFFFF != crc:
                raise FormatError("checksum mismatch: the file is damaged, copy it again")
        if flags or reserved or reserved2:
            raise FormatError("reserved header fields are not 0")
        if not div:
            raise FormatError("pixel rule divides by 0")
        if labels_bytes & 3:
            raise FormatError("class names take %d bytes, no multiple of 4" % labels_bytes)
        table_at = HEADER_BYTES + labels_bytes
        data_at = table_at + LAYER_BYTES * count
        if data_at + CRC_BYTES > size:
            raise FormatError("layer table and class names are longer than the file")
        self.data = data
        self.name = _text(data[HEADER_BYTES - NAME_BYTES : HEADER_BYTES], "model name")
        labels = _text(data[HEADER_BYTES:table_at], "class names", "\n")
        self.class_names = labels.split("\n") if labels else []
        self.input_shape = (height, width, channels)
        self.pixel_rule = (mul, add, div)
        specs = []
        for i in range(count):
            kind, padding, pool, zero, out, zeros = struct.unpack_from(
                LAYER, data, table_at + LAYER_BYTES * i
            )
            if zero or zeros:
                raise FormatError("layer %d: reserved fields are not 0" % i)
            specs.append((kind, padding, pool, out))
        self.layers = chain(self.input_shape, specs)
        classes = self.layers[-1].out_channels
        if self.class_names and len(self.class_names) != classes:
            raise FormatError("%d class names for %d scores" % (len(self.class_names), classes))
        at = data_at
        for layer in self.layers:
            layer.weights_at = at
            layer.thresholds_at = at + 4 * layer.weight_words
            layer.inverted_at = layer.thresholds_at + 4 * layer.out_channels
            at += layer.data_bytes
        if at + CRC_BYTES != size:
            raise FormatError("the layers need %d bytes, the file has %d" % (at + CRC_BYTES, size))
        for layer in self.layers:
            self._check_padding(layer)

    def _check_padding(self, layer: Layer) -> None:
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
