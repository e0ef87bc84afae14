"""Which bits fail, for many images at once: mtjkit_core.streams and memory in numpy, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from mtjkit_core.bits import tail_mask
from mtjkit_core.mtj_memory import CERTAIN
from mtjkit_core.streams import BUFFER, STREAMS, mix, place_word
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


def draw_failures(state: Words, threshold: int, lanes: Words) -> Words:
    """Draw the failing lanes of one word of every stream (mtjkit_core.mtj_memory.draw_failures).

    Args:
        state: (4, m) uint32, updated.
        threshold: 0 .. 2**32 - 1.
        lanes: masks of the lanes that exist, (m,) uint32.

    Returns:
        (m,) uint32.
    """
    lanes = lanes.copy()
    failed = np.zeros_like(lanes)
    while threshold:
        active = np.flatnonzero(lanes)
        if not len(active):
            break
        if len(active) == len(lanes):
            words = next_words(state)
        else:  # a stream whose lanes are all decided must not advance
            words = np.zeros_like(lanes)
            some = state[:, active]
            words[active] = next_words(some)
            state[:, active] = some
        if threshold & 0x80000000:
            failed |= lanes & ~words
            lanes &= words
        else:
            lanes &= ~words
        threshold = threshold << 1 & 0xFFFFFFFF
    return failed


def lane_masks(words: int, run_bits: int) -> Words:
    """Masks of the bits that exist in `words` words made of runs of `run_bits` bits."""
    run_words = (run_bits + 31) >> 5
    lanes = np.full(words, 0xFFFFFFFF, np.uint32)
    lanes[run_words - 1 :: run_words] = tail_mask(run_bits)
    return lanes


def failures(
    seed: int, images: Words, layer: int, threshold: int, lanes: Words, memory: int = BUFFER
) -> Words:
    """Failing bits of one write of a layer's feature map or weights, for every image.

    Args:
        seed, images, layer, memory: see `seed_states`.
        threshold: error rate as an integer, 0 .. 2**32.
        lanes: masks of the bits that exist, (words,) uint32.

    Returns:
        (n, words) uint32; 0 in padding.
    """
    n, words = len(images), len(lanes)
    if threshold == CERTAIN:
        return np.broadcast_to(lanes, (n, words))
    failed = np.zeros((n, -(-words // STREAMS) * STREAMS), np.uint32)
    if threshold:
        state = seed_states(seed, images, layer, memory).reshape(4, -1)
        lanes = np.pad(lanes, (0, failed.shape[1] - words))
        for w in range(0, words, STREAMS):
            row = np.tile(lanes[w : w + STREAMS], n)
            failed[:, w : w + STREAMS] = draw_failures(state, threshold, row).reshape(n, STREAMS)
    return failed[:, :words]
