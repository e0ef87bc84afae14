"""The memory in numpy, for many images at once: mtjkit_core's streams and writes, to the bit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from mtjkit_core.bits import tail_mask
from mtjkit_core.chip_errors import BEFORE, BUFFER_CLASSES, CLASSES, WEIGHT_CLASSES, ChipErrors
from mtjkit_core.chip_memory import class_limits
from mtjkit_core.streams import BUFFER, STREAMS, mix, place_word
from mtjkit_core.write_errors import CERTAIN, FLIP, WriteErrors, limits_of
from numpy.typing import NDArray

Words = NDArray[np.uint32]


def seed_states(seed: int, images: Words, layer: int, memory: int = BUFFER) -> Words:
    """Seed the eight streams of a layer's place for every image.

    Args:
        seed: 0 <= seed < 2**64.
        images: indices of the images in the data, (n,) uint32.
        layer: number of the layer in the model.
        memory: mtjkit_core.streams.BUFFER or WEIGHTS.

    Returns:
        (4, n, 8) uint32: the four state words of stream s of image i at [:, i, s].
    """
    places = np.array([place_word(memory, layer, s) for s in range(STREAMS)], np.uint64)
    # Every operation of core's scalar `mix` is one that arrays have too.
    inputs: Any = [
        np.uint64(0x61707865 ^ (seed & 0xFFFFFFFF)),
        np.uint64(0x3320646E ^ seed >> 32),
        np.uint64(0x79622D32) ^ images.astype(np.uint64)[:, None],
        np.uint64(0x6B206574) ^ places,
    ]
    shape = (len(images), STREAMS)
    a, b, c, d = (np.broadcast_to(one, shape) for one in inputs)
    words: Any = mix(a, b, c, d)  # type: ignore[arg-type]
    # 64 bits hold what core's integer arithmetic carries over before it masks.
    states: Words = np.array(words, np.uint32)
    return states


def _rotl(x: Words, k: int) -> Words:
    rotated: Words = x << np.uint32(k) | x >> np.uint32(32 - k)
    return rotated


def next_words(state: Words) -> Words:
    """Draw one word from every stream of `state`, (4, m) uint32, and update it."""
    s0, s1, s2, s3 = state
    result: Words = _rotl(s0 + s3, 7) + s0
    shifted = s1 << np.uint32(9)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3[:] = _rotl(s3, 11)
    return result


def _some_words(state: Words, lanes: Words) -> Words | None:
    """Draw a word from the streams that have undecided lanes; None if there are none.

    A stream whose lanes are all decided must not advance: its word is 0.
    """
    active = np.flatnonzero(lanes)
    if not len(active):
        return None
    if len(active) == len(lanes):
        return next_words(state)
    words = np.zeros_like(lanes)
    some = state[:, active]
    words[active] = next_words(some)
    state[:, active] = some
    return words


def draw_failures(state: Words, limit: int, lanes: Words) -> Words:
    """Draw the failing lanes of one word of every stream (mtjkit_core.mtj_memory.draw_failures).

    Args:
        state: (4, m) uint32, updated.
        limit: fail limit, 0 .. 2**32.
        lanes: masks of the lanes that exist, (m,) uint32.

    Returns:
        (m,) uint32.
    """
    if limit == CERTAIN:
        return lanes
    lanes = lanes.copy()
    failed = np.zeros_like(lanes)
    while limit and (words := _some_words(state, lanes)) is not None:
        if limit & 0x80000000:
            failed |= lanes & ~words
            lanes &= words
        else:
            lanes &= ~words
        limit = limit << 1 & 0xFFFFFFFF
    return failed


def draw_uneven(state: Words, limits: tuple[int, int], lanes: Words, intended: Words) -> Words:
    """The same with two limits (mtjkit_core.mtj_memory.draw_uneven).

    Args:
        state, lanes: see `draw_failures`.
        limits: (down, up), 0 .. 2**32 each.
        intended: words to be written, (m,) uint32.

    Returns:
        (m,) uint32.
    """
    lanes = lanes.copy()
    failed = np.zeros_like(lanes)
    down, up = limits
    zeros = ~intended
    for limit, those in ((down, zeros), (up, intended)):
        if limit == CERTAIN:
            failed |= lanes & those
            lanes &= ~those
    down &= 0xFFFFFFFF
    up &= 0xFFFFFFFF
    while True:
        if not down:
            lanes &= intended
        if not up:
            lanes &= zeros
        words = _some_words(state, lanes)
        if words is None:
            return failed
        digits = np.zeros_like(lanes)
        if up & 0x80000000:
            digits |= intended
        if down & 0x80000000:
            digits |= zeros
        failed |= lanes & digits & ~words
        lanes &= ~(digits ^ words)
        down = down << 1 & 0xFFFFFFFF
        up = up << 1 & 0xFFFFFFFF


def lane_masks(words: int, run_bits: int) -> Words:
    """Masks of the bits that exist in `words` words made of runs of `run_bits` bits."""
    run_words = (run_bits + 31) >> 5
    lanes = np.full(words, 0xFFFFFFFF, np.uint32)
    lanes[run_words - 1 :: run_words] = tail_mask(run_bits)
    return lanes


def failures(
    errors: WriteErrors,
    images: Words,
    layer: int,
    lanes: Words,
    intended: Words,
    memory: int = BUFFER,
) -> Words:
    """Failing bits of one write of a layer's feature map or weights, for every image.

    Args:
        errors: the error process.
        images, layer, memory: see `seed_states`.
        lanes: masks of the bits that exist, (words,) uint32.
        intended: what is written, (n, words) uint32.

    Returns:
        (n, words) uint32; 0 in padding.
    """
    limits = errors.of_map(layer) if memory == BUFFER else errors.of_weights(layer)
    state = seed_states(errors.seed, images, layer, memory) if any(limits) else None
    return drawn(state, [(limits, lanes)], intended)


def drawn(
    state: Words | None, parts: list[tuple[tuple[int, int], Words]], intended: Words
) -> Words:
    """Failing bits of one write, (n, words) uint32; 0 in padding.

    Args:
        state: of `seed_states`, (4, n, 8), updated; None if all limits are 0.
        parts: limits (down, up), and the lanes that have them, (words,) uint32, which are drawn
            one part after the other in each word.
        intended: what is written, (n, words) uint32.
    """
    n, words = intended.shape
    failed = np.zeros((n, -(-words // STREAMS) * STREAMS), np.uint32)
    if state is None:
        return failed[:, :words]
    state = state.reshape(4, -1)
    spare = failed.shape[1] - words
    parts = [(limits, np.pad(lanes, (0, spare))) for limits, lanes in parts]
    if any(limits[0] != limits[1] for limits, _ in parts):
        intended = np.pad(intended, ((0, 0), (0, spare)))
    for w in range(0, words, STREAMS):
        for limits, lanes in parts:
            row = np.tile(lanes[w : w + STREAMS], n)
            if limits[0] != limits[1]:
                new = intended[:, w : w + STREAMS].reshape(-1)
                found = draw_uneven(state, limits, row, new)
            else:
                found = draw_failures(state, limits[0], row)
            failed[:, w : w + STREAMS] |= found.reshape(n, STREAMS)
    return failed[:, :words]


def halves_before(errors: WriteErrors, images: Words, sizes: Iterable[int]) -> list[Words]:
    """Both halves of the buffer as they are before each image, (n, words) uint32 each.

    Args:
        errors: says whether all cells are in the P state or hold random bits.
        images: see `seed_states`.
        sizes: words of each half.
    """
    halves = [np.zeros((len(images), words), np.uint32) for words in sizes]
    if isinstance(errors, ChipErrors) and errors.before:
        for half, cells in enumerate(halves):
            state = seed_states(errors.seed, images, half, BEFORE).reshape(4, -1)
            for w in range(0, cells.shape[1], STREAMS):
                drawn = next_words(state).reshape(-1, STREAMS)
                cells[:, w : w + STREAMS] = drawn[:, : cells.shape[1] - w]
    return halves


def write(
    cells: Words,
    intended: Words,
    lanes: Words,
    errors: WriteErrors,
    images: Words,
    layer: int,
    memory: int = BUFFER,
) -> NDArray[np.int64]:
    """Write a layer's maps, or its weights, with errors: mtjkit_core.mtj_memory.write.

    On a chip whose cells differ or are disturbed: mtjkit_core.chip_memory. What cells hold before
    an image is `halves_before`'s.

    Args:
        cells: the old bits, (n, words) uint32; replaced by what is stored.
        intended: what is written, (n, words) uint32, padding 0.
        lanes, errors, images, layer, memory: see `failures`; weights are of image 0.

    Returns:
        Counts of each image, (n, 5): mtjkit_core.write_errors.COUNTS.
    """
    if isinstance(errors, ChipErrors):
        return _write_on_chip(cells, intended, lanes, errors, images, layer, memory)
    failed = failures(errors, images, layer, lanes, intended, memory)
    return store(cells, intended, lanes, failed, errors.kind)


def store(
    cells: Words, intended: Words, lanes: Words, failed: Words, kind: int
) -> NDArray[np.int64]:
    """Store what is intended but for the bits that fail; see `write`."""
    toggled = (cells ^ intended) & lanes
    wrong = failed if kind == FLIP else failed & toggled
    cells[:] = intended ^ wrong
    written = np.full(len(intended), _ones(lanes[None])[0])
    some = (_ones(toggled), _ones(wrong), _ones(intended), _ones(toggled & intended))
    return np.stack([written, *some], axis=1)


def class_lanes(chip: int, words: int, memory: int, layer: int) -> Words:
    """Masks of the lanes of each class, (CLASSES, words) uint32, padding or not.

    Args:
        chip: the chip's seed.
        words: words of a place, from its word 0.
        memory, layer: of the place: BUFFER and a half's number, or WEIGHTS and a layer's.
    """
    number = BUFFER_CLASSES if memory == BUFFER else WEIGHT_CLASSES
    state = seed_states(chip, np.zeros(1, np.uint32), layer, number).reshape(4, -1)
    pairs = [(next_words(state), next_words(state)) for _ in range(0, words, STREAMS)]
    low, high = np.array(pairs, np.uint32).transpose(1, 0, 2).reshape(2, -1)[:, :words]
    masks = [(low if k & 1 else ~low) & (high if k & 2 else ~high) for k in range(CLASSES)]
    return np.array(masks, np.uint32)


def _write_on_chip(
    cells: Words,
    intended: Words,
    lanes: Words,
    errors: ChipErrors,
    images: Words,
    layer: int,
    memory: int,
) -> NDArray[np.int64]:
    """`write` where cells differ or are disturbed: mtjkit_core.chip_memory."""
    maps = memory == BUFFER
    state = seed_states(errors.seed, images, layer, memory)
    if errors.chip is None:
        parts = [(errors.of_map(layer) if maps else errors.of_weights(layer), lanes)]
    else:
        place = layer & 1 if maps else layer
        masks = class_lanes(errors.chip, len(lanes), memory, place) & lanes
        joined = errors.map_class_words(layer) if maps else errors.weight_class_words(layer)
        parts = list(zip(class_limits(joined), masks, strict=True))
    counts = store(cells, intended, lanes, drawn(state, parts, intended), errors.kind)
    words = errors.map_disturb_words(layer) if maps else errors.weight_disturb_words(layer)
    cells ^= drawn(state, [(limits_of(words), lanes)], cells)
    return counts


def _ones(words: Words) -> NDArray[np.int64]:
    """Number of ones in each row."""
    ones: NDArray[np.int64] = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return ones
