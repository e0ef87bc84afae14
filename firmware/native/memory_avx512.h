/* Writes of the emulated memory for x86-64 processors with AVX-512, part of memory.c: as in
 * memory_avx2.h, with rotations, functions of three inputs, masks and counts of ones in one
 * instruction each. A vector has 256 bits, the eight streams of a place.
 */
#ifndef MTJKIT_MEMORY_AVX512_H
#define MTJKIT_MEMORY_AVX512_H

#include "draws_avx2.h"
#include "mtjkit.h"

/* Functions of three inputs, as the instruction takes them: bit 4a + 2b + c is the value. */
enum { XOR = 0x96, CHOOSE = 0xca, A_OR_B_WITHOUT_C = 0xf4, A_WITHOUT_B_AND_C = 0x10 };

#define QUARTER_ROUND(a, b, c, d)                                                                  \
    a = _mm256_add_epi32(a, b), d = _mm256_rol_epi32(_mm256_xor_si256(d, a), 16);                  \
    c = _mm256_add_epi32(c, d), b = _mm256_rol_epi32(_mm256_xor_si256(b, c), 12);                  \
    a = _mm256_add_epi32(a, b), d = _mm256_rol_epi32(_mm256_xor_si256(d, a), 8);                   \
    c = _mm256_add_epi32(c, d), b = _mm256_rol_epi32(_mm256_xor_si256(b, c), 7)

/* mtj_seed of all eight streams. */
AVX512 static void avx512_seed(uint32_t state[32], const uint32_t key[2], uint32_t image,
                               uint32_t place) {
    const __m256i streams = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i each = _mm256_slli_epi32(streams, 2);
    __m256i a = _mm256_set1_epi32((int32_t)(0x61707865u ^ key[0]));
    __m256i b = _mm256_set1_epi32((int32_t)(0x3320646eu ^ key[1]));
    __m256i c = _mm256_set1_epi32((int32_t)(0x79622d32u ^ image));
    __m256i d = _mm256_or_si256(streams, _mm256_set1_epi32((int32_t)place));
    d = _mm256_xor_si256(d, _mm256_set1_epi32(0x6b206574));
    for (int round = 0; round < 8; round++) {
        QUARTER_ROUND(a, b, c, d);
    }
    _mm256_i32scatter_epi32((int *)state, each, a, 4);
    _mm256_i32scatter_epi32((int *)state + 1, each, b, 4);
    _mm256_i32scatter_epi32((int *)state + 2, each, c, 4);
    _mm256_i32scatter_epi32((int *)state + 3, each, d, 4);
}

/* One draw of all eight streams. */
AVX512_INLINE __m256i avx512_draw(__m256i r[4]) {
    const __m256i word = _mm256_add_epi32(_mm256_rol_epi32(_mm256_add_epi32(r[0], r[3]), 7), r[0]);
    const __m256i shifted = _mm256_slli_epi32(r[1], 9), x3 = _mm256_xor_si256(r[3], r[1]);
    const __m256i x1 = _mm256_ternarylogic_epi32(r[1], r[2], r[0], XOR);
    r[2] = _mm256_ternarylogic_epi32(r[2], r[0], shifted, XOR);
    r[0] = _mm256_xor_si256(r[0], x3);
    r[1] = x1;
    r[3] = _mm256_rol_epi32(x3, 11);
    return word;
}

/* The states that streams go on from: those whose word is not decided draw on. */
AVX512_INLINE void avx512_go_on(__m256i s[4], const __m256i r[4], __mmask8 drawing) {
    for (int k = 0; k < 4; k++) {
        s[k] = _mm256_mask_mov_epi32(s[k], drawing, r[k]);
    }
}

/* Which lanes fail, with one limit in both directions: see draw_failures in memory.c. */
AVX512_INLINE __m256i avx512_even(__m256i s[4], uint32_t limit, __m256i alive) {
    __m256i failed = _mm256_setzero_si256(), r[4] = {s[0], s[1], s[2], s[3]};
    for (int digit = 0; limit && (digit < 12 || !_mm256_testz_si256(alive, alive));
         digit++, limit <<= 1) {
        const __mmask8 drawing = _mm256_test_epi32_mask(alive, alive);
        const __m256i word = avx512_draw(r);
        avx512_go_on(s, r, drawing);
        if (limit & 0x80000000u) {
            failed = _mm256_ternarylogic_epi32(failed, alive, word, A_OR_B_WITHOUT_C);
            alive = _mm256_and_si256(alive, word);
        } else {
            alive = _mm256_andnot_si256(word, alive);
        }
    }
    return failed;
}

/* Which lanes fail, with two limits: see draw_uneven in draws.h. */
AVX512_INLINE __m256i avx512_uneven(__m256i s[4], const mtj_write_errors *errors, __m256i alive,
                                    __m256i intended) {
    __m256i failed = certain_failures(errors, intended, &alive), r[4] = {s[0], s[1], s[2], s[3]};
    uint32_t down = errors->down, up = errors->up;
    for (int digit = 0; down | up; digit++, down <<= 1, up <<= 1) {
        alive = still_alive(alive, intended, down, up);
        if (digit >= 12 && _mm256_testz_si256(alive, alive)) {
            break;
        }
        /* Where the digit is 0. */
        const __m256i none_down = _mm256_set1_epi32((int32_t)((down >> 31) - 1));
        const __m256i none_up = _mm256_set1_epi32((int32_t)((up >> 31) - 1));
        const __m256i none = _mm256_ternarylogic_epi32(intended, none_up, none_down, CHOOSE);
        const __mmask8 drawing = _mm256_test_epi32_mask(alive, alive);
        const __m256i word = avx512_draw(r);
        avx512_go_on(s, r, drawing);
        failed = _mm256_or_si256(failed,
                                 _mm256_ternarylogic_epi32(alive, none, word, A_WITHOUT_B_AND_C));
        alive = _mm256_and_si256(alive, _mm256_xor_si256(none, word));
    }
    return failed;
}

AVX512_INLINE __m256i add_ones(__m256i sums, __m256i words) {
    return _mm256_add_epi32(sums, _mm256_popcnt_epi32(words));
}

AVX512_INLINE uint32_t sum_of_words(__m256i v) {
    uint32_t parts[8], sum = 0;
    _mm256_storeu_si256((__m256i *)parts, v);
    for (int k = 0; k < 8; k++) {
        sum += parts[k];
    }
    return sum;
}

/* See mtj_write_run in mtjkit.h; `tail` is the mask of a run's last word. */
AVX512 static void avx512_write(uint32_t *cells, const uint32_t *intended, int fresh,
                                uint32_t words, uint32_t run_words, uint32_t tail, uint32_t *state,
                                const mtj_write_errors *errors, int uneven,
                                uint32_t counts[MTJ_COUNTS]) {
    const __m256i zero = _mm256_setzero_si256();
    const __m256i each = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    __m256i s[4], written = zero, toggled_sum = zero, wrong_sum = zero, ones = zero, up = zero;
    uint32_t in_run = run_words;
    for (int k = 0; k < 4; k++) {
        s[k] = _mm256_i32gather_epi32((const int *)state + k, each, 4);
    }
    for (uint32_t w = 0; w < words; w += 8) {
        const __mmask8 there = words - w < 8 ? (1u << (words - w)) - 1 : 0xff;
        __m256i lanes = _mm256_set1_epi32(-1), failed;
        const __m256i new = _mm256_maskz_loadu_epi32(there, intended + w);
        const __m256i old = fresh ? zero : _mm256_maskz_loadu_epi32(there, cells + w);
        if (tail != 0xffffffffu || there != 0xff) {
            lanes = existing_lanes(w, words, run_words, tail, &in_run);
        }
        if (uneven) {
            failed = avx512_uneven(s, errors, lanes, new);
        } else {
            failed = errors->up_certain ? lanes : avx512_even(s, errors->up, lanes);
        }
        const __m256i toggled = _mm256_and_si256(_mm256_xor_si256(new, old), lanes);
        const __m256i wrong = errors->keep ? _mm256_and_si256(failed, toggled) : failed;
        written = add_ones(written, lanes);
        toggled_sum = add_ones(toggled_sum, toggled);
        wrong_sum = add_ones(wrong_sum, wrong);
        ones = add_ones(ones, new);
        up = add_ones(up, _mm256_and_si256(toggled, new));
        _mm256_mask_storeu_epi32(cells + w, there, _mm256_xor_si256(new, wrong));
    }
    for (int k = 0; k < 4; k++) {
        _mm256_i32scatter_epi32((int *)state + k, each, s[k], 4);
    }
    counts[0] += sum_of_words(written);
    counts[1] += sum_of_words(toggled_sum);
    counts[2] += sum_of_words(wrong_sum);
    counts[3] += sum_of_words(ones);
    counts[4] += sum_of_words(up);
}

#endif
