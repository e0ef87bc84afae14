"""Writes to cells of four classes in viper: the same bits as mtjkit_core.chip_memory.

See viper_memory for the arithmetic.
"""

# ruff: noqa: F821  (viper's types)

import micropython


@micropython.viper
def write(
    cells: ptr32,
    intended: ptr32,
    words: int,
    run_words: int,
    run_bits: int,
    erased: int,
    state: ptr32,
    streams: ptr32,
    classes: ptr32,
    counts: ptr32,
):
    """Write with errors: see mtjkit_core.chip_memory.write_classes.

    `streams` are those of the classes, `classes` as ChipErrors.map_class_words makes it; for
    `erased` see viper_memory.write.
    """
    full = uint(0xFFFF)
    full |= full << 16
    m1 = uint(0x5555)
    m1 |= m1 << 16
    m2 = uint(0x3333)
    m2 |= m2 << 16
    m4 = uint(0x0F0F)
    m4 |= m4 << 16
    tail = full >> uint(-run_bits & 31)
    top = uint(1)
    top <<= 31
    low = uint(0)
    high = uint(0)
    left = run_words
    w = 0
    while w < words:
        lanes = full
        left -= 1
        if left == 0:
            left = run_words
            lanes = tail
            counts[0] += run_bits
        new = uint(intended[w])
        failed = uint(0)
        digits = uint(0)
        up_digits = uint(0)
        # Steps 0 and 1 draw the classes, from their own streams; 2 to 5 the failures of a class.
        step = 0
        while step < 6:
            undecided = full
            s = ptr32(int(streams) + ((w & 7) << 4))
            if step > 1:
                s = ptr32(int(state) + ((w & 7) << 4))
                e = ptr32(int(classes) + 20 * (step - 2))
                undecided = lanes
                if step & 1:
                    undecided &= low
                else:
                    undecided &= low ^ full
                if step > 3:
                    undecided &= high
                else:
                    undecided &= high ^ full
                if e[2]:
                    failed |= undecided & (new ^ full)
                    undecided &= new
                if e[3]:
                    failed |= undecided & new
                    undecided &= new ^ full
                digits = uint(e[0])
                up_digits = uint(e[1])
            s0 = uint(s[0])
            s1 = uint(s[1])
            s2 = uint(s[2])
            s3 = uint(s[3])
            while True:
                if step > 1:
                    if not digits:
                        undecided &= new
                    if not up_digits:
                        undecided &= new ^ full
                if not undecided:
                    break
                x = (s0 + s3) & full
                x = ((((x << 7) & full) | (x >> 25)) + s0) & full
                t = (s1 << 9) & full
                s2 ^= s0
                s3 ^= s1
                s1 ^= s2
                s0 ^= s3
                s2 ^= t
                s3 = ((s3 << 11) & full) | (s3 >> 21)
                if step < 2:
                    low = high
                    high = x
                    break
                t = uint(0)
                if up_digits & top:
                    t = new
                if digits & top:
                    t |= new ^ full
                failed |= undecided & t & (x ^ full)
                undecided &= t ^ x ^ full
                digits = (digits << 1) & full
                up_digits = (up_digits << 1) & full
            s[0] = int(s0)
            s[1] = int(s1)
            s[2] = int(s2)
            s[3] = int(s3)
            step += 1
        old = uint(0)
        if erased == 0:
            old = uint(cells[w])
        toggled = (old ^ new) & lanes
        if classes[4] != 0:
            failed &= toggled
        cells[w] = int(new ^ failed)
        # Four sums: of bits toggled, wrong, ones written, toggled up.
        k = 1
        while k < 5:
            t = toggled
            if k == 2:
                t = failed
            if k > 2:
                t = new
            if k > 3:
                t &= toggled
            t -= (t >> 1) & m1
            t = (t & m2) + ((t >> 2) & m2)
            t = (t + (t >> 4)) & m4
            t += t >> 8
            counts[k] += int((t + (t >> 16)) & 0xFF)
            k += 1
        w += 1
