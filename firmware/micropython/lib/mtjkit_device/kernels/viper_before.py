"""Random bits in cells that are not erased, in viper: the same bits as mtjkit_core.chip_memory.

See viper_memory for the arithmetic.
"""

# ruff: noqa: F821  (viper's types)

import micropython


def fill(cells, streams):
    """See mtjkit_core.chip_memory.fill."""
    _fill(cells, len(cells) >> 2, streams)


@micropython.viper
def _fill(cells: ptr32, words: int, streams: ptr32):
    full = uint(0xFFFF)
    full |= full << 16
    # No cells[w]: see viper_shared.erase.
    w = 0
    while w < words:
        s = ptr32(int(streams) + ((w & 7) << 4))
        s0 = uint(s[0])
        s1 = uint(s[1])
        s2 = uint(s[2])
        s3 = uint(s[3])
        x = (s0 + s3) & full
        cells[0] = int((((x << 7) & full) | (x >> 25)) + s0)
        cells = ptr32(int(cells) + 4)
        t = (s1 << 9) & full
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s[0] = int(s0)
        s[1] = int(s1)
        s[2] = int(s2)
        s[3] = int(((s3 << 11) & full) | (s3 >> 21))
        w += 1
