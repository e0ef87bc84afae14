"""Hidden layers and the last one in viper: what surrounds the inner loop.

The inner loop is `rows` (of viper_rows32, viper_rows64, thumb_rows, rv32_rows, ...): all channels
of one stored pixel.

`geometry` is LayerShape.numbers of mtjkit_core.geometry. A hidden layer copies each
window into one run of words, `windows`, so that a filter's row and its window are two runs of the
same length. `job` tells the inner loop what to do:

    0 words of a row, 1 windows (those that are pooled, else 1), 2 out_channels, 3 weights_at,
    4 inverted_at (for `pairs` of the first layer: thresholds_at), 5 first word of the result in
    `out`, 7 bytes of `windows` before the first one, 10..31 free for the inner loop, from 32 on
    each window's limits (index in job), then the limits

A limit combines threshold and padding: bit = (mismatches < limit) XOR inverted. Taps beyond the
map that add nothing are zeros in the window, which mismatch wherever the filter has ones there;
so the limit of a window beyond the edge includes those ones.
"""

# ruff: noqa: F821  (viper's types)

import micropython
from micropython import const

# Places in mtjkit_core.geometry.FIELDS. Those of an axis y are followed by those of x.
_G_IN_HEIGHT = const(0)
_G_IN_WIDTH = const(1)
_G_IN_CHANNELS = const(2)
_G_IN_WORDS = const(3)
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

_WINDOWS = const(32)  # where each window's limits start in `job`


@micropython.viper
def limits(geometry: ptr32, data: ptr8, job: ptr32, work: ptr32, positions: ptr32):
    """Fill the limits of a hidden layer, and what `job` holds of the layer.

    `positions` is what mtjkit_core.footprint says. `work` holds the ones of a filter: entry (y, x)
    counts those of the taps above and left of (y, x).
    """
    in_channels = geometry[_G_IN_CHANNELS]
    in_words = geometry[_G_IN_WORDS]
    height = geometry[_G_KERNEL_HEIGHT]
    step = (geometry[_G_KERNEL_WIDTH] + 1) << 2
    channels = geometry[_G_OUT_CHANNELS]
    row = ptr32(int(data) + geometry[_G_WEIGHTS_AT])
    thresholds = ptr32(int(data) + geometry[_G_THRESHOLDS_AT])
    windows = geometry[_G_POOL_HEIGHT] * geometry[_G_POOL_WIDTH]
    rows = positions[2]
    columns = positions[5]
    job[0] = geometry[_G_ROW_WORDS]
    job[1] = windows
    job[2] = channels
    job[3] = geometry[_G_WEIGHTS_AT]
    job[4] = geometry[_G_INVERTED_AT]
    job[7] = 0
    job[_WINDOWS] = _WINDOWS + windows
    to = ptr32(int(job) + ((_WINDOWS + windows) << 2))
    m1 = 0x5555
    m1 |= m1 << 16
    m2 = 0x3333
    m2 |= m2 << 16
    m4 = 0x0F0F
    m4 |= m4 << 16
    top = 1
    top <<= 31
    if rows + columns == 2:  # the same for all sums
        count = geometry[_G_FAN_IN]
        job = to
        while channels > 0:
            threshold = (thresholds[0] ^ top) - top
            thresholds = ptr32(int(thresholds) + 4)
            job[0] = 0
            if threshold <= 0 - count:
                job[0] = count + 1
            elif threshold <= count:
                job[0] = ((count - threshold) >> 1) + 1
            job = ptr32(int(job) + 4)
            channels -= 1
    c = 0
    while c < channels:
        tap = work
        y = 0 - 1
        while y < height:
            total = 0
            k = 0
            while k < step:
                tap[0] = 0
                if y >= 0:
                    i = in_words if k else 0
                    while i > 0:
                        w = row[0]
                        w -= (w >> 1) & m1
                        w = (w & m2) + ((w >> 2) & m2)
                        w = (w + (w >> 4)) & m4
                        w += w >> 8
                        total += (w + (w >> 16)) & 0xFF
                        row = ptr32(int(row) + 4)
                        i -= 1
                    above = ptr32(int(tap) - step)
                    tap[0] = above[0] + total
                tap = ptr32(int(tap) + 4)
                k += 4
            y += 1
        tap = ptr32(int(tap) - 4)
        total = tap[0]
        threshold = (thresholds[0] ^ top) - top
        thresholds = ptr32(int(thresholds) + 4)
        limit = ptr32(int(to) + (c << 2))
        y = 0
        while y < rows:
            k = rows
            while k < rows + columns:
                v = positions[6 + 2 * y]
                above = ptr32(int(work) + v * step)
                count = positions[7 + 2 * y]
                below = ptr32(int(work) + count * step)
                count = (count - v) * in_channels
                v = positions[6 + 2 * k]
                i = positions[7 + 2 * k]
                count *= i - v
                limit[0] = total - below[i] + below[v] + above[i] - above[v]
                if threshold <= 0 - count:
                    limit[0] += count + 1
                elif threshold <= count:
                    limit[0] += ((count - threshold) >> 1) + 1
                limit = ptr32(int(limit) + (channels << 2))
                k += 1
            y += 1
        c += 1


@micropython.viper
def hidden(geometry, source, data, out, windows, job, positions, rows):
    """A hidden layer's map; `rows` is the inner loop, called once for each stored pixel."""
    g = ptr32(geometry)
    j = ptr32(job)
    in_height = g[_G_IN_HEIGHT]
    in_words = g[_G_IN_WORDS]
    row_words = g[_G_IN_WIDTH] * in_words  # words of one row of the map
    span = g[_G_KERNEL_WIDTH] * in_words  # words of one row of a window
    at = ptr32(positions)
    tail = (1 << (g[_G_IN_CHANNELS] & 31)) - 1
    if tail == 0:
        tail -= 1
    # Single windows that are one run of the map are read there: one tap, or the whole map.
    in_place = 0
    if j[1] == 1 and g[_G_PAD_TOP] + g[_G_PAD_LEFT] == 0:
        if g[_G_KERNEL_HEIGHT] == in_height and span == row_words:
            if g[_G_MAP_HEIGHT] + g[_G_MAP_WIDTH] == 2:
                in_place = 1
        if j[0] == in_words:
            in_place = 1
    w = 0
    y = 0
    while y < g[_G_MAP_HEIGHT]:
        x = 0
        while x < g[_G_MAP_WIDTH]:
            if in_place:
                j[5] = w
                j[7] = y * g[_G_POOL_STRIDE_Y] * g[_G_STRIDE_Y] * row_words << 2
                j[7] += x * g[_G_POOL_STRIDE_X] * g[_G_STRIDE_X] * in_words << 2
                rows(job, source, data, out)
                w += g[_G_OUT_WORDS]
                x += 1
                continue
            to = ptr32(windows)
            index = ptr32(int(j) + 4 * _WINDOWS)
            cy = y * g[_G_POOL_STRIDE_Y]
            last_y = cy + g[_G_POOL_HEIGHT]
            while cy < last_y:
                cx = x * g[_G_POOL_STRIDE_X]
                last_x = cx + g[_G_POOL_WIDTH]
                while cx < last_x:
                    iy = cy * g[_G_STRIDE_Y] - g[_G_PAD_TOP]
                    left = (cx * g[_G_STRIDE_X] - g[_G_PAD_LEFT]) * in_words
                    end = iy + g[_G_KERNEL_HEIGHT]
                    while iy < end:
                        # From here on words of the row before, in and behind the map.
                        stop = 0 - left
                        if stop < 0:
                            stop = 0
                        if iy < 0 or iy >= in_height or stop > span:
                            stop = span
                        i = 0
                        while True:
                            while i < stop:
                                word = 0
                                if g[_G_PAD_VALUE] == 1:
                                    word = tail if (i + 1) % in_words == 0 else -1
                                to[0] = word
                                to = ptr32(int(to) + 4)
                                i += 1
                            if i == span:
                                break
                            stop = row_words - left
                            if stop > span:
                                stop = span
                            cells = ptr32(int(ptr32(source)) + ((iy * row_words + left + i) << 2))
                            while i < stop:
                                to[0] = cells[0]
                                to = ptr32(int(to) + 4)
                                cells = ptr32(int(cells) + 4)
                                i += 1
                            stop = span
                        iy += 1
                    k = cy
                    if cy >= at[0]:
                        k = at[0]
                        if cy >= at[1]:
                            k += cy - at[1] + 1
                    k *= at[5]
                    if cx < at[3]:
                        k += cx
                    else:
                        k += at[3]
                        if cx >= at[4]:
                            k += cx - at[4] + 1
                    index[0] = _WINDOWS + j[1] + k * g[_G_OUT_CHANNELS]
                    index = ptr32(int(index) + 4)
                    cx += 1
                cy += 1
            j[5] = w
            rows(job, windows, data, out)
            w += g[_G_OUT_WORDS]
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
