/* Whether the AVX2 code is compiled, for memory.c and binary.c; -DMTJ_PORTABLE leaves it out. */
#ifndef MTJKIT_AVX2_H
#define MTJKIT_AVX2_H

#if defined(__x86_64__) && !defined(MTJ_PORTABLE)
#include <cpuid.h>
#include <immintrin.h>

#define MTJ_AVX2 1
#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

/* Whether this processor has AVX2, and its system keeps the registers. */
int mtj_has_avx2(void);
#endif

#endif
