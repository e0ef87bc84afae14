"""The write engine in viper: the same bits as mtjkit_core.mtj_memory.

A viper integer is a machine word, of 32 or 64 bits; `full` cuts results to 32. Constants of 2**30
and more are built by shifts, because 32-bit ports reject them as literals.
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
    errors: ptr32,
    counts: ptr32,
):
    """Write with errors: see mtjkit_core.mtj_memory.write.

    `erased` is 1 where the cells count as all 0, whatever lies there; `cells` and `intended` may
    then be the same words. `errors`: see mtjkit_core.write_errors.words.
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
    down = uint(errors[0])
    up = uint(errors[1])
    certain = errors[2]
    keep = errors[4]
    uneven = 0
    if down != up:
        uneven = 1
    if certain != errors[3]:
        uneven = 1
    written = 0
    toggles = uint(0)
    wrongs = uint(0)
    ones = uint(0)
    ups = uint(0)
    left = run_words
    w = 0
    while w < words:
        lanes = full
        left -= 1
        if left == 0:
            left = run_words
            lanes = tail
            written += run_bits
        failed = uint(0)
        if uneven:
            new = uint(intended[w])
            undecided = lanes
            if certain:
                failed = undecided & (new ^ full)
                undecided &= new
            if errors[3]:
                failed |= undecided & new
                undecided &= new ^ full
            digits = down
            up_digits = up
            s = ptr32(int(state) + ((w & 7) << 4))
            s0 = uint(s[0])
            s1 = uint(s[1])
            s2 = uint(s[2])
            s3 = uint(s[3])
            while True:
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
        elif certain:
            failed = lanes
        elif down:
            s = ptr32(int(state) + ((w & 7) << 4))
            s0 = uint(s[0])
            s1 = uint(s[1])
            s2 = uint(s[2])
            s3 = uint(s[3])
            digits = down
            undecided = lanes
            while undecided:
                if not digits:
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
                if digits & top:
                    failed |= undecided & (x ^ full)
                    undecided &= x
                else:
                    undecided &= x ^ full
                digits = (digits << 1) & full
            s[0] = int(s0)
            s[1] = int(s1)
            s[2] = int(s2)
            s[3] = int(s3)
        new = uint(intended[w])
        old = uint(0)
        if erased == 0:
            old = uint(cells[w])
        t = (old ^ new) & lanes
        if keep != 0:
            failed &= t
        cells[w] = int(new ^ failed)
        x = t & new
        t -= (t >> 1) & m1
        t = (t & m2) + ((t >> 2) & m2)
        t = (t + (t >> 4)) & m4
        t += t >> 8
        t = (t + (t >> 16)) & 0xFF
        toggles += t
        if old:
            x -= (x >> 1) & m1
            x = (x & m2) + ((x >> 2) & m2)
            x = (x + (x >> 4)) & m4
            x += x >> 8
            ups += (x + (x >> 16)) & 0xFF
            t = new - ((new >> 1) & m1)
            t = (t & m2) + ((t >> 2) & m2)
            t = (t + (t >> 4)) & m4
            t += t >> 8
            ones += (t + (t >> 16)) & 0xFF
        else:  # of erased cells only ones toggle
            ups += t
            ones += t
        if failed:
            t = failed - ((failed >> 1) & m1)
            t = (t & m2) + ((t >> 2) & m2)
            t = (t + (t >> 4)) & m4
            t += t >> 8
            wrongs += (t + (t >> 16)) & 0xFF
        w += 1
    counts[0] += written
    counts[1] += int(toggles)
    counts[2] += int(wrongs)
    counts[3] += int(ones)
    counts[4] += int(ups)
