/* Random draws of a memory's stream: what memory.c and chip.c share. */
#ifndef MTJKIT_DRAWS_H
#define MTJKIT_DRAWS_H

#include "mtjkit.h"

static inline uint32_t rotl(uint32_t x, int k) { return x << k | x >> (32 - k); }

/* One draw of the stream in s0 .. s3. */
#define DRAW(word)                                                                                 \
    do {                                                                                           \
        uint32_t shifted_ = s1 << 9;                                                               \
        word = rotl(s0 + s3, 7) + s0;                                                              \
        s2 ^= s0, s3 ^= s1, s1 ^= s2, s0 ^= s3, s2 ^= shifted_;                                    \
        s3 = rotl(s3, 11);                                                                         \
    } while (0)

/* Which of a word's `lanes` fail, with one limit where `intended` is 0 and one where it is 1: see
 * draw_uneven in mtj_memory.py. */
static inline uint32_t draw_uneven(uint32_t s[4], const mtj_write_errors *errors, uint32_t lanes,
                                   uint32_t intended) {
    uint32_t s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3], failed = 0, word;
    uint32_t down = errors->down, up = errors->up;
    if (errors->down_certain) {
        failed |= lanes & ~intended;
        lanes &= intended;
    }
    if (errors->up_certain) {
        failed |= lanes & intended;
        lanes &= ~intended;
    }
    for (;; down <<= 1, up <<= 1) {
        /* Where the digit is 0: the sign bits, spread over all lanes. */
        uint32_t none_down = (down >> 31) - 1, none_up = (up >> 31) - 1;
        uint32_t none = ((none_down ^ none_up) & intended) ^ none_down;
        if (!down) {
            lanes &= intended;
        }
        if (!up) {
            lanes &= ~intended;
        }
        if (!lanes) {
            break;
        }
        DRAW(word);
        failed |= lanes & ~none & ~word;
        lanes &= none ^ word;
    }
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
    return failed;
}

#endif
