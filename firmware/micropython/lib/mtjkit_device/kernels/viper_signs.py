"""Layers whose pooled bits have signs, in viper: SIGNED of mtjkit_core.geometry."""

# ruff: noqa: F821  (viper's types)

import micropython


@micropython.viper
def signs(out: ptr32, data: ptr8, at: int, run_words: int, words: int):
    """XOR the mask at byte `at` of the model into each pixel of a map of `words` words."""
    while words > 0:
        mask = ptr32(int(data) + at)
        w = run_words
        while w > 0:
            out[0] = out[0] ^ mask[0]
            out = ptr32(int(out) + 4)
            mask = ptr32(int(mask) + 4)
            w -= 1
        words -= run_words
