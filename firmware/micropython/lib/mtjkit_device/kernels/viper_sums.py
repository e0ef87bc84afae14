"""A first layer whose sums take 32 bits, or are the scores: one sum at a time.

See viper_layers for `geometry` and `job`, and viper_pairs for `pairs`, which takes 256 taps at
once.
"""

# ruff: noqa: F821  (viper's types)

import micropython
from micropython import const

# Places in mtjkit_core.geometry.FIELDS.
_G_IN_HEIGHT = const(0)
_G_IN_WIDTH = const(1)
_G_IN_CHANNELS = const(2)
_G_KERNEL_HEIGHT = const(4)
_G_KERNEL_WIDTH = const(5)
_G_OUT_CHANNELS = const(10)
_G_ROW_WORDS = const(13)
_G_WEIGHTS_AT = const(16)
_G_THRESHOLDS_AT = const(17)
_G_INVERTED_AT = const(18)
_G_PAD_VALUE = const(27)

_WORDS = const(8)  # of a row at once
_SUMS = const(32)  # where the sums are in the job


def layer_map(kernel, image, out):
    """The layer's intended output; `kernel` is a ViperKernel."""
    layer = kernel.shapes[0]
    g = kernel.layers[0]
    data, work, job = kernel.data, kernel.work, kernel.job
    at = 0
    for y in range(layer.map_height):
        for x in range(layer.map_width):
            for k in range(layer.pool_height * layer.pool_width):
                top = y * layer.pool_stride_y + k // layer.pool_width
                left = x * layer.pool_stride_x + k % layer.pool_width
                top = top * layer.stride_y - layer.pad_top
                left = left * layer.stride_x - layer.pad_left
                _sums(work, image, 0, g, data, work, job, kernel.pairs, top, left)
                _decide(g, data, out, job, at, k)
            at += layer.out_words


def layer_scores(kernel, image, scores):
    """The scores of a network of one layer; `kernel` is a ViperKernel."""
    g = kernel.layers[0]
    work, job = kernel.work, kernel.job
    _sums(work, image, 0, g, kernel.data, work, job, kernel.pairs, 0, 0)
    _copy(job, scores, len(scores))


@micropython.viper
def _sums(
    taps: ptr32,
    pixels: ptr8,
    count: int,
    geometry,
    data,
    work,
    job,
    pairs,
    top: int,
    left: int,
):
    """All sums of the window that begins at row `top` and column `left` of the image.

    `taps` is `work`, `pixels` the image, `count` is anything: see viper_first.
    """
    g = ptr32(geometry)
    j = ptr32(job)
    depth = g[_G_IN_CHANNELS]
    height = g[_G_IN_HEIGHT]
    width = g[_G_IN_WIDTH]
    j[2] = g[_G_OUT_CHANNELS]
    j[4] = g[_G_WEIGHTS_AT]  # read like thresholds, but not used
    j[6] = 1
    count = j[2]
    while count > 0:
        count -= 1
        j[_SUMS + count] = 0
    # The next tap: its row, column and channel.
    iy = top
    ix = left
    c = 0
    word = 0
    while word < g[_G_ROW_WORDS]:
        words = g[_G_ROW_WORDS] - word
        if words > _WORDS:
            words = _WORDS
        taps = ptr32(work)
        count = words << 5
        while count > 0:
            tap = 0
            if iy < top + g[_G_KERNEL_HEIGHT]:
                tap = g[_G_PAD_VALUE]
                if iy >= 0 and iy < height and ix >= 0 and ix < width:
                    tap = (pixels[(iy * width + ix) * depth + c] ^ 128) - 128
                c += 1
                if c == depth:
                    c = 0
                    ix += 1
                    if ix == left + g[_G_KERNEL_WIDTH]:
                        ix = left
                        iy += 1
            taps[0] = tap
            taps = ptr32(int(taps) + 4)
            count -= 1
        j[0] = words
        j[3] = g[_G_WEIGHTS_AT] + (word << 2)
        j[7] = (g[_G_ROW_WORDS] - words) << 2
        pairs(job, work, data)
        word += words


@micropython.viper
def _decide(geometry: ptr32, data: ptr8, out: ptr32, job: ptr32, at: int, more: int):
    """Bits of the sums, from word `at` of `out` on; `more`: added to those that are there."""
    thresholds = ptr32(int(data) + geometry[_G_THRESHOLDS_AT])
    inverted = ptr32(int(data) + geometry[_G_INVERTED_AT])
    sums = ptr32(int(job) + 4 * _SUMS)
    channels = geometry[_G_OUT_CHANNELS]
    top = 1
    top <<= 31
    word = 0
    c = 0
    while c < channels:
        if (sums[c] ^ top) - top >= (thresholds[c] ^ top) - top:
            word |= 1 << (c & 31)
        c += 1
        if c & 31 == 0 or c == channels:
            word ^= inverted[(c - 1) >> 5]
            if more:
                word |= out[at]
            out[at] = word
            at += 1
            word = 0


@micropython.viper
def _copy(job: ptr32, scores: ptr32, count: int):
    """The sums of the job as scores."""
    while count > 0:
        count -= 1
        scores[count] = job[_SUMS + count]
