"""A layer as flat numbers for the kernels, and the RAM that an engine takes beyond the model.

Here and not on the device's side, so that the export can print it beforehand.
"""

from array import array

from mtjkit_core.model import CONV

_LIMITS = 32  # words of a job before its limits: see mtjkit_device.viper_layers


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
    """Words of a kernel's `work`: for the first layer 32 taps and 8 tables of 16 sums for each
    word of a row and its results, for a hidden layer its one or four (pooling) windows."""
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


def native_words(model) -> int:
    """Words of the C kernel's scratch memory: tables of the first layer, or one output's windows.
    (On x86-64 with AVX2 it also repacks the weights; that is not counted.)"""
    words = 160 * model.layers[0].row_words
    for layer in model.layers[1:]:
        if layer.kind == CONV:
            words = max(words, layer.row_words << (layer.padding + 2 * layer.pool))
    return words


def ram_bytes(model, kernel: str) -> int:
    """Bytes of heap that mtjkit_device.engine.Engine allocates for a model, without code.

    Two halves, the intended output of one layer, scores and streams; but for the kernel `python`
    also what one layer's inner loops need. Small objects are counted roughly, at 32-bit sizes.
    """
    even, odd = model.half_words
    words = even + odd + max(even, odd) + model.classes + 64
    if kernel != "python":
        words += 32 * len(model.layers)
    if kernel == "native":
        words += native_words(model)
    elif kernel != "python":
        words += work_words(model) + job_words(model)
    return 4 * words
