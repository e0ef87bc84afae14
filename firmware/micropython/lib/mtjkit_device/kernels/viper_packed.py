"""A first layer whose one window is a whole image of bits: a hidden dense layer, once it is packed.

See viper_layers for `geometry` and `job`.
"""

# ruff: noqa: F821  (viper's types)

import micropython
from micropython import const
from mtjkit_core.geometry import ZERO_ONE

from mtjkit_device.kernels import viper_layers

# Places in mtjkit_core.geometry.FIELDS.
_G_OUT_CHANNELS = const(10)
_G_FAN_IN = const(12)
_G_ROW_WORDS = const(13)
_G_WEIGHTS_AT = const(16)
_G_THRESHOLDS_AT = const(17)

_LIMITS = const(33)  # where the limits are in the job


def layer_map(kernel, image, out):
    """The layer's intended output; `kernel` is a ViperKernel."""
    g = kernel.layers[0]
    data, work, job = kernel.data, kernel.work, kernel.job
    _pack(image, work, g)
    viper_layers.limits(g, data, job, work, kernel.positions[0])
    if kernel.shapes[0].reads == ZERO_ONE:
        _zero_one(g, data, job, 1)
    _rows(job, work, data, out, kernel.loops[0])


def layer_scores(kernel, image, scores):
    """The scores of a network of one layer; `kernel` is a ViperKernel."""
    g = kernel.layers[0]
    _pack(image, kernel.work, g)
    viper_layers.last(g, kernel.work, kernel.data, scores)
    if kernel.shapes[0].reads == ZERO_ONE:
        _zero_one(g, kernel.data, scores, 0)


@micropython.viper
def _rows(job, work, data, out, rows):
    j = ptr32(job)
    j[5] = 0
    rows(job, work, data, out)


@micropython.viper
def _pack(pixels: ptr8, to: ptr32, geometry: ptr32):
    """An image as one run of bits: a byte above 0 is 1."""
    left = geometry[_G_FAN_IN]
    while left > 0:
        word = 0
        bit = 1
        count = 32
        while count > 0 and left > 0:
            if pixels[0] - 1 < 127 and pixels[0]:
                word |= bit
            bit <<= 1
            pixels = ptr8(int(pixels) + 1)
            count -= 1
            left -= 1
        to[0] = word
        to = ptr32(int(to) + 4)


@micropython.viper
def _zero_one(geometry: ptr32, data: ptr8, to: ptr32, limits: int):
    """Of inputs 0 and 1, S = ones of the filter - mismatches: the limits, or the scores of them."""
    m1 = 0x5555
    m1 |= m1 << 16
    m2 = 0x3333
    m2 |= m2 << 16
    m4 = 0x0F0F
    m4 |= m4 << 16
    top = 1
    top <<= 31
    row = ptr32(int(data) + geometry[_G_WEIGHTS_AT])
    thresholds = ptr32(int(data) + geometry[_G_THRESHOLDS_AT])
    fan_in = geometry[_G_FAN_IN]
    c = geometry[_G_OUT_CHANNELS]
    if limits:
        to = ptr32(int(to) + 4 * _LIMITS)
    while c > 0:
        ones = 0
        i = geometry[_G_ROW_WORDS]
        while i > 0:
            w = row[0]
            w -= (w >> 1) & m1
            w = (w & m2) + ((w >> 2) & m2)
            w = (w + (w >> 4)) & m4
            w += w >> 8
            ones += (w + (w >> 16)) & 0xFF
            row = ptr32(int(row) + 4)
            i -= 1
        if limits:
            threshold = (thresholds[0] ^ top) - top
            thresholds = ptr32(int(thresholds) + 4)
            if threshold > ones:
                to[0] = 0
            elif threshold <= ones - fan_in:
                to[0] = fan_in + 1
            else:
                to[0] = ones - threshold + 1
        else:
            differ = (fan_in - ((to[0] ^ top) - top)) >> 1
            to[0] = ones - differ
        to = ptr32(int(to) + 4)
        c -= 1
