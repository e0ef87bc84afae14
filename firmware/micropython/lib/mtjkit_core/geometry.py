"""The shape of a layer: what a model file says of it, and what follows from that.

Kernels in viper, assembler and C take a layer as the numbers of FIELDS, in this order. The struct
`mtj_layer` of firmware/native/mtjkit.h has the same names, and viper's constants `_G_...` their
places; tests compare them.
"""

from array import array

CONV = 1  # convolution
DENSE = 2  # fully connected, over the whole map in (y, x, channel) order

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
    "reads",
    "cells",
    "output",
    "groups",
)

# How a layer's input lies, LayerShape.reads. An image is bytes; a file's header says which.
INT8 = 0
ZERO_ONE = 1  # a byte above 0 is 1, any other is 0
PLUS_MINUS = 2  # a byte above 0 is +1, any other is -1
PACKED = 3  # the bits of a map
NUMBERS = 4  # int16, the signed sums of an average pooling

# What a layer's output is, LayerShape.output.
BITS = 0  # (S >= threshold) XOR inverted, stored in the memory
SUMS = 1  # the signed sums S, which are the scores
CLASS_BITS = 2  # scores that are 1 for a bit 1 and -1 for a bit 0; never in the memory
AVERAGES = 3  # int16, the signed sum of each pooling window's bits; never in the memory
SIGNED = 4  # BITS, then, after pooling, XOR the sign mask, which lies behind the inversion mask

STORED = (BITS, SIGNED)  # what the memory holds


def words_for(bits: int) -> int:
    """Number of 32-bit words that hold a run of `bits` bits."""
    return (bits + 31) >> 5


class LayerShape:
    """One layer: what its entry says, and what follows from that.

    Maps are (y, x, channel), each pixel's channels one run of bits. A hidden layer stores its
    output after pooling; the last layer's output is its signed sums.

    Args:
        index: number of the layer.
        last: whether it is the last one.
        in_shape: (height, width, channels) of its input.
        entry: values of mtjkit_core.mtjb.ENTRY_FIELDS that keep the rules of export/FORMAT.md.
        reads: how its input lies; None for what follows from the index, INT8 or PACKED.
    """

    # At most 29 attributes: up to this number CPython shares the names among all layers.
    def __init__(self, index, last, in_shape, entry, reads=None):
        self.index = index
        self.reads = (PACKED if index else INT8) if reads is None else reads
        self.in_height, self.in_width, self.in_channels = in_shape
        self.kind, _, self.out_channels = entry[:3]
        self.groups = entry[17]  # of channels, each with weights of its own
        self.cells = entry[18]  # of the weights' memory for one weight: 1, or 8 for int8
        if last:
            self.output = SUMS if entry[19] else CLASS_BITS
        else:
            self.output = (BITS, BITS, AVERAGES, SIGNED)[entry[12]]
        self.kernel_height, self.kernel_width, self.stride_y, self.stride_x = entry[3:7]
        self.pad_top, self.pad_left, bottom, right, self.pad_value = entry[7:12]
        # Taps beyond the map on every side; -1 where the sides differ.
        same = self.pad_top == self.pad_left == bottom == right
        self.padding = self.pad_top if same else -1
        self.pool_height, self.pool_width, self.pool_stride_y, self.pool_stride_x = entry[13:17]
        if self.kind == DENSE:
            self.kernel_height, self.kernel_width = self.in_height, self.in_width
            self.stride_y = self.stride_x = 1
        if not entry[12]:  # no pooling
            self.pool_height = self.pool_width = self.pool_stride_y = self.pool_stride_x = 1
        taps = self.kernel_height * self.kernel_width
        # Products in one sum without padding.
        self.fan_in = taps * self.in_channels // self.groups
        if self.run_is_row:
            self.row_words = words_for(self.fan_in * self.cells)
        else:
            self.row_words = taps * self.in_words
        # Sums, before pooling.
        height = self.in_height + self.pad_top + bottom - self.kernel_height
        width = self.in_width + self.pad_left + right - self.kernel_width
        self.out_height = height // self.stride_y + 1
        self.out_width = width // self.stride_x + 1
        # What is stored, after pooling.
        self.map_height = (self.out_height - self.pool_height) // self.pool_stride_y + 1
        self.map_width = (self.out_width - self.pool_width) // self.pool_stride_x + 1
        self.weights_at = 0  # offset in the file, in bytes; set by Model

    def numbers(self) -> array:
        """The layer as array('i'), in the order of FIELDS; offsets are bytes in the file."""
        return array("i", [getattr(self, name) for name in FIELDS])

    @property
    def last(self) -> bool:
        """Whether it is the last layer, which stores no map."""
        return self.output in (SUMS, CLASS_BITS)

    @property
    def map_words(self) -> int:
        """Words of its output; 0 of the last layer's."""
        pixels = self.map_height * self.map_width
        if self.output == AVERAGES:
            return (pixels * self.out_channels + 1) // 2
        return pixels * self.out_words if self.output in STORED else 0

    @property
    def source(self) -> int:
        """Number of the map that it reads."""
        return self.index

    @property
    def in_words(self) -> int:
        """Words of one input pixel."""
        return words_for(self.in_channels)

    @property
    def out_words(self) -> int:
        """Words of one output pixel."""
        return words_for(self.out_channels)

    @property
    def run_words(self) -> int:
        """Words of a run of weights."""
        return self.row_words if self.run_is_row else self.in_words

    @property
    def run_bits(self) -> int:
        """Bits of a run of weights."""
        return self.fan_in * self.cells if self.run_is_row else self.in_channels

    @property
    def run_is_row(self) -> bool:
        """Whether an output's weights are one run; else they are a run for each tap."""
        return self.index == 0 or self.cells > 1 or self.groups > 1

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
        return self.map_height * self.map_width * self.out_channels if self.output in STORED else 0

    @property
    def weight_bits(self) -> int:
        """Bits of all weights, without padding."""
        return self.out_channels * self.fan_in * self.cells

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return self.out_height * self.out_width * self.out_channels * self.fan_in

    @property
    def data_bytes(self) -> int:
        """Bytes of weights, thresholds and masks in the file."""
        rows = 0 if self.output == SUMS else self.out_channels + self.out_words
        if self.output == SIGNED:
            rows += self.out_words
        return 4 * (self.weight_words + rows)
