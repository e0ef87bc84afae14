"""Random words with explicit state: xoshiro128++, eight streams for every place in the memory.

Generator: Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4),
2021. Seeding: the 128 bits (seed, image, place) go through eight ChaCha quarter-rounds (RFC 8439,
section 2.1). That map is a bijection, so two places never share a state. See MEMORY.md.
"""

from mtjkit_core.places import BUFFER as BUFFER
from mtjkit_core.places import STREAMS as STREAMS
from mtjkit_core.places import WEIGHTS as WEIGHTS
from mtjkit_core.places import place_word as place_word

_MASK = 0xFFFFFFFF


def _rotl(x: int, k: int) -> int:
    return (x << k & _MASK) | x >> (32 - k)


def mix(a: int, b: int, c: int, d: int) -> tuple:
    """Eight ChaCha quarter-rounds over four 32-bit words."""
    for _ in range(8):
        a = (a + b) & _MASK
        d = _rotl(d ^ a, 16)
        c = (c + d) & _MASK
        b = _rotl(b ^ c, 12)
        a = (a + b) & _MASK
        d = _rotl(d ^ a, 8)
        c = (c + d) & _MASK
        b = _rotl(b ^ c, 7)
    return a, b, c, d


def seed_streams(state, seed: int, image: int, memory: int, layer: int) -> None:
    """Set the eight streams of a place.

    Args:
        state: 32 words to fill (list or array); words 4s..4s+3 are stream s.
        seed: 0 <= seed < 2**64.
        image: index of the image in the data, 0 <= image < 2**32; 0 for weights.
        memory: BUFFER or WEIGHTS.
        layer: number of the layer in the model, from 0.
    """
    for s in range(STREAMS):
        words = mix(
            0x61707865 ^ (seed & _MASK),
            0x3320646E ^ seed >> 32,
            0x79622D32 ^ image,
            0x6B206574 ^ place_word(memory, layer, s),
        )
        for k in range(4):
            state[4 * s + k] = words[k]


def next_word(state, stream: int) -> int:
    """Draw the next 32 random bits of a stream (xoshiro128++), updating `state`."""
    i = 4 * stream
    s0 = state[i]
    s1 = state[i + 1]
    s2 = state[i + 2] ^ s0
    s3 = state[i + 3]
    result = (_rotl((s0 + s3) & _MASK, 7) + s0) & _MASK
    s3 ^= s1
    state[i] = s0 ^ s3
    state[i + 1] = s1 ^ s2
    state[i + 2] = s2 ^ (s1 << 9 & _MASK)
    state[i + 3] = _rotl(s3, 11)
    return result
