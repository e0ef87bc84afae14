/* Random draws of all eight streams of a place at once: what memory.c and spared.c share on x86-64
 * processors with AVX2. */
#ifndef MTJKIT_DRAWS_AVX2_H
#define MTJKIT_DRAWS_AVX2_H

#include "mtjkit.h"

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

/* Which lanes exist of the eight words from w on, in runs whose last word has the mask `tail`;
 * `in_run`: words that are left of the run. */
AVX2_INLINE __m256i existing_lanes(uint32_t w, uint32_t words, uint32_t run_words, uint32_t tail,
                                   uint32_t *in_run) {
    uint32_t masks[8];
    for (uint32_t i = 0; i < 8; i++) {
        masks[i] = w + i < words ? 0xffffffffu : 0;
        if (--*in_run == 0) {
            *in_run = run_words;
            masks[i] &= tail;
        }
    }
    return _mm256_loadu_si256((const __m256i *)masks);
}

/* Which lanes fail for certain; they are alive no more. */
AVX2_INLINE __m256i certain_failures(const mtj_write_errors *errors, __m256i intended,
                                     __m256i *alive) {
    __m256i failed = _mm256_setzero_si256();
    if (errors->down_certain) {
        failed = _mm256_andnot_si256(intended, *alive);
        *alive = _mm256_and_si256(*alive, intended);
    }
    if (errors->up_certain) {
        failed = _mm256_or_si256(failed, _mm256_and_si256(*alive, intended));
        *alive = _mm256_andnot_si256(intended, *alive);
    }
    return failed;
}

/* The lanes that are alive while a direction's limit has digits left. */
AVX2_INLINE __m256i still_alive(__m256i alive, __m256i intended, uint32_t down, uint32_t up) {
    if (!down) {
        alive = _mm256_and_si256(alive, intended);
    }
    if (!up) {
        alive = _mm256_andnot_si256(intended, alive);
    }
    return alive;
}

#endif
