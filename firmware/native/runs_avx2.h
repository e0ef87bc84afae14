/* Writes of one long run without errors for x86-64 processors with AVX2, part of rows.h. */
#ifndef MTJKIT_RUNS_AVX2_H
#define MTJKIT_RUNS_AVX2_H

#include "bits.h"
#include "mtjkit.h"

#include "simd.h"

/* Ones of every byte. */
AVX2_INLINE __m256i byte_ones(__m256i v) {
    const __m256i ones = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                          2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    return _mm256_add_epi8(
        _mm256_shuffle_epi8(ones, _mm256_and_si256(v, low)),
        _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
}

AVX2_INLINE uint32_t sum_of_bytes(__m256i v) {
    uint64_t parts[4];
    _mm256_storeu_si256((__m256i *)parts, _mm256_sad_epu8(v, _mm256_setzero_si256()));
    return (uint32_t)(parts[0] + parts[1] + parts[2] + parts[3]);
}

/* Store a run, no bit of which fails, and count. */
AVX2 static void avx2_store(uint32_t *cells, const uint32_t *intended, uint32_t bits,
                            uint32_t counts[MTJ_COUNTS]) {
    uint32_t words = (bits + 31) / 32, whole = words & ~7u, w = 0;
    uint32_t ones = 0, before = 0, up = 0;
    while (w < whole) {
        const uint32_t end = whole - w > 8 * 31 ? w + 8 * 31 : whole; /* bytes hold 31 times 8 */
        __m256i some = _mm256_setzero_si256(), some_before = some, some_up = some;
        for (; w < end; w += 8) {
            const __m256i old = _mm256_loadu_si256((const __m256i *)(cells + w));
            const __m256i new = _mm256_loadu_si256((const __m256i *)(intended + w));
            some = _mm256_add_epi8(some, byte_ones(new));
            some_before = _mm256_add_epi8(some_before, byte_ones(old));
            some_up = _mm256_add_epi8(some_up, byte_ones(_mm256_andnot_si256(old, new)));
            _mm256_storeu_si256((__m256i *)(cells + w), new);
        }
        ones += sum_of_bytes(some), before += sum_of_bytes(some_before);
        up += sum_of_bytes(some_up);
    }
    for (; w < words; w++) {
        const uint32_t old = w == words - 1 ? cells[w] & tail_mask(bits) : cells[w];
        ones += (uint32_t)__builtin_popcount(intended[w]);
        before += (uint32_t)__builtin_popcount(old);
        up += (uint32_t)__builtin_popcount(intended[w] & ~old);
        cells[w] = intended[w];
    }
    counts[0] = bits;
    counts[1] = 2 * up + before - ones; /* ones that come and ones that go */
    counts[2] = 0, counts[3] = ones, counts[4] = up;
}

#endif
