"""The RAM that an engine takes beyond the model.

Here and not on the device's side, so that the export can print it beforehand.
"""

from mtjkit_core.geometry import AVERAGES, BITS, INT8, PACKED, beyond_3x3

MAX_IMAGES = 8  # on their way to a device at the same time, where its heap has room for them

_JOB = 32  # words of a job before its windows and limits: see mtjkit_device.kernels.viper_layers
_LANE = 255  # int8 whose sum fits 16 bits: 32767 // 128
_PART = 8  # words of a row that are computed at once where it does not
_LONGEST_ROW = 32767  # products of a hidden sum that the AVX2 kernels count: INT16_MAX


def in_lanes(first) -> bool:
    """Whether the device's kernels compute the first layer two sums at a time, of 16 bits each."""
    return first.fan_in <= _LANE and not first.last


def positions(layer) -> list:
    """Where a layer's windows leave its map, so that taps beyond it add nothing to their sums.

    Sums of one axis differ in which taps lie in the map: each of the first ones by itself, the
    inner ones together, each of the last ones by itself.

    Returns:
        For the vertical axis, then the horizontal one: the first inner sum, the one behind them,
        and the number of positions; then for each vertical position, and each horizontal one, its
        first tap in the map and the one behind its last. Without such windows the head alone.
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


def work_words(model) -> int:
    """Words of a kernel's `work`.

    First layer: 32 taps and 8 tables of 16 sums for each word of a row, or of a part of a long
    one, and its results.
    Hidden layer: its windows, as many as it pools; or what its limits are computed from.
    """
    first = model.layers[0]
    row = first.row_words if in_lanes(first) else min(first.row_words, _PART)
    words = row * (32 + 8 * 16) + 2 * first.out_words
    for layer in model.layers[1:-1]:
        padded = len(positions(layer)) > 6
        sums = (layer.kernel_height + 1) * (layer.kernel_width + 1)
        windows = layer.pool_height * layer.pool_width
        # One run of the map is read there: see mtjkit_device.kernels.viper_layers.hidden.
        one_tap = layer.kernel_height == layer.kernel_width == 1
        whole = (
            (layer.kernel_height, layer.kernel_width) == (layer.in_height, layer.in_width)
            and layer.map_height == layer.map_width == 1
            and not (layer.pad_top or layer.pad_left)
        )
        words = max(
            words,
            sums if padded else 0,
            0 if windows == 1 and (one_tap or whole) else layer.row_words * windows,
        )
    return words


def job_words(model) -> int:
    """Words of a kernel's `job`: a head, then what the largest layer needs.

    First layer: its sums, where its rows are computed in parts. Hidden layer: its windows and
    limits.
    """
    words = 0 if in_lanes(model.layers[0]) else model.layers[0].out_channels
    for layer in model.layers[1:-1]:
        head = positions(layer)
        limits = layer.out_channels * head[2] * head[5]
        words = max(words, layer.pool_height * layer.pool_width + limits)
    return _JOB + words


def native_bytes(model, avx2: bool) -> int:
    """Bytes that the C kernels take: scratch memory, and with AVX2 the weights once more, repacked.

    The scratch memory of a layer holds
      by tables (int8 of few taps): tables of 16 sums;
      by words: the windows of up to four outputs and their masks; nothing where the layer has a
        single output, which is read in place;
      by values (all others): the values of a window, and their bits;
      with AVX2: the input with its padding, an int8 or a nibble in each byte.
    mtj_packed_bytes and mtj_scratch_bytes in firmware/native are the definition.
    """
    packed = scratch = 0
    for layer in model.layers:
        first = layer.index == 0
        if avx2 and not beyond_3x3(layer) and (first or layer.fan_in <= _LONGEST_ROW):
            row = (layer.fan_in + 1) // 2 * 64 if first else layer.row_words * 128
            packed += (layer.out_words * (128 + row) + 63) & ~63
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
    if usual and layer.reads == INT8 and layer.output == BITS and layer.fan_in <= _LANE:
        return 160 * row
    by_words = usual and layer.reads == PACKED
    windows = layer.pool_height * layer.pool_width
    kept = min(windows, 4) if by_words and layer.output != AVERAGES else 1
    size = 4 * layer.out_words if windows > kept or layer.output == AVERAGES else 0
    if not by_words:
        return size + 8 * row + 2 * ((layer.fan_in + 1) & ~1)
    whole = layer.kernel_height == layer.in_height and layer.kernel_width == layer.in_width
    if not (whole and not layer.padding):
        size += kept * row * (2 if layer.padding and not layer.pad_value else 1)
    return size


def ram_bytes(model, kernel: str, avx2: bool = False) -> int:
    """Bytes of heap that mtjkit_device.engine.Engine allocates for a model, without code.

    Two halves, the intended output of one layer, scores and streams; but for the kernel `python`
    also what one layer's inner loops need. Small objects are counted roughly, at 32-bit sizes.

    Args:
        model: mtjkit_core.model.Model.
        kernel: python, viper, asm_thumb or native; auto counts as viper.
        avx2: the kernel `native` finds AVX2.
    """
    even, odd = model.half_words
    size = 4 * (even + odd + max(even, odd) + model.classes + 64)
    if kernel != "python":
        size += 128 * len(model.layers)
    if kernel == "native":
        size += native_bytes(model, avx2)
    elif kernel != "python":
        size += 4 * (work_words(model) + job_words(model))
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
