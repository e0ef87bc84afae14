"""The inner loop of hidden layers in viper, for ports whose machine word has 32 bits."""

# ruff: noqa: F821  (viper's types)

import micropython


@micropython.viper
def rows(x: ptr32, d: ptr32, data: ptr8, out: ptr32):
    """All channels of one stored pixel: see viper_layers for `job`, x, and `windows`, d.

    The native emitter keeps the first two locals in registers and every other one on the stack: an
    operation takes one instruction with a register, three with the stack. So x and d hold words
    once the job is read, under the types that arguments have.

    In every lane (bit), six words go through carry-save adders: with what `ones` kept before they
    are ones + 2 * (t + 2 * x). Two lanes' t + 2 * x are numbers of two bits, then nibbles, bytes.
    With pooling, a channel whose bit is set needs no further window.
    """
    m1 = 0x5555
    m1 |= m1 << 16
    m2 = 0x33333333
    m4 = 0x0F0F0F0F
    m8 = 0x02020202
    job = x
    windows = ptr32(int(d) + job[7])
    sixes = job[0] // 6
    rest = job[0] - 6 * sixes
    corners = job[1]
    channels = job[2]
    row = ptr32(int(data) + job[3])
    inverted = ptr32(int(data) + job[4])
    out = ptr32(int(out) + (job[5] << 2))
    limits = job
    while channels > 0:
        flip = inverted[0]
        inverted = ptr32(int(inverted) + 4)
        end = 0
        if channels < 32:
            end = 1 << channels
        word = 0
        one = 1
        while one ^ end:
            a = windows
            at = ptr32(int(job) + 128)
            corner = corners
            while corner:
                b = row
                total = 0
                ones = 0
                i = sixes
                while i:
                    x = ptr32(a[0])
                    x = ptr32(b[0] ^ int(x))
                    d = ptr32(a[1])
                    d = ptr32(b[1] ^ int(d) ^ int(x))
                    y = (ones ^ int(x)) & int(d) ^ int(x)
                    ones = ones ^ int(d)
                    x = ptr32(a[2])
                    x = ptr32(b[2] ^ int(x))
                    d = ptr32(a[3])
                    d = ptr32(b[3] ^ int(d) ^ int(x))
                    z = (ones ^ int(x)) & int(d) ^ int(x)
                    ones = ones ^ int(d)
                    x = ptr32(a[4])
                    x = ptr32(b[4] ^ int(x))
                    d = ptr32(a[5])
                    d = ptr32(b[5] ^ int(d) ^ int(x))
                    x = ptr32((ones ^ int(x)) & int(d) ^ int(x))
                    ones = ones ^ int(d)
                    d = ptr32(y ^ int(x))
                    t = z ^ int(d)
                    x = ptr32((z ^ int(x)) & int(d) ^ int(x))
                    d = ptr32(m1)
                    y = (t >> 1 ^ int(x)) & int(d) ^ int(x)  # odd lanes
                    x = ptr32(int(x) + int(x))
                    x = ptr32((t ^ int(x)) & int(d) ^ int(x))  # even lanes
                    d = ptr32(y)
                    x = ptr32(((int(x) >> 2 & m2) + (int(d) >> 2 & m2)) * -3 + int(x) + int(d))
                    total = int(uint(((int(x) >> 4 & m4) * -15 + int(x)) * m8) >> 24) + total
                    a = ptr32(int(a) + 24)
                    b = ptr32(int(b) + 24)
                    i -= 1
                x = ptr32(ones)
                i = rest
                while True:
                    if int(x):
                        x = ptr32(int(x) - (int(x) >> 1 & m1))
                        x = ptr32((int(x) >> 2 & m2) * -3 + int(x))
                        total = int(uint(((int(x) >> 4) + int(x) & m4) * m8) >> 25) + total
                    if not i:
                        break
                    x = ptr32(a[0])
                    x = ptr32(b[0] ^ int(x))
                    a = ptr32(int(a) + 4)
                    b = ptr32(int(b) + 4)
                    i -= 1
                x = ptr32(total)
                if (int(x) - limits[at[0]] >> 31 ^ flip) & one:
                    word |= one
                    break
                at = ptr32(int(at) + 4)
                corner -= 1
            row = b
            limits = ptr32(int(limits) + 4)
            one <<= 1
        out[0] = word
        out = ptr32(int(out) + 4)
        channels -= 32
