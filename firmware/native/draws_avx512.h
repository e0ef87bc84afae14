/* Random draws of four images' streams of a place at a time: what fixed.c and spared.c share on
 * x86-64 processors with AVX-512. A vector is the eight streams of two images. */
#ifndef MTJKIT_DRAWS_AVX512_H
#define MTJKIT_DRAWS_AVX512_H

#include "mtjkit.h"

#include "simd.h"

enum { ROWS = 4 };

/* The states of two images' streams: see mtj_seed. */
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
    const __m512i x3 = _mm512_xor_si512(s[3], s[1]);
    enum { XOR = 0x96 }; /* of three */
    s[1] = _mm512_mask_ternarylogic_epi32(s[1], some, s[2], s[0], XOR);
    s[2] = _mm512_mask_ternarylogic_epi32(s[2], some, s[0], shifted, XOR);
    s[0] = _mm512_mask_xor_epi32(s[0], some, s[0], x3);
    s[3] = _mm512_mask_rol_epi32(s[3], some, x3, 11);
    return word;
}

/* One digit of a limit, drawn for the lanes of 16 words that are undecided. */
AVX512_INLINE void draw_digit(__m512i s[4], int one, __m512i *alive, __m512i *failed) {
    const __m512i word = draw_some(s, _mm512_test_epi32_mask(*alive, *alive));
    if (one) { /* failed | (alive & ~word) */
        *failed = _mm512_ternarylogic_epi32(*failed, *alive, word, 0xf4);
        *alive = _mm512_and_si512(*alive, word);
    } else {
        *alive = _mm512_andnot_si512(word, *alive);
    }
}

/* Which lanes of two times 16 words fail. */
AVX512_INLINE void draw_rows(__m512i s[2][4], uint32_t limit, __m512i lanes, __m512i failed[2]) {
    __m512i alive[2] = {lanes, lanes};
    int digit = 0;
    failed[0] = failed[1] = _mm512_setzero_si512();
    /* See avx2_write in memory_avx2.h: after 12 digits all lanes are decided in 78 of 100 cases. */
    for (; limit && digit < 12; digit++, limit <<= 1) {
        draw_digit(s[0], limit >> 31, &alive[0], &failed[0]);
        draw_digit(s[1], limit >> 31, &alive[1], &failed[1]);
    }
    for (; limit; limit <<= 1) {
        const __m512i both = _mm512_or_si512(alive[0], alive[1]);
        if (!_mm512_test_epi32_mask(both, both)) {
            break;
        }
        draw_digit(s[0], limit >> 31, &alive[0], &failed[0]);
        draw_digit(s[1], limit >> 31, &alive[1], &failed[1]);
    }
}

#endif
