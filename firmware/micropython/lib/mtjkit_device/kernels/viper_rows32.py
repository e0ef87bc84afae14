"""The inner loop of hidden layers in viper, for ports whose machine word has 32 bits."""

# ruff: noqa: F821  (viper's types)

import micropython


@micropython.viper
def rows(job: ptr32, windows: ptr32, data: ptr8, out: ptr32):
    """All channels of one stored pixel: see viper_layers for `job`.

    Three words go through a carry-save adder (x + y + z = low + 2 * high in every lane), so that
    the lanes of two words are counted instead of three. With pooling, a channel whose bit is set
    needs no further window.
    """
    m1 = 0x5555
    m1 |= m1 << 16
    m2 = 0x3333
    m2 |= m2 << 16
    m4 = 0x0F0F
    m4 |= m4 << 16
    windows = ptr32(int(windows) + job[7])
    words = job[0]
    corners = job[1]
    channels = job[2]
    row = ptr32(int(data) + job[3])
    inverted = ptr32(int(data) + job[4])
    at = job[5]
    threes = words - words % 3
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
            while i < threes:
                x = a[0] ^ b[0]
                y = a[1] ^ b[1]
                z = a[2] ^ b[2]
                u = x ^ y
                y = (x & y) | (z & u)
                x = u ^ z
                x -= (x >> 1) & m1
                y -= (y >> 1) & m1
                x = (x & m2) + ((x >> 2) & m2) + (((y & m2) + ((y >> 2) & m2)) << 1)
                x = (x & m4) + ((x >> 4) & m4)
                x += x >> 8
                total += (x + (x >> 16)) & 0xFF
                a = ptr32(int(a) + 12)
                b = ptr32(int(b) + 12)
                i += 3
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
