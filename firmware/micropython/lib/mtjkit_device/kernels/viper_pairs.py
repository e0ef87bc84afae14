"""The inner function of the first layer in viper."""

# ruff: noqa: F821  (viper's types)

import micropython


@micropython.viper
def pairs(job: ptr32, work: ptr32, data: ptr8):
    """All channels of two neighbouring sums: see viper_layers for `job`.

    For each four taps a table holds the 16 sums of +-tap, so that a filter costs one lookup for
    four weights and both sums: up to 144 int8 fit a 16-bit lane. `work` holds, for each word of
    a row, 32 taps, then for each 8 tables, then the results: for each 32 channels the bits of
    the left sums and those of the right ones, before inversion.

    Where job[6] is 1, a row is a part of a longer one, job[7] bytes follow it before the next one,
    and the sums of one lane are added to the words of the job from 32 on.
    """
    row_words = job[0]
    channels = job[2]
    row = ptr32(int(data) + job[3])
    thresholds = ptr32(int(data) + job[4])
    sums = ptr32(int(job) + 128)
    tables = ptr32(int(work) + (row_words << 7))
    bits = ptr32(int(tables) + (row_words << 9))
    top = 1
    top <<= 31
    taps = work
    table = tables
    k = row_words << 3
    while k > 0:
        table[0] = 0 - taps[0] - taps[1] - taps[2] - taps[3]
        i = 0
        while i < 4:
            twice = taps[i] << 1
            c = 0
            while c < 1 << i:
                table[(1 << i) + c] = table[c] + twice
                c += 1
            i += 1
        taps = ptr32(int(taps) + 16)
        table = ptr32(int(table) + 64)
        k -= 1
    left = 0
    right = 0
    c = 0
    while c < channels:
        table = tables
        total = 0
        k = row_words
        while k > 0:
            w = row[0]
            total += (
                table[w & 15]
                + table[((w >> 4) & 15) + 16]
                + table[((w >> 8) & 15) + 32]
                + table[((w >> 12) & 15) + 48]
                + table[((w >> 16) & 15) + 64]
                + table[((w >> 20) & 15) + 80]
                + table[((w >> 24) & 15) + 96]
                + table[((w >> 28) & 15) + 112]
            )
            row = ptr32(int(row) + 4)
            table = ptr32(int(table) + 512)
            k -= 1
        if job[6]:
            sums[c] += total
            row = ptr32(int(row) + job[7])
        low = ((total & 0xFFFF) ^ 0x8000) - 0x8000
        high = ((((total - low) >> 16) & 0xFFFF) ^ 0x8000) - 0x8000
        threshold = (thresholds[c] ^ top) - top
        if low >= threshold:
            left |= 1 << (c & 31)
        if high >= threshold:
            right |= 1 << (c & 31)
        c += 1
        if c & 31 == 0 or c == channels:
            bits[0] = left
            bits[1] = right
            bits = ptr32(int(bits) + 8)
            left = 0
            right = 0
