"""The shape of a layer: what a model file says of it, and what follows from that.

Kernels in viper, assembler and C take a layer as the numbers of FIELDS, in this order. The struct
`mtj_layer` of firmware/native/mtjkit.h has the same names, and viper's constants `_G_...` their
places; tests compare them.
"""

from array import array

from mtjkit_core.bits import words_for
from mtjkit_core.errors import FormatError

CONV = 1  # convolution
DENSE = 2  # fully connected, over the whole map in (y, x, channel) order

NO_POOL = 0
MAX_POOL = 1  # of bits, which is their OR

BITS = 0  # a layer's output: (S >= threshold) XOR inverted, stored in the memory
SUMS = 1  # a layer's output: the signed sums S, which are the scores

MAX_LAYERS = 64
MAX_SIDE = 1024
MAX_CHANNELS = 16384
MAX_INPUT_CHANNELS_1 = 16  # in format 1.0
MAX_CLASSES = 1024
MAX_SUM = 1 << 30  # |S| of any layer stays below: sums and thresholds fit 32 bits
MAX_FILE_BYTES = 1 << 27  # weight bits and byte offsets fit 32 bits
MAX_MAP_BITS = 1 << 30  # bits stored for an image, all layers: counts and addresses fit 32 bits

FIELDS = (
    "in_height",
    "in_width",
    "in_channels",
    "in_words",
    "kernel_height",
    "kernel_width",
    "padding",
    "pool",
    "map_height",
    "map_width",
    "out_channels",
    "out_words",
    "fan_in",
    "row_words",
    "run_words",
    "run_bits",
    "weights_at",
    "thresholds_at",
    "inverted_at",
    "map_words",
    "weight_words",
    "index",
    "source",
    "stride_y",
    "stride_x",
    "pad_top",
    "pad_left",
    "pad_value",
    "pool_height",
    "pool_width",
    "pool_stride_y",
    "pool_stride_x",
)

# What a layer's entry in the model file says, in the order of mtjkit_core.model.ENTRY.
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
) -> tuple:
    """Entry of a convolution: the values of ENTRY_FIELDS.

    Args:
        index: number of the layer, which reads the map of the layer before it.
        out_channels: filters.
        kernel, stride, pool, pool_stride: (vertical, horizontal); pool 0 is none.
        pads: taps beyond the map, (top, left, bottom, right).
        pad_value: what these taps hold.
    """
    kind = MAX_POOL if pool[0] else NO_POOL
    start = (CONV, index, out_channels) + tuple(kernel) + tuple(stride) + tuple(pads)
    return start + (pad_value, kind) + tuple(pool) + tuple(pool_stride) + (1, 1, BITS)


def dense_entry(index, out_channels, last=False) -> tuple:
    """Entry of a dense layer; arguments as of `conv_entry`, `last` for the layer of the scores."""
    return (DENSE, index, out_channels) + (0,) * 14 + (1, 1, SUMS if last else BITS)


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


class LayerShape:
    """One layer: what its entry says, and what follows from that.

    Maps are (y, x, channel), each pixel's channels one run of bits. A hidden layer stores its
    output after pooling; the last layer's output is its signed sums.

    Args:
        index: number of the layer.
        last: whether it is the last one.
        in_shape: (height, width, channels) of its input.
        entry: values of ENTRY_FIELDS that keep the rules of export/FORMAT.md.
    """

    # At most 29 attributes: CPython shares the names of so many among all layers.
    def __init__(self, index, last, in_shape, entry):
        self.index = index
        self.in_height, self.in_width, self.in_channels = in_shape
        self.in_words = words_for(self.in_channels)  # words of one input pixel
        self.kind, self.source, self.out_channels = entry[:3]
        self.kernel_height, self.kernel_width, self.stride_y, self.stride_x = entry[3:7]
        self.pad_top, self.pad_left, bottom, right, self.pad_value = entry[7:12]
        # Taps beyond the map on every side; -1 where the sides differ.
        same = self.pad_top == self.pad_left == bottom == right
        self.padding = self.pad_top if same else -1
        self.pool_height, self.pool_width, self.pool_stride_y, self.pool_stride_x = entry[13:17]
        if self.kind == DENSE:
            self.kernel_height, self.kernel_width = self.in_height, self.in_width
            self.stride_y = self.stride_x = 1
        if entry[12] == NO_POOL:
            self.pool_height = self.pool_width = self.pool_stride_y = self.pool_stride_x = 1
        taps = self.kernel_height * self.kernel_width
        self.fan_in = taps * self.in_channels  # products in one sum without padding
        # The first layer's rows hold its taps densely; hidden rows one run for each tap.
        if index == 0:
            self.run_bits = self.fan_in
            self.row_words = words_for(self.fan_in)
        else:
            self.run_bits = self.in_channels
            self.row_words = taps * self.in_words
        # Sums, before pooling.
        height = self.in_height + self.pad_top + bottom - self.kernel_height
        width = self.in_width + self.pad_left + right - self.kernel_width
        self.out_height = height // self.stride_y + 1
        self.out_width = width // self.stride_x + 1
        # What is stored, after pooling.
        self.map_height = (self.out_height - self.pool_height) // self.pool_stride_y + 1
        self.map_width = (self.out_width - self.pool_width) // self.pool_stride_x + 1
        self.map_words = 0 if last else self.map_height * self.map_width * self.out_words
        self.weights_at = 0  # offset in the file, in bytes; set by Model

    def numbers(self) -> array:
        """The layer as array('i'), in the order of FIELDS; offsets are bytes in the file."""
        return array("i", [getattr(self, name) for name in FIELDS])

    @property
    def pad_bottom(self) -> int:
        """Rows that windows reach beyond the map's lower edge."""
        reach = (self.out_height - 1) * self.stride_y + self.kernel_height
        return max(0, reach - self.pad_top - self.in_height)

    @property
    def pad_right(self) -> int:
        """Columns that windows reach beyond the map's right edge."""
        reach = (self.out_width - 1) * self.stride_x + self.kernel_width
        return max(0, reach - self.pad_left - self.in_width)

    @property
    def last(self) -> bool:
        """Whether it is the last layer, which stores no map."""
        return self.map_words == 0

    @property
    def out_words(self) -> int:
        """Words of one output pixel."""
        return words_for(self.out_channels)

    @property
    def run_words(self) -> int:
        """Words of a run of weights."""
        return self.in_words if self.index else self.row_words

    @property
    def weight_words(self) -> int:
        """Words of all weights."""
        return self.out_channels * self.row_words

    @property
    def thresholds_at(self) -> int:
        """Offset of the thresholds in the file, in bytes."""
        return self.weights_at + 4 * self.weight_words

    @property
    def inverted_at(self) -> int:
        """Offset of the inversion mask in the file, in bytes."""
        return self.thresholds_at + 4 * self.out_channels

    @property
    def pool(self) -> int:
        """1 for 2x2 pooling by 2, 0 for none, -1 for any other."""
        size = (self.pool_height, self.pool_width, self.pool_stride_y, self.pool_stride_x)
        return (size == (2, 2, 2, 2)) - (size not in ((2, 2, 2, 2), (1, 1, 1, 1)))

    @property
    def map_shape(self) -> tuple:
        """(height, width, channels) of the layer's output as the next layer reads it."""
        return self.map_height, self.map_width, self.out_channels

    @property
    def map_bits(self) -> int:
        """Bits of the output that are stored, without padding."""
        return 0 if self.last else self.map_height * self.map_width * self.out_channels

    @property
    def weight_bits(self) -> int:
        """Weights, one bit each, without padding."""
        return self.out_channels * self.fan_in

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return self.out_height * self.out_width * self.out_channels * self.fan_in

    @property
    def data_bytes(self) -> int:
        """Bytes of weights, thresholds and inversion mask in the file."""
        rows = 0 if self.last else self.out_channels + self.out_words
        return 4 * (self.weight_words + rows)


def beyond_3x3(layer) -> str:
    """What of a layer the kernels for 3x3 convolutions do not compute, in words; "" for nothing.

    They compute convolutions of 3x3 with padding 0 or 1, 2x2 pooling and hidden dense layers.
    """
    if layer.kind == DENSE:
        return "" if layer.index else "a dense first layer"
    if layer.kernel_height != 3 or layer.kernel_width != 3:
        return "a kernel of %d x %d" % (layer.kernel_height, layer.kernel_width)
    if layer.stride_y != 1 or layer.stride_x != 1:
        return "a stride of %d x %d" % (layer.stride_y, layer.stride_x)
    if layer.padding not in (0, 1):
        return "padding other than 0 or 1 on all sides"
    if layer.padding and layer.pad_value:
        return "a pad value of %d" % layer.pad_value
    if layer.pool < 0:
        return "%d x %d pooling" % (layer.pool_height, layer.pool_width)
    if layer.pool and (layer.out_height | layer.out_width) & 1:
        return "pooling of odd %d x %d" % (layer.out_height, layer.out_width)
    if layer.index == 0 and layer.in_channels > MAX_INPUT_CHANNELS_1:
        return "an input of %d channels" % layer.in_channels
    return ""


def chain(input_shape, entries, major=2) -> list:
    """Build the layers of a network and check that they fit together.

    Args:
        input_shape: (height, width, channels) of the int8 image.
        entries: values of ENTRY_FIELDS for each layer: see `conv_entry`, `dense_entry`.
        major: version of the format whose rules hold.

    Raises:
        FormatError: a rule of FORMAT.md is broken; the message names the layer.
    """
    if not 2 <= len(entries) <= MAX_LAYERS:
        raise FormatError("a network has 2 to %d layers, not %d" % (MAX_LAYERS, len(entries)))
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
        layer = LayerShape(index, last, shape, entry)
        if layer.out_height < 1 or layer.out_width < 1:
            raise FormatError(where + "its input of %d x %d is too small" % shape[:2])
        if layer.map_height < 1 or layer.map_width < 1:
            text = "%d x %d sums are too few for pooling" % (layer.out_height, layer.out_width)
            raise FormatError(where + text)
        if major == 1 and layer.pool and (layer.out_height | layer.out_width) & 1:
            text = "2x2 pooling of odd %d x %d" % (layer.out_height, layer.out_width)
            raise FormatError(where + text)
        if layer.fan_in * (128 if index == 0 else 1) >= MAX_SUM:
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
    if groups != 1:
        raise FormatError(where + "%d groups; only 1 is possible" % groups)
    if weight_bits != 1:
        raise FormatError(where + "weights of %d bits; only 1 is possible" % weight_bits)
    if output != (SUMS if last else BITS):
        text = "sums (1)" if last else "bits (0)"
        raise FormatError(where + "output of kind %d; only %s is possible" % (output, text))
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
    if pool_kind not in (NO_POOL, MAX_POOL):
        raise FormatError(where + "pooling of kind %d; only 0 (none), 1 (max)" % pool_kind)
    if pool_kind == NO_POOL and any(entry[13:17]):
        raise FormatError(where + "a pool size without pooling")
    if pool_kind == MAX_POOL and 0 in entry[13:17]:
        raise FormatError(where + "a pool size or a pool stride of 0")
