/* Bits of 32-bit words, for the other files of this folder. */
#ifndef MTJKIT_BITS_H
#define MTJKIT_BITS_H

#include <stdint.h>

/* Ones in the last word of a run of `bits` bits. */
static inline uint32_t tail_mask(uint32_t bits) { return 0xffffffffu >> (-bits & 31); }

/* Number of ones in each byte. */
static inline uint32_t byte_counts(uint32_t v) {
    v -= v >> 1 & 0x55555555u;
    v = (v & 0x33333333u) + (v >> 2 & 0x33333333u);
    return (v + (v >> 4)) & 0x0f0f0f0fu;
}

/* Sum of the four bytes. */
static inline uint32_t sum_bytes(uint32_t v) {
    v = (v & 0x00ff00ffu) + (v >> 8 & 0x00ff00ffu);
    return (v + (v >> 16)) & 0xffffu;
}

static inline uint32_t popcount(uint32_t v) { return sum_bytes(byte_counts(v)); }

#endif
