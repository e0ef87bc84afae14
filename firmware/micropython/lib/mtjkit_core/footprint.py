"""A layer as flat numbers for the kernels, and the RAM that an engine takes beyond the model.

Here and not on the device's side, so that the export can print it beforehand.
"""

from array import array

MAX_IMAGES = 8  # on their way to a device at the same time, where its heap has room for them

_LIMITS = 32  # words of a job before its limits: see mtjkit_device.viper_layers
_LONGEST_ROW = 32767  # products of a hidden sum that the AVX2 kernels count: INT16_MAX


def geometry(layer) -> array:
    """Layer as array('i'); offsets are bytes in the model file.

    0 in_height, 1 in_width, 2 in_channels, 3 in_words, 4 kernel_height, 5 kernel_width,
    6 padding, 7 pool, 8 map_height, 9 map_width, 10 out_channels, 11 out_words, 12 fan_in,
    13 row_words, 14 run_words, 15 run_bits, 16 weights_at, 17 thresholds_at, 18 inverted_at,
    19 map_words, 20 weight_words.
    """
    return array(
        "i",
        (
            layer.in_height,
            layer.in_width,
            layer.in_channels,
            layer.in_words,
            layer.kernel_height,
            layer.kernel_width,
            layer.padding,
            layer.pool,
            layer.map_height,
            layer.map_width,
            layer.out_channels,
            layer.out_words,
            layer.fan_in,
            layer.row_words,
            layer.run_words,
            layer.run_bits,
            layer.weights_at,
            layer.thresholds_at,
            layer.inverted_at,
            layer.map_words,
            layer.weight_words,
        ),
    )


def work_words(model) -> int:
    """Words of a kernel's `work`.

    First layer: 32 taps and 8 tables of 16 sums for each word of a row, and its results.
    Hidden layer: its window, or four windows where it pools.
    """
    first = model.layers[0]
    words = first.row_words * (32 + 8 * 16) + 2 * first.out_words
    for layer in model.layers[1:-1]:
        words = max(words, layer.row_words * (4 if layer.pool else 1))
    return words


def job_words(model) -> int:
    """Words of a kernel's `job`: a head and one limit for each channel, nine with padding."""
    limits = 0
    for layer in model.layers[1:-1]:
        limits = max(limits, layer.out_channels * (9 if layer.padding else 1))
    return _LIMITS + limits


def native_bytes(model, avx2: bool) -> int:
    """Bytes that the C kernels take: scratch memory, and with AVX2 the weights once more, repacked.

    Portable: tables of the first layer, or one output's windows and masks (of a layer with a
    single output, which is read in place, nothing). With AVX2: a layer's
    input with its padding, an int8 or a nibble in each byte; mtj_packed_bytes and
    mtj_scratch_bytes in firmware/native are the definition.
    """
    packed = scratch = 0
    for layer in model.layers:
        first = layer.index == 0
        if avx2 and (first or layer.fan_in <= _LONGEST_ROW):
            row = (layer.fan_in + 1) // 2 * 64 if first else layer.row_words * 128
            packed += (layer.out_words * (128 + row) + 63) & ~63
            height = layer.in_height + 2 * layer.padding
            width = layer.in_width + 2 * layer.padding
            depth = layer.in_channels if first else 8 * layer.in_words
            scratch = max(scratch, height * width * depth + 32)
        elif first:
            scratch = max(scratch, 640 * layer.row_words)
        elif layer.padding or layer.map_height * layer.map_width << layer.pool > 1:
            scratch = max(scratch, 4 * layer.row_words << (layer.padding + 2 * layer.pool))
    return packed + scratch


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
