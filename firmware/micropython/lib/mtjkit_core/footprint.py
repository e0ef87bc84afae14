"""The RAM that an engine takes beyond the model.

Here and not on the device's side, so that the export can print it beforehand.
"""

from array import array

from mtjkit_core.geometry import (
    AVERAGES,
    BITS,
    CLASS_BITS,
    FIELDS,
    INT8,
    NUMBERS,
    PACKED,
    STORED,
)

MAX_IMAGES = 8  # on their way to a device at the same time, where its heap has room for them

_JOB = 32  # words of a job before its windows and limits: see mtjkit_device.kernels.viper_layers
_LANE = 255  # int8 whose sum fits 16 bits: 32767 // 128
_PART = 8  # words of a row that are computed at once where it does not
_LONGEST_ROW = 32767  # products of a hidden sum that the AVX2 kernels count: INT16_MAX

PAIRS, LONG, PACKED_ROW, PLAIN = 0, 1, 2, 3  # see first_kind


class Unpooled:
    """A layer with average pooling as a device computes it first: without pooling, all its bits."""

    def __init__(self, layer):
        self._layer = layer
        self.output = BITS
        self.map_height = layer.out_height
        self.map_width = layer.out_width
        self.pool_height = self.pool_width = self.pool_stride_y = self.pool_stride_x = 1

    def __getattr__(self, name):
        return getattr(self._layer, name)

    def numbers(self):
        """See mtjkit_core.geometry.LayerShape."""
        return array("i", [getattr(self, name) for name in FIELDS])


def computed(layers) -> list:
    """The layers as a device computes them."""
    if any([layer.output == AVERAGES for layer in layers]):
        layers = [Unpooled(layer) if layer.output == AVERAGES else layer for layer in layers]
    return layers


def is_plain(layer) -> bool:
    """Whether a device computes the layer product by product, which is slow."""
    return layer.cells > 1 or layer.groups > 1 or layer.reads == NUMBERS


def first_kind(first) -> int:
    """How the device's kernels compute the first layer.

    PACKED_ROW: an image of bits, whose one window it is, as a hidden layer. PAIRS: two sums at a
    time, of 16 bits each. LONG: one sum at a time, in parts of a row. PLAIN: see `is_plain`.
    """
    if is_plain(first):
        return PLAIN
    if first.reads != INT8 and _is_map(first):
        return PACKED_ROW
    return PAIRS if first.fan_in <= _LANE and not first.last else LONG


def image_bytes(first) -> int:
    """Bytes of an image's int8 values, where the kernels make them of bits."""
    if first.reads == INT8 or first_kind(first) == PACKED_ROW:
        return 0
    return first.in_height * first.in_width * first.in_channels


def _is_map(layer) -> bool:
    """Whether a layer's one window is its map: then the window is not copied."""
    return (
        (layer.kernel_height, layer.kernel_width) == (layer.in_height, layer.in_width)
        and layer.map_height == layer.map_width == 1
        and not (layer.pad_top or layer.pad_left)
        and layer.pool_height == layer.pool_width == 1
    )


def positions(layer) -> list:
    """Where a layer's windows leave its map, so that taps beyond it add nothing to their sums.

    Sums of one axis differ in which taps lie in the map: each of the first ones by itself, the
    inner ones together, each of the last ones by itself.

    Returns:
        For the vertical axis, then the horizontal one: the first inner sum, the one behind them,
        and the number of positions; then for each vertical position, and each horizontal one, its
        first tap in the map and the one behind its last. Without these windows the head alone.
    """
    head, taps = [], []
    for size, kernel, stride, pad, kept, pool, pool_stride in (
        (layer.in_height, layer.kernel_height, layer.stride_y, layer.pad_top)
        + (layer.map_height, layer.pool_height, layer.pool_stride_y),
        (layer.in_width, layer.kernel_width, layer.stride_x, layer.pad_left)
        + (layer.map_width, layer.pool_width, layer.pool_stride_x),
    ):
        sums = (kept - 1) * pool_stride + pool
        first = min((pad + stride - 1) // stride, sums)
        behind = max(first, min((size + pad - kernel) // stride + 1, sums))
        if layer.pad_value:
            first, behind = 0, sums
        count = first + 1 + sums - behind
        head += [first, behind, count]
        for k in range(count):
            at = (k if k <= first else behind + k - first - 1) * stride - pad
            start = max(0, -at)
            taps += [start, max(start, min(kernel, size - at))]
    return head if head[2] + head[5] == 2 else head + taps


def packed_maps(model) -> list:
    """The layers that read packed bits and make bits of them."""
    layers = computed(model.layers[1:])
    if layers and layers[-1].output != CLASS_BITS:
        layers = layers[:-1]
    return [layer for layer in layers if not is_plain(layer)]


def bits_bytes(model) -> int:
    """Bytes of bits that are never in the memory: classes, and what average pooling counts."""
    size = 0
    for layer in model.layers:
        if layer.output == CLASS_BITS:
            size = max(size, 4 * layer.out_words)
        elif layer.output == AVERAGES:
            size = max(size, 4 * layer.out_height * layer.out_width * layer.out_words)
    return size


def work_words(model) -> int:
    """Words of a kernel's `work`.

    First layer: 32 taps and 8 tables of 16 sums for each word of a row, or of a part of a long
    one, and its results.
    Hidden layer: its windows, as many as it pools; or what its limits are computed from.
    """
    first = computed(model.layers)[0]
    words = first.row_words if first_kind(first) != PLAIN else 1
    if first_kind(first) in (PAIRS, LONG):
        row = words if first_kind(first) == PAIRS else min(words, _PART)
        words = row * (32 + 8 * 16) + 2 * first.out_words
    for layer in packed_maps(model):
        padded = len(positions(layer)) > 6
        sums = (layer.kernel_height + 1) * (layer.kernel_width + 1)
        windows = layer.pool_height * layer.pool_width
        # One run of the map is read there: see mtjkit_device.kernels.viper_layers.hidden.
        one_tap = layer.kernel_height == layer.kernel_width == windows == 1
        words = max(
            words,
            sums if padded else 0,
            0 if one_tap or _is_map(layer) else layer.row_words * windows,
        )
    return words


def job_words(model) -> int:
    """Words of a kernel's `job`: a head, then what the largest layer needs.

    First layer: its sums, where its rows are computed in parts, or its limits. Hidden layer: its
    windows and limits.
    """
    first = model.layers[0]
    words = 1 + first.out_channels if first_kind(first) in (LONG, PACKED_ROW) else 0
    for layer in packed_maps(model):
        head = positions(layer)
        limits = layer.out_channels * head[2] * head[5]
        words = max(words, layer.pool_height * layer.pool_width + limits)
    return _JOB + words


def native_bytes(model, avx2: bool) -> int:
    """Bytes that the C kernels take: scratch memory, and on x86-64 the weights once more, repacked.

    The result is exact without AVX2. With AVX2 it is what AVX2 or AVX-512 takes at most. AMX takes
    more, for the maps' bits as bytes: a device there asks the kernels.

    The scratch memory of a layer holds
      by tables (int8 of few taps): tables of 16 sums;
      by tables (packed, rows of up to eight words, no pooling): tables of two words of eight
        outputs, and sums of 64 channels;
      by words: the windows of up to four outputs and their masks; nothing where the layer has a
        single output, which is read in place;
      by values (all others): the values of a window, and their bits;
      with AVX2: the input with its padding, an int8 or a nibble in each byte.
    mtj_packed_bytes and mtj_scratch_bytes in firmware/native are the definition.
    """
    if not avx2:
        return max([_portable_bytes(layer) for layer in model.layers])
    from mtjkit_core.avx2_kinds import beyond_3x3  # here, because no board needs it

    packed = scratch = 0
    for layer in model.layers:
        first = layer.index == 0
        if not beyond_3x3(layer) and (first or layer.fan_in <= _LONGEST_ROW):
            if first:
                row = 128 + (layer.fan_in + 1) // 2 * 64
            else:
                pieces = layer.kernel_height * ((layer.row_words // layer.kernel_height + 1) // 2)
                row = (1024 if layer.padding else 128) + 256 * pieces
            packed += (layer.out_words * row + 63) & ~63
            height = layer.in_height + 2 * layer.padding
            width = layer.in_width + 2 * layer.padding
            depth = layer.in_channels if first else 8 * layer.in_words
            scratch = max(scratch, height * width * depth + 32)
        else:
            scratch = max(scratch, _portable_bytes(layer))
    return packed + scratch


def _portable_bytes(layer) -> int:
    row = 4 * layer.row_words
    usual = layer.cells == layer.groups == 1
    if usual and layer.reads == INT8 and layer.output in STORED and layer.fan_in <= _LANE:
        return 160 * row
    by_words = usual and layer.reads == PACKED
    windows = layer.pool_height * layer.pool_width
    short = by_words and layer.row_words <= 8 and layer.output in STORED
    if short and windows == 1 and layer.map_height * layer.map_width > 3:
        return 1024 * min(layer.row_words, 2) + 128 * ((min(layer.out_channels, 64) + 7) // 8)
    kept = min(windows, 4) if by_words and layer.output != AVERAGES else 1
    size = 4 * layer.out_words if windows > kept or layer.output == AVERAGES else 0
    if not by_words:
        return size + 8 * row + 2 * ((layer.fan_in + 1) & ~1)
    whole = layer.kernel_height == layer.in_height and layer.kernel_width == layer.in_width
    if not (whole and not layer.padding):
        size += kept * row * (2 if layer.padding and not layer.pad_value else 1)
    return size


def ram_bytes(model, kernel: str, avx2: bool = False, native: int = -1) -> int:
    """Bytes of heap that mtjkit_device.engine.Engine allocates for a model, without code.

    Two halves, the intended output of one layer, scores and streams; but for the kernel `python`
    also what one layer's inner loops need. Small objects are counted roughly, at 32-bit sizes.

    Args:
        model: mtjkit_core.model.Model.
        kernel: python, viper, asm_thumb, asm_rv32 or native; auto counts as viper.
        avx2: the kernel `native` finds AVX2.
        native: what the kernel `native` says that it takes; -1: by native_bytes.
    """
    even, odd = model.half_words
    size = 4 * (even + odd + max(even, odd) + model.classes + 64)
    if kernel != "python":
        size += 128 * len(model.layers)
    if kernel == "native":
        size += native_bytes(model, avx2) if native < 0 else native
    elif kernel != "python":
        size += 4 * (work_words(model) + job_words(model))
        size += image_bytes(model.layers[0]) + bits_bytes(model)
    return size


def slot_bytes(model, chunk: int) -> int:
    """Bytes of heap of one image on its way, which comes in chunks, with its result.

    Args:
        model: mtjkit_core.model.Model.
        chunk: bytes of a chunk.
    """
    height, width, channels = model.input_shape
    size = height * width * channels
    return size + size // chunk + 4 * model.classes + 256
