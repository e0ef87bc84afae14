"""Layers product by product: int8 weights, groups of channels, averages as input.

Slow, and the only code for what few networks have, and those in a layer or two.
"""

# ruff: noqa: F821  (viper's types)

import micropython
from micropython import const

# Places in mtjkit_core.geometry.FIELDS.
_G_IN_HEIGHT = const(0)
_G_IN_WIDTH = const(1)
_G_IN_CHANNELS = const(2)
_G_IN_WORDS = const(3)
_G_KERNEL_HEIGHT = const(4)
_G_KERNEL_WIDTH = const(5)
_G_MAP_HEIGHT = const(8)
_G_MAP_WIDTH = const(9)
_G_OUT_CHANNELS = const(10)
_G_ROW_WORDS = const(13)
_G_WEIGHTS_AT = const(16)
_G_THRESHOLDS_AT = const(17)
_G_INVERTED_AT = const(18)
_G_STRIDE_Y = const(23)
_G_STRIDE_X = const(24)
_G_PAD_TOP = const(25)
_G_PAD_LEFT = const(26)
_G_PAD_VALUE = const(27)
_G_POOL_HEIGHT = const(28)
_G_POOL_WIDTH = const(29)
_G_POOL_STRIDE_Y = const(30)
_G_POOL_STRIDE_X = const(31)
_G_READS = const(32)
_G_CELLS = const(33)
_G_GROUPS = const(35)

# Of mtjkit_core.geometry.
_PACKED = const(3)
_NUMBERS = const(4)


def layer_map(kernel, image, out):
    """The first layer's intended output; `kernel` is a ViperKernel."""
    plain(kernel.layers[0], image, kernel.data, out, 0)


def layer_scores(kernel, image, scores):
    """The scores of a network of one layer; `kernel` is a ViperKernel."""
    plain(kernel.layers[0], image, kernel.data, scores, 1)


@micropython.viper
def plain(geometry: ptr32, source: ptr8, data: ptr8, out: ptr32, sums: int):
    """A layer's map, or with `sums` its sums: see mtjkit_core.reference.plain_sum."""
    top = 1
    top <<= 31
    depth = geometry[_G_IN_CHANNELS]
    reads = geometry[_G_READS]
    cells = geometry[_G_CELLS]
    channels = geometry[_G_OUT_CHANNELS]
    group = depth // geometry[_G_GROUPS]
    outputs = channels // geometry[_G_GROUPS]
    # Bits from one tap to the next in a row; only other rows than these lie tap by tap.
    step = group
    if reads >= _PACKED and cells == 1 and geometry[_G_GROUPS] == 1:
        step = geometry[_G_IN_WORDS] << 5
    thresholds = ptr32(int(data) + geometry[_G_THRESHOLDS_AT])
    inverted = ptr32(int(data) + geometry[_G_INVERTED_AT])
    pixel = 0
    while pixel < geometry[_G_MAP_HEIGHT] * geometry[_G_MAP_WIDTH]:
        y = pixel // geometry[_G_MAP_WIDTH]
        x = pixel - y * geometry[_G_MAP_WIDTH]
        word = 0
        c = 0
        while c < channels:
            row = ptr8(int(data) + geometry[_G_WEIGHTS_AT] + ((c * geometry[_G_ROW_WORDS]) << 2))
            bit = 0
            window = 0
            while bit == 0 and window < geometry[_G_POOL_HEIGHT] * geometry[_G_POOL_WIDTH]:
                at = window // geometry[_G_POOL_WIDTH]
                iy = (y * geometry[_G_POOL_STRIDE_Y] + at) * geometry[_G_STRIDE_Y]
                at = window - at * geometry[_G_POOL_WIDTH]
                left = (x * geometry[_G_POOL_STRIDE_X] + at) * geometry[_G_STRIDE_X]
                iy -= geometry[_G_PAD_TOP]
                left -= geometry[_G_PAD_LEFT]
                window += 1
                total = 0
                at = 0
                ky = geometry[_G_KERNEL_HEIGHT]
                while ky > 0:
                    ix = left
                    while ix < left + geometry[_G_KERNEL_WIDTH]:
                        inside = 0
                        if iy >= 0 and iy < geometry[_G_IN_HEIGHT]:
                            if ix >= 0 and ix < geometry[_G_IN_WIDTH]:
                                inside = 1
                        # Where the tap's values lie: a bit, an int16 or a byte.
                        first = iy * geometry[_G_IN_WIDTH] + ix
                        if reads == _PACKED:
                            first *= geometry[_G_IN_WORDS] << 5
                        else:
                            first *= depth
                        first += c // outputs * group
                        k = 0
                        while k < group:
                            value = (geometry[_G_PAD_VALUE] ^ top) - top
                            if inside:
                                v = first + k
                                if reads == _PACKED:
                                    value = ((source[v >> 3] >> (v & 7)) & 1) * 2 - 1
                                elif reads == _NUMBERS:
                                    value = source[2 * v] | source[2 * v + 1] << 8
                                    value = (value ^ 0x8000) - 0x8000
                                else:
                                    value = (source[v] ^ 128) - 128
                            v = at + k
                            if cells > 1:
                                total += value * ((row[v] ^ 128) - 128)
                            elif (row[v >> 3] >> (v & 7)) & 1:
                                total += value
                            else:
                                total -= value
                            k += 1
                        at += step
                        ix += 1
                    iy += 1
                    ky -= 1
                if sums:
                    break
                bit = (inverted[c >> 5] >> (c & 31)) & 1
                if total >= (thresholds[c] ^ top) - top:
                    bit ^= 1
            if sums:
                out[c] = total
            word |= bit << (c & 31)
            c += 1
            if sums == 0:
                if c & 31 == 0 or c == channels:
                    out[0] = word
                    out = ptr32(int(out) + 4)
                    word = 0
        pixel += 1
