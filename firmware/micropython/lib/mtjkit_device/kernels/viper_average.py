"""Average pooling in viper: from the bits of all sums, as if nothing were pooled."""

# ruff: noqa: F821  (viper's types)

import micropython
from micropython import const

# Places in mtjkit_core.geometry.FIELDS.
_G_MAP_HEIGHT = const(8)
_G_MAP_WIDTH = const(9)
_G_OUT_CHANNELS = const(10)
_G_OUT_WORDS = const(11)
_G_POOL_HEIGHT = const(28)
_G_POOL_WIDTH = const(29)
_G_POOL_STRIDE_Y = const(30)
_G_POOL_STRIDE_X = const(31)


@micropython.viper
def average(geometry: ptr32, bits: ptr32, out: ptr16, width: int):
    """Ones less zeros of each window, int16; `width`: sums in a row, whose bits are `bits`."""
    words = geometry[_G_OUT_WORDS]
    size = geometry[_G_POOL_HEIGHT] * geometry[_G_POOL_WIDTH]
    pixel = 0
    while pixel < geometry[_G_MAP_HEIGHT] * geometry[_G_MAP_WIDTH]:
        y = pixel // geometry[_G_MAP_WIDTH]
        x = pixel - y * geometry[_G_MAP_WIDTH]
        start = y * geometry[_G_POOL_STRIDE_Y] * width + x * geometry[_G_POOL_STRIDE_X]
        c = 0
        while c < geometry[_G_OUT_CHANNELS]:
            total = 0 - size
            row = start
            ky = geometry[_G_POOL_HEIGHT]
            while ky > 0:
                at = row
                while at < row + geometry[_G_POOL_WIDTH]:
                    word = bits[at * words + (c >> 5)]
                    total += ((word >> (c & 31)) & 1) << 1
                    at += 1
                row += width
                ky -= 1
            out[0] = total
            out = ptr16(int(out) + 2)
            c += 1
        pixel += 1
    if pixel * geometry[_G_OUT_CHANNELS] & 1:  # up to a whole word
        out[0] = 0
