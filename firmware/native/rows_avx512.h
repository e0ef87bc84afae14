/* Writes of four rows at a time for x86-64 processors with AVX-512, part of fixed.c: a vector is
 * the eight streams of two rows. The limits of both directions are equal, and neither 0 nor 1.
 */
#ifndef MTJKIT_ROWS_AVX512_H
#define MTJKIT_ROWS_AVX512_H

#include "bits.h"
#include "mtjkit.h"

#include "simd.h"

enum { ROWS = 4 };

/* The states of two rows' streams: see mtj_seed. */
AVX512_INLINE void seed_two(__m512i s[4], const uint32_t key[2], const uint32_t images[2],
                            uint32_t place) {
    const __m512i streams = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
    __m512i a = _mm512_set1_epi32((int32_t)(0x61707865u ^ key[0]));
    __m512i b = _mm512_set1_epi32((int32_t)(0x3320646eu ^ key[1]));
    __m512i c = _mm512_mask_set1_epi32(_mm512_set1_epi32((int32_t)(0x79622d32u ^ images[0])),
                                       0xff00, (int32_t)(0x79622d32u ^ images[1]));
    __m512i d = _mm512_xor_si512(_mm512_set1_epi32((int32_t)(0x6b206574u ^ place)), streams);
    for (int round = 0; round < 8; round++) {
        a = _mm512_add_epi32(a, b), d = _mm512_rol_epi32(_mm512_xor_si512(d, a), 16);
        c = _mm512_add_epi32(c, d), b = _mm512_rol_epi32(_mm512_xor_si512(b, c), 12);
        a = _mm512_add_epi32(a, b), d = _mm512_rol_epi32(_mm512_xor_si512(d, a), 8);
        c = _mm512_add_epi32(c, d), b = _mm512_rol_epi32(_mm512_xor_si512(b, c), 7);
    }
    s[0] = a, s[1] = b, s[2] = c, s[3] = d;
}

/* One draw of the streams that have undecided lanes; the others do not run on. */
AVX512_INLINE __m512i draw_some(__m512i s[4], __mmask16 some) {
    const __m512i sum = _mm512_rol_epi32(_mm512_add_epi32(s[0], s[3]), 7);
    const __m512i word = _mm512_add_epi32(sum, s[0]), shifted = _mm512_slli_epi32(s[1], 9);
    const __m512i x2 = _mm512_xor_si512(s[2], s[0]), x3 = _mm512_xor_si512(s[3], s[1]);
    s[2] = _mm512_mask_ternarylogic_epi32(s[2], some, s[0], shifted, 0x96); /* xor of three */
    s[1] = _mm512_mask_xor_epi32(s[1], some, s[1], x2);
    s[0] = _mm512_mask_xor_epi32(s[0], some, s[0], x3);
    s[3] = _mm512_mask_rol_epi32(s[3], some, x3, 11);
    return word;
}

/* Which lanes of two times 16 words fail. */
AVX512_INLINE void draw_rows(__m512i s[2][4], uint32_t limit, __m512i lanes, __m512i failed[2]) {
    __m512i alive[2] = {lanes, lanes};
    failed[0] = failed[1] = _mm512_setzero_si512();
    /* See avx2_write in memory_avx2.h: after 13 digits all lanes are decided in 88 of 100 cases. */
    for (int digit = 0; limit; digit++, limit <<= 1) {
        const __mmask16 some[2] = {_mm512_test_epi32_mask(alive[0], alive[0]),
                                   _mm512_test_epi32_mask(alive[1], alive[1])};
        if (digit >= 13 && !(some[0] | some[1])) {
            break;
        }
        UNROLL for (int v = 0; v < 2; v++) {
            const __m512i word = draw_some(s[v], some[v]);
            if (limit & 0x80000000u) { /* failed | (alive & ~word) */
                failed[v] = _mm512_ternarylogic_epi32(failed[v], alive[v], word, 0xf4);
                alive[v] = _mm512_and_si512(alive[v], word);
            } else {
                alive[v] = _mm512_andnot_si512(word, alive[v]);
            }
        }
    }
}

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

/* Write ROWS rows: see mtj_fixed_write. */
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
        UNROLL for (int v = 0; v < 2; v++) {
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
