"""The memory of a chip whose cells differ, are disturbed or not erased: MEMORY.md, to the bit.

The reference, beside `mtj_memory`. `chip_errors.ChipErrors` is the value that it takes.
"""

from mtjkit_core.bits import load_word, store_word, tail_mask
from mtjkit_core.chip_errors import BEFORE, BUFFER_CLASSES
from mtjkit_core.mtj_memory import draw_uneven, store, write
from mtjkit_core.streams import STREAMS, next_word, seed_streams
from mtjkit_core.write_errors import FLIP, WORDS, limits_of

_MASK = 0xFFFFFFFF


def fill(cells, streams) -> None:
    """Give each word of a half the next word of its stream: all 32 bits are random."""
    for w in range(len(cells) >> 2):
        store_word(cells, w, next_word(streams, w % STREAMS))


def begin(halves, errors, image: int) -> None:
    """Put both halves of the buffer, all 0, into the state that they have before an image.

    Args:
        halves: two bytearrays.
        errors: ChipErrors.
        image: index of the image in the data.
    """
    if errors.before:
        streams = [0] * 32
        for half, cells in enumerate(halves):
            seed_streams(streams, errors.seed, image, BEFORE, half)
            fill(cells, streams)


def class_lanes(state, stream: int) -> list:
    """Draw the classes of a word's cells: the mask of the lanes of each class."""
    low = next_word(state, stream)
    high = next_word(state, stream)
    return [~low & ~high & _MASK, low & ~high, ~low & high & _MASK, low & high]


def write_classes(cells, intended, words, run_words, tail, state, classes, limits, kind, counts):
    """Write with errors: see mtj_memory.write.

    Args:
        cells, intended, words, run_words, tail, state, kind, counts: see mtj_memory.write.
        classes: the 32 words of the streams of the place's classes.
        limits: for each class, the fail limits (down, up).
    """
    for w in range(words):
        lanes = tail if w % run_words == run_words - 1 else _MASK
        new = load_word(intended, w)
        failed = 0
        for these, pair in zip(class_lanes(classes, w % STREAMS), limits):
            failed |= draw_uneven(state, w % STREAMS, pair, lanes & these, new)
        store(cells, w, new, lanes, failed, kind, counts)


def disturb(cells, words, run_words, tail, state, limits) -> None:
    """Disturb stored bits: each fails with the limit (stored 0, stored 1); nothing is counted."""
    write(cells, cells, words, run_words, tail, state, limits, FLIP, [0] * 5)


def write_map(layer, cells, intended, state, errors, counts) -> None:
    """Write a hidden layer's output into its half of the buffer, and disturb it.

    Args:
        layer, cells, intended, state, counts: see reference.write_map.
        errors: ChipErrors.
    """
    shape = layer.map_words, layer.out_words, tail_mask(layer.out_channels)
    n = layer.index
    if errors.chip is None:
        write(cells, intended, *shape, state, errors.of_map(n), errors.kind, counts)
    else:
        classes = [0] * 32
        seed_streams(classes, errors.chip, 0, BUFFER_CLASSES, n & 1)
        limits = class_limits(errors.map_class_words(n))
        write_classes(cells, intended, *shape, state, classes, limits, errors.kind, counts)
    disturb(cells, *shape, state, limits_of(errors.map_disturb_words(n)))


def class_limits(words) -> list:
    """The pairs of limits of the classes in a process of ChipErrors.map_class_words."""
    return [limits_of(words[at : at + WORDS]) for at in range(0, len(words), WORDS)]
