/* Writes of four rows at a time for x86-64 processors with AVX-512, part of rows.h: a vector is
 * the eight streams of two rows, see draws_avx512.h. The limits of both directions are equal, and
 * neither 0 nor 1.
 */
#ifndef MTJKIT_ROWS_AVX512_H
#define MTJKIT_ROWS_AVX512_H

#include "bits.h"
#include "draws_avx512.h"
#include "mtjkit.h"

AVX512_INLINE __m512i load_two(const uint32_t *a, const uint32_t *b, __mmask8 some) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi32(some, a)),
                              _mm256_maskz_loadu_epi32(some, b), 1);
}

AVX512_INLINE void add_ones(__m512i *sum, __m512i words) {
    *sum = _mm512_add_epi32(*sum, _mm512_popcnt_epi32(words));
}

AVX512_INLINE void store_sums(uint32_t *counts, __m512i sums) { /* of two rows */
    counts[0] = (uint32_t)_mm512_mask_reduce_add_epi32(0x00ff, sums);
    counts[MTJ_COUNTS] = (uint32_t)_mm512_mask_reduce_add_epi32(0xff00, sums);
}

/* Write ROWS rows: see write_rows in rows.h. */
AVX512 static void rows_write(uint32_t bits, uint32_t *cells, ptrdiff_t step,
                              const uint32_t *intended, ptrdiff_t intended_step,
                              const uint32_t *images, const uint32_t key[2], uint32_t place,
                              const mtj_write_errors *errors, uint32_t *counts) {
    const uint32_t words = (bits + 31) / 32;
    const __m512i zero = _mm512_setzero_si512(), all = _mm512_set1_epi32(-1);
    __m512i s[2][4], toggles[2] = {zero, zero}, wrongs[2] = {zero, zero};
    __m512i ones[2] = {zero, zero}, ups[2] = {zero, zero};
    seed_two(s[0], key, images, place);
    seed_two(s[1], key, images + 2, place);
    for (uint32_t w = 0; w < words; w += 8) {
        const uint32_t n = words - w < 8 ? words - w : 8;
        const __mmask8 some = (__mmask8)((1u << n) - 1);
        __m512i lanes = all, failed[2];
        if (w + 8 >= words) { /* the last words, and the tail of the last one */
            const __mmask16 both = (__mmask16)(some | some << 8),
                            last = (__mmask16)(0x101 << (n - 1));
            lanes = _mm512_mask_set1_epi32(_mm512_maskz_mov_epi32(both, all), last,
                                           (int32_t)tail_mask(bits));
        }
        draw_rows(s, errors->up, lanes, failed);
        _Pragma("GCC unroll 2") for (int v = 0; v < 2; v++) {
            uint32_t *a = cells + 2 * v * step + w, *b = a + step;
            const uint32_t *from = intended + 2 * v * intended_step + w;
            const __m512i new = load_two(from, from + intended_step, some);
            const __m512i toggled =
                _mm512_and_si512(_mm512_xor_si512(load_two(a, b, some), new), lanes);
            const __m512i wrong = errors->keep ? _mm512_and_si512(failed[v], toggled) : failed[v];
            const __m512i stored = _mm512_xor_si512(new, wrong);
            add_ones(&toggles[v], toggled);
            add_ones(&wrongs[v], wrong);
            add_ones(&ones[v], new);
            add_ones(&ups[v], _mm512_and_si512(toggled, new));
            _mm256_mask_storeu_epi32(a, some, _mm512_castsi512_si256(stored));
            _mm256_mask_storeu_epi32(b, some, _mm512_extracti64x4_epi64(stored, 1));
        }
    }
    for (int v = 0; v < 2; v++, counts += 2 * MTJ_COUNTS) {
        counts[0] = counts[MTJ_COUNTS] = bits;
        store_sums(counts + 1, toggles[v]);
        store_sums(counts + 2, wrongs[v]);
        store_sums(counts + 3, ones[v]);
        store_sums(counts + 4, ups[v]);
    }
}

#endif
