/* Random draws of all eight streams of a place at once: what memory.c and spared.c share on x86-64
 * processors with AVX2. */
#ifndef MTJKIT_DRAWS_AVX2_H
#define MTJKIT_DRAWS_AVX2_H

#include "simd.h"

AVX2_INLINE __m256i rotate(__m256i v, int k) {
    return _mm256_or_si256(_mm256_slli_epi32(v, k), _mm256_srli_epi32(v, 32 - k));
}

/* One draw of all eight streams. */
AVX2_INLINE __m256i avx2_draw(__m256i r[4]) {
    const __m256i word = _mm256_add_epi32(rotate(_mm256_add_epi32(r[0], r[3]), 7), r[0]);
    const __m256i x2 = _mm256_xor_si256(r[2], r[0]);
    const __m256i x3 = _mm256_xor_si256(r[3], r[1]);
    r[2] = _mm256_xor_si256(x2, _mm256_slli_epi32(r[1], 9));
    r[1] = _mm256_xor_si256(r[1], x2);
    r[0] = _mm256_xor_si256(r[0], x3);
    r[3] = rotate(x3, 11);
    return word;
}

#endif
