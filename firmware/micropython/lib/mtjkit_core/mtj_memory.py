"""The emulated MTJ memory: stochastic writes, defined to the bit in MEMORY.md.

This is the reference: plain integers, one word at a time. Every faster kernel (viper, assembler,
C, the host's) gives the same bits.
"""

from mtjkit_core.bits import load_word, popcount, store_word
from mtjkit_core.streams import STREAMS, next_word
from mtjkit_core.write_errors import CERTAIN, FLIP

_MASK = 0xFFFFFFFF
_TOP = 0x80000000


def draw_failures(state, stream: int, limit: int, lanes: int) -> int:
    """Draw which of a word's `lanes` (a mask) fail, each with probability limit / 2**32.

    Every lane compares a 32-bit random number with the limit, most significant digit first;
    one random word gives one digit of all lanes. A lane is decided at its first digit that
    differs. Drawing stops when every lane is decided or no digit 1 is left in the limit.
    """
    if limit == CERTAIN:
        return lanes
    failed = 0
    while lanes and limit:
        word = next_word(state, stream)
        if limit & _TOP:
            failed |= lanes & ~word
            lanes &= word
        else:
            lanes &= ~word
        limit = limit << 1 & _MASK
    return failed


def draw_uneven(state, stream: int, limits: tuple, lanes: int, new: int) -> int:
    """The same with two limits (down, up): up for the lanes where `new` is 1, down for the others.

    One random word gives one digit of all lanes here too. With two equal limits it returns what
    `draw_failures` returns, after the same draws.
    """
    failed = 0
    undecided = lanes
    for limit, those in ((limits[0], ~new), (limits[1], new)):
        if limit == CERTAIN:
            failed |= undecided & those
            undecided &= ~those
    down = limits[0] & _MASK
    up = limits[1] & _MASK
    while True:
        if not down:
            undecided &= new
        if not up:
            undecided &= ~new
        if not undecided:
            return failed
        word = next_word(state, stream)
        digits = (new if up & _TOP else 0) | (~new if down & _TOP else 0)
        failed |= undecided & digits & ~word
        undecided &= ~(digits ^ word)
        down = down << 1 & _MASK
        up = up << 1 & _MASK


def write(cells, intended, words, run_words, tail, state, limits, kind, counts) -> None:
    """Write `intended` into `cells`, with errors.

    Args:
        cells: the memory (bytearray or writable memoryview), from the first word written.
        intended: bytes-like, `words` 32-bit words; padding 0.
        words: number of words to write.
        run_words: words in a run; the last word of each run holds only the lanes of `tail`.
        tail: mask of the valid lanes of a run's last word.
        state: the 32 words of the place's streams; word w draws from stream w mod 8.
        limits: fail limits (down, up), 0 .. 2**32 each (see write_errors.fail_limit).
        kind: FLIP or KEEP.
        counts: five numbers of bits, added to: see write_errors.COUNTS.
    """
    down, up = limits
    for w in range(words):
        lanes = tail if w % run_words == run_words - 1 else _MASK
        new = load_word(intended, w)
        if down == up:
            failed = draw_failures(state, w % STREAMS, up, lanes)
        else:
            failed = draw_uneven(state, w % STREAMS, limits, lanes, new)
        store(cells, w, new, lanes, failed, kind, counts)


def store(cells, w, new, lanes, failed, kind, counts) -> None:
    """Store word `w`, of which the lanes `failed` fail; see `write` for the other arguments."""
    toggled = (load_word(cells, w) ^ new) & lanes
    wrong = failed if kind == FLIP else failed & toggled
    store_word(cells, w, new ^ wrong)
    counts[0] += popcount(lanes)
    counts[1] += popcount(toggled)
    counts[2] += popcount(wrong)
    counts[3] += popcount(new)
    counts[4] += popcount(toggled & new)
