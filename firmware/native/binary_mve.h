/* Counting on Cortex-M processors with vectors of 128 bits (Helium, MVE). Part of binary.c.
 *
 * Full adders come first, so that sixteen words cost one look-up of ones instead of four. */
#ifndef MTJKIT_BINARY_MVE_H
#define MTJKIT_BINARY_MVE_H

#include "mtjkit.h"
#include "ones_mve.h"

/* Half adder: `sum` += a; the carry. */
MVE_INLINE uint32x4_t mve_add1(uint32x4_t *sum, uint32x4_t a) {
    uint32x4_t carry = vandq_u32(*sum, a);
    *sum = veorq_u32(*sum, a);
    return carry;
}

/* Full adder: `sum` += a + b; the carry. */
MVE_INLINE uint32x4_t mve_add2(uint32x4_t *sum, uint32x4_t a, uint32x4_t b) {
    uint32x4_t half = veorq_u32(*sum, a), carry = vandq_u32(*sum, a);
    *sum = veorq_u32(half, b);
    return vorrq_u32(carry, vandq_u32(half, b));
}

MVE_INLINE uint32x4_t mve_differ(const uint32_t *x, const uint32_t *w, const uint32_t *mask,
                                 uint32_t at) {
    uint32x4_t v = veorq_u32(vld1q_u32(x + at), vld1q_u32(w + at));
    return mask ? vandq_u32(v, vld1q_u32(mask + at)) : v;
}

/* The same of fewer than four words; the other lanes are 0. With intrinsics the compiler would move
 * the predicate to a register and back. */
MVE_INLINE uint32x4_t mve_differ_few(const uint32_t *x, const uint32_t *w, const uint32_t *mask,
                                     uint32_t n) {
    uint32x4_t a, b;
    __asm__("vctp.32 %4\n\t"
            "vpstt\n\t"
            "vldrwt.u32 %q0, [%2]\n\t"
            "vldrwt.u32 %q1, [%3]"
            : "=&w"(a), "=w"(b)
            : "r"(x), "r"(w), "r"(n), "m"(*(const uint32_t(*)[])x), "m"(*(const uint32_t(*)[])w)
            : "p0");
    a = veorq_u32(a, b);
    return mask ? vandq_u32(a, vldrwq_z_u32(mask, vctp32q(n))) : a;
}

/* Popcount of (x ^ w) over n words; with `mask`, of (x ^ w) & mask. */
MVE_INLINE uint32_t count(const uint32_t *x, const uint32_t *w, const uint32_t *mask, uint32_t n) {
    uint32_t total = 0;
#define NEXT(k) (x += (k), w += (k), mask = mask ? mask + (k) : mask, n -= (k))
    if (n >= 16) {
        uint32x4_t ones = mve_differ(x, w, mask, 0), twos, fours;
        twos = mve_add2(&ones, mve_differ(x, w, mask, 4), mve_differ(x, w, mask, 8));
        fours = mve_add1(&ones, mve_differ(x, w, mask, 12));
        fours = mve_add1(&twos, fours);
        total = mve_ones(0, fours);
        for (NEXT(16); n >= 16; NEXT(16)) {
            uint32x4_t a, b;
            a = mve_add2(&ones, mve_differ(x, w, mask, 0), mve_differ(x, w, mask, 4));
            b = mve_add2(&ones, mve_differ(x, w, mask, 8), mve_differ(x, w, mask, 12));
            total = mve_ones(total, mve_add2(&twos, a, b));
        }
        total = mve_ones(mve_ones(total << 1, twos) << 1, ones);
    }
    for (; n >= 4; NEXT(4)) {
        total = mve_ones(total, mve_differ(x, w, mask, 0));
    }
#undef NEXT
    if (n) {
        total = mve_ones(total, mve_differ_few(x, w, mask, n));
    }
    return total;
}

/* First layer, rows of one word: bits of two neighbouring outputs, before inversion, as first_bits
 * gives them. A row's bits choose lanes, whose sum is that over the taps of weight 1. */
static __attribute__((noinline, hot)) void mve_first_bits(const int32_t *taps, const uint32_t *rows,
                                                          const int32_t *thresholds,
                                                          uint32_t channels, uint32_t bits[2]) {
    int8_t pixels[64];
    for (int32_t i = 0; i < 32; i += 4) {
        int32x4_t pairs = vld1q_s32(taps + i); /* low + 65536 * high */
        vstrbq_s32(pixels + i, pairs);
        vstrbq_s32(pixels + 32 + i, vshrq_n_s32(vaddq_n_s32(pairs, 128), 16));
    }
    const int8x16_t a = vld1q_s8(pixels), b = vld1q_s8(pixels + 16);
    const int8x16_t c = vld1q_s8(pixels + 32), d = vld1q_s8(pixels + 48);
    const int32_t low_total = vaddvaq_s8(vaddvq_s8(a), b);
    const int32_t high_total = vaddvaq_s8(vaddvq_s8(c), d);
    uint32_t left = 0, right = 0;
    for (uint32_t bit = 1; channels; channels--, bit <<= 1) {
        uint32_t row = *rows++;
        int32_t threshold = *thresholds++;
        mve_pred16_t p = row & 0xffff, q = row >> 16;
        int32_t low = vaddvaq_p_s8(vaddvq_p_s8(a, p), b, q);
        int32_t high = vaddvaq_p_s8(vaddvq_p_s8(c, p), d, q);
        if (2 * low - low_total >= threshold) {
            left |= bit;
        }
        if (2 * high - high_total >= threshold) {
            right |= bit;
        }
    }
    bits[0] = left;
    bits[1] = right;
}

#endif
