"""The layers in viper: what surrounds the two inner functions.

The inner functions are `pairs` of the first layer (viper_pairs, thumb_pairs) and `rows` of hidden
layers (viper_rows32, viper_rows64, thumb_rows).

`geometry` is LayerShape.numbers of mtjkit_core.geometry. A hidden layer copies each
window into one run of words, `windows`, zeros where it leaves the image, so that a filter's row
and its window are two runs of the same length. `job` tells the inner functions what to do:

    0 words of a row, 1 windows (4 with pooling, else 1), 2 out_channels, 3 weights_at,
    4 inverted_at (for `pairs`: thresholds_at), 5 first word of the result in `out`,
    6..9 each window's limits (index in job), 10..31 free for the inner function,
    from 32 on the limits

A limit combines threshold and padding: bit = (mismatches < limit) XOR inverted. Zeros copied for
padded taps mismatch wherever the filter has ones there, so a limit of an edge position includes
those ones; there are nine positions (top, middle, bottom x left, middle, right).
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
_G_PADDING = const(6)
_G_POOL = const(7)
_G_MAP_HEIGHT = const(8)
_G_MAP_WIDTH = const(9)
_G_OUT_CHANNELS = const(10)
_G_OUT_WORDS = const(11)
_G_FAN_IN = const(12)
_G_ROW_WORDS = const(13)
_G_WEIGHTS_AT = const(16)
_G_THRESHOLDS_AT = const(17)
_G_INVERTED_AT = const(18)

_TAPS = const(10)  # free for `limits` too, as `rows` does not run then
_MASKS = const(19)
_LIMITS = const(32)  # where the limits start in `job`


@micropython.viper
def first(geometry, image, data, out, work, job, pairs):
    """First layer's map, two neighbouring sums at a time; `pairs` is the inner function.

    It takes the taps of both windows, two 16-bit lanes in a word (left + right << 16).
    """
    g = ptr32(geometry)
    pixels = ptr8(image)
    taps = ptr32(work)
    target = ptr32(out)
    in_height = g[_G_IN_HEIGHT]
    in_width = g[_G_IN_WIDTH]
    depth = g[_G_IN_CHANNELS]
    padding = g[_G_PADDING]
    pool = g[_G_POOL]
    height = g[_G_MAP_HEIGHT] << pool
    width = g[_G_MAP_WIDTH] << pool
    out_words = g[_G_OUT_WORDS]
    inverted = ptr32(int(ptr8(data)) + g[_G_INVERTED_AT])
    bits = ptr32(int(taps) + g[_G_ROW_WORDS] * 640)
    j = ptr32(job)
    j[0] = g[_G_ROW_WORDS]
    j[2] = g[_G_OUT_CHANNELS]
    j[3] = g[_G_WEIGHTS_AT]
    j[4] = g[_G_THRESHOLDS_AT]
    k = g[_G_FAN_IN]
    while k < g[_G_ROW_WORDS] << 5:
        taps[k] = 0
        k += 1
    y = 0
    while y < height:
        x = 0
        while x < width:
            k = 0
            ky = 0
            while ky < 3:
                iy = y + ky - padding
                ix = x - padding
                while ix < x - padding + 3:
                    at = (iy * in_width + ix) * depth
                    in_left = 0  # whether this tap of the left window lies in the image
                    in_right = 0
                    if iy >= 0 and iy < in_height:
                        if ix >= 0 and ix < in_width:
                            in_left = 1
                        if ix >= -1 and ix + 1 < in_width:
                            in_right = 1
                    c = 0
                    while c < depth:
                        pair = 0
                        if in_left:
                            pair = (pixels[at] ^ 128) - 128
                        if in_right:
                            pair += ((pixels[at + depth] ^ 128) - 128) << 16
                        taps[k] = pair
                        at += 1
                        k += 1
                        c += 1
                    ix += 1
                ky += 1
            pairs(job, work, data)
            k = 0
            while k < out_words:
                left = bits[2 * k] ^ inverted[k]
                right = bits[2 * k + 1] ^ inverted[k]
                if pool != 0:
                    at = ((y >> 1) * g[_G_MAP_WIDTH] + (x >> 1)) * out_words + k
                    left |= right
                    if y & 1 != 0:
                        left |= target[at]
                    target[at] = left
                else:
                    at = (y * width + x) * out_words + k
                    target[at] = left
                    if x + 1 < width:
                        target[at + out_words] = right
                k += 1
            x += 2
        y += 1


@micropython.viper
def limits(geometry: ptr32, data: ptr8, job: ptr32):
    """Fill the limits of a hidden layer, and what `job` holds of the layer."""
    in_height = geometry[_G_IN_HEIGHT]
    in_width = geometry[_G_IN_WIDTH]
    in_channels = geometry[_G_IN_CHANNELS]
    in_words = geometry[_G_IN_WORDS]
    padding = geometry[_G_PADDING]
    channels = geometry[_G_OUT_CHANNELS]
    fan_in = geometry[_G_FAN_IN]
    row = ptr32(int(data) + geometry[_G_WEIGHTS_AT])
    thresholds = ptr32(int(data) + geometry[_G_THRESHOLDS_AT])
    job[0] = geometry[_G_ROW_WORDS]
    job[1] = 4 if geometry[_G_POOL] else 1
    job[2] = channels
    job[3] = geometry[_G_WEIGHTS_AT]
    job[4] = geometry[_G_INVERTED_AT]
    m1 = 0x5555
    m1 |= m1 << 16
    m2 = 0x3333
    m2 |= m2 << 16
    m4 = 0x0F0F
    m4 |= m4 << 16
    top = 1
    top <<= 31
    slots = 9 if padding else 1
    # Position by position, a mask of the taps outside the image.
    masks = ptr32(int(job) + 4 * _MASKS)
    slot = 0
    while slot < slots:
        outside = 0
        if padding != 0:
            # The position's y and x: 0, 1 or the last.
            y = slot // 3
            x = slot - 3 * y
            if y == 2:
                y = in_height - 1
            if x == 2:
                x = in_width - 1
            k = 0
            while k < 9:
                iy = y + k // 3 - 1
                ix = x + k % 3 - 1
                if iy < 0 or iy >= in_height or ix < 0 or ix >= in_width:
                    outside |= 1 << k
                k += 1
        masks[slot] = outside
        slot += 1
    taps = ptr32(int(job) + 4 * _TAPS)
    c = 0
    while c < channels:
        if padding != 0:
            # The ones of each tap.
            k = 0
            while k < 9:
                ones = 0
                i = 0
                while i < in_words:
                    w = row[i]
                    w -= (w >> 1) & m1
                    w = (w & m2) + ((w >> 2) & m2)
                    w = (w + (w >> 4)) & m4
                    w += w >> 8
                    ones += (w + (w >> 16)) & 0xFF
                    i += 1
                taps[k] = ones
                row = ptr32(int(row) + (in_words << 2))
                k += 1
        threshold = (thresholds[c] ^ top) - top
        slot = 0
        while slot < slots:
            count = fan_in
            extra = 0
            outside = masks[slot]
            k = 0
            while outside:
                if outside & 1:
                    count -= in_channels
                    extra += taps[k]
                outside >>= 1
                k += 1
            limit = 0
            if threshold <= 0 - count:
                limit = count + 1
            elif threshold <= count:
                limit = ((count - threshold) >> 1) + 1
            job[_LIMITS + slot * channels + c] = limit + extra
            slot += 1
        c += 1


@micropython.viper
def hidden(geometry, source, data, out, windows, job, rows):
    """A hidden layer's map; `rows` is the inner loop, called once for each stored pixel."""
    g = ptr32(geometry)
    j = ptr32(job)
    cells = ptr32(source)
    in_height = g[_G_IN_HEIGHT]
    row_words = g[_G_IN_WIDTH] * g[_G_IN_WORDS]  # words of one row of the image
    span = g[_G_KERNEL_WIDTH] * g[_G_IN_WORDS]  # words of one row of a window
    kernel_height = g[_G_KERNEL_HEIGHT]
    padding = g[_G_PADDING]
    pool = g[_G_POOL]
    map_height = g[_G_MAP_HEIGHT]
    map_width = g[_G_MAP_WIDTH]
    out_words = g[_G_OUT_WORDS]
    last_y = (map_height << pool) - 1
    last_x = (map_width << pool) - 1
    w = 0
    y = 0
    while y < map_height:
        x = 0
        while x < map_width:
            to = ptr32(windows)
            corner = 0
            while corner < (4 if pool else 1):
                cy = (y << pool) + (corner >> 1)
                cx = (x << pool) + (corner & 1)
                first_word = (cx - padding) * g[_G_IN_WORDS]
                ky = 0
                while ky < kernel_height:
                    iy = cy + ky - padding
                    at = iy * row_words + first_word
                    start = 0 - first_word
                    stop = row_words - first_word
                    if iy < 0 or iy >= in_height:
                        stop = 0
                    i = 0
                    while i < span:
                        word = 0
                        if i >= start and i < stop:
                            word = cells[at + i]
                        to[i] = word
                        i += 1
                    to = ptr32(int(to) + (span << 2))
                    ky += 1
                k = 0
                if padding != 0:
                    if cy != 0:
                        k = 6 if cy == last_y else 3
                    if cx != 0:
                        k += 2 if cx == last_x else 1
                j[6 + corner] = _LIMITS + k * g[_G_OUT_CHANNELS]
                corner += 1
            j[5] = w
            rows(job, windows, data, out)
            w += out_words
            x += 1
        y += 1


@micropython.viper
def last(geometry: ptr32, cells: ptr32, data: ptr8, scores: ptr32):
    """Signed sums of the last layer: n - 2 * mismatches over the whole map."""
    m1 = 0x5555
    m1 |= m1 << 16
    m2 = 0x3333
    m2 |= m2 << 16
    m4 = 0x0F0F
    m4 |= m4 << 16
    words = geometry[_G_ROW_WORDS]
    row = ptr32(int(data) + geometry[_G_WEIGHTS_AT])
    c = 0
    while c < geometry[_G_OUT_CHANNELS]:
        total = geometry[_G_FAN_IN]
        i = 0
        while i < words:
            w = cells[i] ^ row[i]
            w -= (w >> 1) & m1
            w = (w & m2) + ((w >> 2) & m2)
            w = (w + (w >> 4)) & m4
            w += w >> 8
            total -= ((w + (w >> 16)) & 0xFF) << 1
            i += 1
        scores[c] = total
        row = ptr32(int(row) + (words << 2))
        c += 1
