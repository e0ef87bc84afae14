"""Bits packed into little-endian 32-bit words, bit 0 first; 1 means +1 and 0 means -1.

A *run* is a string of bits that starts on a word: the channels of one pixel, or one row of
first-layer weights. The unused high bits of a run's last word are padding: always 0.
"""

_POPCOUNT = bytes([bin(i).count("1") for i in range(256)])


def tail_mask(bits: int) -> int:
    """Mask of the valid bits in the last word of a run of `bits` bits."""
    return 0xFFFFFFFF >> (-bits & 31)


def popcount(word: int) -> int:
    """Number of ones in a 32-bit word."""
    return (
        _POPCOUNT[word & 255]
        + _POPCOUNT[word >> 8 & 255]
        + _POPCOUNT[word >> 16 & 255]
        + _POPCOUNT[word >> 24]
    )


def mismatches(a, a_start: int, b, b_start: int, size: int) -> int:
    """Number of bits that differ between `size` bytes of `a` and of `b`: popcount(a XOR b).

    With padding 0 on both sides it adds nothing, so the signed sum of n products of +-1 is
    n - 2 * mismatches (XNOR-popcount).
    """
    total = 0
    for i in range(size):
        total += _POPCOUNT[a[a_start + i] ^ b[b_start + i]]
    return total


def load_word(buffer, index: int) -> int:
    """The 32-bit word number `index` of `buffer` (bytes-like)."""
    i = index << 2
    return buffer[i] | buffer[i + 1] << 8 | buffer[i + 2] << 16 | buffer[i + 3] << 24


def store_word(buffer, index: int, word: int) -> None:
    """Set the 32-bit word number `index` of `buffer` (bytearray or writable memoryview)."""
    i = index << 2
    buffer[i] = word & 255
    buffer[i + 1] = word >> 8 & 255
    buffer[i + 2] = word >> 16 & 255
    buffer[i + 3] = word >> 24
