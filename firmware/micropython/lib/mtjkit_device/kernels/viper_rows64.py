"""The inner loop of hidden layers in viper, for ports whose machine word has 64 bits."""

# ruff: noqa: F821  (viper's types)

import micropython


@micropython.viper
def rows(job: ptr32, windows: ptr32, data: ptr8, out: ptr32):
    """All channels of one stored pixel: see viper_layers for `job`.

    As viper_rows32, with two words of the map side by side in each variable: six words go through
    one carry-save adder.
    """
    m1 = 0x5555
    m1 |= m1 << 16
    m1 |= m1 << 32
    m2 = 0x3333
    m2 |= m2 << 16
    m2 |= m2 << 32
    m4 = 0x0F0F
    m4 |= m4 << 16
    m4 |= m4 << 32
    windows = ptr32(int(windows) + job[7])
    words = job[0]
    corners = job[1]
    channels = job[2]
    row = ptr32(int(data) + job[3])
    inverted = ptr32(int(data) + job[4])
    at = job[5]
    sixes = words - words % 6
    word = 0
    flip = 0
    c = 0
    while c < channels:
        if c & 31 == 0:
            flip = inverted[c >> 5]
            word = 0
        corner = 0
        a = windows
        while corner < corners:
            total = 0
            b = row
            i = 0
            while i < sixes:
                x = (a[0] ^ b[0]) | ((a[3] ^ b[3]) << 32)
                y = (a[1] ^ b[1]) | ((a[4] ^ b[4]) << 32)
                z = (a[2] ^ b[2]) | ((a[5] ^ b[5]) << 32)
                u = x ^ y
                y = (x & y) | (z & u)
                x = u ^ z
                x -= (x >> 1) & m1
                y -= (y >> 1) & m1
                x = (x & m2) + ((x >> 2) & m2) + (((y & m2) + ((y >> 2) & m2)) << 1)
                x = (x & m4) + ((x >> 4) & m4)
                x += x >> 8
                x += x >> 16
                total += (x + (x >> 32)) & 0xFF
                a = ptr32(int(a) + 24)
                b = ptr32(int(b) + 24)
                i += 6
            while i < words:
                x = a[0] ^ b[0]
                x -= (x >> 1) & m1
                x = (x & m2) + ((x >> 2) & m2)
                x = (x + (x >> 4)) & m4
                x += x >> 8
                total += (x + (x >> 16)) & 0xFF
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                i += 1
            bit = (flip >> (c & 31)) & 1
            if total < job[job[32 + corner] + c]:
                bit ^= 1
            if bit != 0:
                word |= 1 << (c & 31)
                break
            corner += 1
        row = ptr32(int(row) + (words << 2))
        c += 1
        if c & 31 == 0 or c == channels:
            out[at] = word
            at += 1
