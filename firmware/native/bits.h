/* Bits of 32-bit words, for the other files of this folder. */
#ifndef MTJKIT_BITS_H
#define MTJKIT_BITS_H

#include <stdint.h>

/* Ones in the last word of a run of `bits` bits. */
static inline uint32_t tail_mask(uint32_t bits) { return 0xffffffffu >> (-bits & 31); }

/* Ones of two bits, of four: a mask, then a shift that Arm does within the sum. The compiler would
 * shift first; the empty statement hides from it where the value comes from. */
static inline __attribute__((always_inline)) uint32_t pair_counts(uint32_t v) {
    uint32_t high = v & 0xaaaaaaaau;
    __asm__("" : "+r"(high));
    return v - (high >> 1);
}

static inline __attribute__((always_inline)) uint32_t nibble_counts(uint32_t pairs) {
    uint32_t low = pairs & 0x33333333u, high = pairs - low;
    __asm__("" : "+r"(high));
    return low + (high >> 2);
}

/* Number of ones in each byte. */
static inline __attribute__((always_inline)) uint32_t byte_counts(uint32_t v) {
    v = nibble_counts(pair_counts(v));
    return (v + (v >> 4)) & 0x0f0f0f0fu;
}

/* Words 0 and 1 of a run, and on to the next ones: one instruction on ARMv7-M. */
static inline __attribute__((always_inline)) void next_pair(const uint32_t **run, uint32_t *first,
                                                            uint32_t *second) {
#ifdef __thumb2__
    /* The compiler must see that memory is read. */
    __asm__ volatile("ldrd %0, %1, [%2], #8"
                     : "=&r"(*first), "=&r"(*second), "+&r"(*run)
                     :
                     : "memory");
#else
    *first = (*run)[0];
    *second = (*run)[1];
    *run += 2;
#endif
}

/* Sum of the four bytes. */
static inline uint32_t sum_bytes(uint32_t v) {
    v = (v & 0x00ff00ffu) + (v >> 8 & 0x00ff00ffu);
    return (v + (v >> 16)) & 0xffffu;
}

/* RISC-V's extension Zbb has an instruction for it. */
#ifdef __riscv_zbb
#define MTJ_POPCOUNT
static inline uint32_t popcount(uint32_t v) { return (uint32_t)__builtin_popcount(v); }
#else
static inline uint32_t popcount(uint32_t v) { return sum_bytes(byte_counts(v)); }
#endif

#endif
