"""A first layer whose sums fit 16 bits: what surrounds its inner function, `pairs`.

See viper_layers for `geometry` and `job`, and viper_pairs.
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
_G_MAP_HEIGHT = const(8)
_G_MAP_WIDTH = const(9)
_G_OUT_CHANNELS = const(10)
_G_OUT_WORDS = const(11)
_G_FAN_IN = const(12)
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


def layer_map(kernel, image, out):
    """The layer's intended output; `kernel` is a ViperKernel."""
    work = kernel.work
    data, job = kernel.data, kernel.job
    _first(work, image, 0, kernel.layers[0], image, data, out, work, job, kernel.pairs)


@micropython.viper
def _first(taps: ptr32, pixels: ptr8, left: int, geometry, image, data, out, work, job, pairs):
    """The layer's map, two sums at a time: neighbours, or two of those that are pooled.

    `pairs` takes the taps of both windows, two 16-bit lanes in a word (left + right << 16).
    `taps` is `work`, `pixels` is `image`, `left` is anything: MicroPython keeps the first three
    variables in registers, so they are those of the inner loops.
    """
    g = ptr32(geometry)
    target = ptr32(out)
    in_height = g[_G_IN_HEIGHT]
    in_width = g[_G_IN_WIDTH]
    depth = g[_G_IN_CHANNELS]
    height = g[_G_KERNEL_HEIGHT]
    width = g[_G_KERNEL_WIDTH]
    windows = g[_G_POOL_HEIGHT] * g[_G_POOL_WIDTH]
    map_width = g[_G_MAP_WIDTH]
    out_words = g[_G_OUT_WORDS]
    bits = ptr32(int(taps) + g[_G_ROW_WORDS] * 640)
    j = ptr32(job)
    j[0] = g[_G_ROW_WORDS]
    j[2] = g[_G_OUT_CHANNELS]
    j[3] = g[_G_WEIGHTS_AT]
    j[4] = g[_G_THRESHOLDS_AT]
    j[6] = 0
    left = g[_G_FAN_IN]
    while left < g[_G_ROW_WORDS] << 5:
        taps[left] = 0
        left += 1
    y = 0
    while y < g[_G_MAP_HEIGHT]:
        x = 0
        while x < map_width:
            window = 0
            while window < windows:
                # First row and column of the first sum's window, and the way to the second's.
                # Where there is no second sum, it is the first one again.
                k = window // g[_G_POOL_WIDTH]
                top = (y * g[_G_POOL_STRIDE_Y] + k) * g[_G_STRIDE_Y] - g[_G_PAD_TOP]
                k = window - k * g[_G_POOL_WIDTH]
                start = (x * g[_G_POOL_STRIDE_X] + k) * g[_G_STRIDE_X] - g[_G_PAD_LEFT]
                down = 0
                right = g[_G_STRIDE_X]
                if windows == 1:
                    right *= g[_G_POOL_STRIDE_X]
                    if x + 1 == map_width:
                        right = 0
                elif window + 1 == windows:
                    right = 0
                elif k + 1 == g[_G_POOL_WIDTH]:
                    right = 0 - right * k
                    down = g[_G_STRIDE_Y]
                beyond = top | start | (start + right)
                beyond |= in_height - height - top - down
                beyond |= (in_width - width - start) | (in_width - width - start - right)
                taps = ptr32(work)
                if beyond >= 0:
                    step = (down * in_width + right) * depth
                    pixels = ptr8(int(ptr8(image)) + (top * in_width + start) * depth)
                    k = height
                    while k > 0:
                        left = width * depth
                        while left > 0:
                            tap = ((pixels[step] ^ 128) - 128) << 16
                            taps[0] = ((pixels[0] ^ 128) - 128) + tap
                            pixels = ptr8(int(pixels) + 1)
                            taps = ptr32(int(taps) + 4)
                            left -= 1
                        pixels = ptr8(int(pixels) + (in_width - width) * depth)
                        k -= 1
                else:
                    v = top
                    while v < top + height:
                        c = start
                        while c < start + width:
                            k = 0
                            while k < depth:
                                taps[0] = 0
                                iy = v + down  # the second sum's tap first
                                ix = c + right
                                step = 2
                                while step > 0:
                                    left = g[_G_PAD_VALUE]
                                    if iy >= 0 and iy < in_height and ix >= 0 and ix < in_width:
                                        pixels = ptr8(image)
                                        left = pixels[(iy * in_width + ix) * depth + k]
                                        left = (left ^ 128) - 128
                                    taps[0] = (taps[0] << 16) + left
                                    iy = v
                                    ix = c
                                    step -= 1
                                taps = ptr32(int(taps) + 4)
                                k += 1
                            c += 1
                        v += 1
                pairs(job, work, data)
                inverted = ptr32(int(ptr8(data)) + g[_G_INVERTED_AT])
                c = (y * map_width + x) * out_words
                k = 0
                while k < out_words:
                    left = bits[2 * k] ^ inverted[k]
                    v = bits[2 * k + 1] ^ inverted[k]
                    if windows > 1:
                        left |= v
                        if window:
                            left |= target[c]
                    elif x + 1 < map_width:
                        target[c + out_words] = v
                    target[c] = left
                    c += 1
                    k += 1
                window += 2
            x += 2 if windows == 1 else 1
        y += 1
