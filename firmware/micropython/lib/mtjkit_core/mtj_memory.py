"""The emulated MTJ memory: stochastic writes, defined to the bit in MEMORY.md.

This is the reference: plain integers, one word at a time. Every faster engine (viper, C, the
host's) gives the same bits.
"""

from mtjkit_core.bits import load_word, popcount, store_word
from mtjkit_core.streams import STREAMS, next_word
from mtjkit_core.write_errors import CERTAIN, FLIP, KEEP, fail_limit

__all__ = ("CERTAIN", "FLIP", "KEEP", "draw_failures", "threshold_from_rate", "write")

threshold_from_rate = fail_limit


def draw_failures(state, stream: int, threshold: int, lanes: int) -> int:
    """Draw which of a word's `lanes` (a mask) fail, each with probability threshold / 2**32.

    Every lane compares a 32-bit random number with the threshold, most significant digit first;
    one random word gives one digit of all lanes. A lane is decided at its first digit that
    differs. Drawing stops when every lane is decided or no digit 1 is left in the threshold.
    """
    if threshold == CERTAIN:
        return lanes
    failed = 0
    while lanes and threshold:
        word = next_word(state, stream)
        if threshold & 0x80000000:
            failed |= lanes & ~word
            lanes &= word
        else:
            lanes &= ~word
        threshold = threshold << 1 & 0xFFFFFFFF
    return failed


def write(cells, intended, words, run_words, tail, state, threshold, errors, counts) -> None:
    """Write `intended` into `cells`, with errors.

    Args:
        cells: the memory (bytearray or writable memoryview), from the first word written.
        intended: bytes-like, `words` 32-bit words; padding 0.
        words: number of words to write.
        run_words: words in a run; the last word of each run holds only the lanes of `tail`.
        tail: mask of the valid lanes of a run's last word.
        state: the 32 words of the place's streams; word w draws from stream w mod 8.
        threshold: error rate as an integer, 0 .. 2**32 (see threshold_from_rate).
        errors: FLIP or KEEP.
        counts: [written, toggled, wrong] bits, added to. Toggled: old differs from intended.
            Wrong: stored differs from intended.
    """
    for w in range(words):
        lanes = tail if w % run_words == run_words - 1 else 0xFFFFFFFF
        failed = draw_failures(state, w % STREAMS, threshold, lanes)
        new = load_word(intended, w)
        toggled = (load_word(cells, w) ^ new) & lanes
        wrong = failed if errors == FLIP else failed & toggled
        store_word(cells, w, new ^ wrong)
        counts[0] += popcount(lanes)
        counts[1] += popcount(toggled)
        counts[2] += popcount(wrong)
