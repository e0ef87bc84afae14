/* Writes of the emulated memory for x86-64 processors with AVX2, part of memory.c: one vector is
 * the eight streams, so word w is lane w % 8. */
#ifndef MTJKIT_MEMORY_AVX2_H
#define MTJKIT_MEMORY_AVX2_H

#include "draws_avx2.h"
#include "mtjkit.h"

int mtj_found_level; /* 1 more than mtj_level() once it was asked; not static, as .mpy files want it
                      */

#ifdef MTJ_AMX
/* Whether the processor (the leaf's last register), the system's kept registers and the system
 * itself, which a process asks once for the tiles' room, have AMX for bytes. */
static inline int has_amx(uint32_t features, uint32_t kept) {
    const uint32_t wanted = 1u << 24 | 1u << 25; /* tiles, and bytes in them */
    long result = 158; /* arch_prctl(ARCH_REQ_XCOMP_PERM, the tiles' data), by hand: a module of
                          MicroPython has no C library */
    if ((features & wanted) != wanted || (kept & 0x60000) != 0x60000) {
        return 0;
    }
    __asm__ volatile("syscall" : "+a"(result) : "D"(0x1023L), "S"(18L) : "rcx", "r11", "memory");
    return result == 0;
}
#endif

int mtj_level(void) {
    if (!mtj_found_level) {
        uint32_t a, b, c, d, kept = 0, high;
        if (__get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE)) {
            __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0)); /* registers the system keeps */
        }
        b = c = 0;
        int found =
            (kept & 0x06) == 0x06 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
#ifdef MTJ_AVX512
        const uint32_t wide = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
        if (found && (kept & 0xe6) == 0xe6 && (b & wide) == wide && (c & bit_AVX512VPOPCNTDQ)) {
            found = 2;
#ifdef MTJ_AMX
            found += has_amx(d, kept);
#endif
        }
#endif
        mtj_found_level = found + 1;
    }
    return mtj_found_level - 1;
}

static const uint8_t nibble_ones[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};

AVX2_INLINE __m256i ones_of(__m256i v) {
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i ones = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)nibble_ones));
    __m256i bytes =
        _mm256_add_epi8(_mm256_shuffle_epi8(ones, _mm256_and_si256(v, low)),
                        _mm256_shuffle_epi8(ones, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
    return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

AVX2_INLINE uint32_t sum_of(__m256i v) {
    uint64_t parts[4];
    _mm256_storeu_si256((__m256i *)parts, v);
    return (uint32_t)(parts[0] + parts[1] + parts[2] + parts[3]);
}

/* Which lanes of eight words fail, with two limits: see draw_uneven in memory.c. */
AVX2_INLINE __m256i avx2_uneven(__m256i s[4], const mtj_write_errors *errors, __m256i alive,
                                __m256i intended) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i failed = certain_failures(errors, intended, &alive), r[4] = {s[0], s[1], s[2], s[3]};
    uint32_t down = errors->down, up = errors->up;
    for (int digit = 0; down | up; digit++, down <<= 1, up <<= 1) {
        alive = still_alive(alive, intended, down, up);
        if (digit >= 12 && _mm256_testz_si256(alive, alive)) {
            break;
        }
        const __m256i decided = _mm256_cmpeq_epi32(alive, zero);
        const __m256i none_down = _mm256_set1_epi32((int32_t)((down >> 31) - 1));
        const __m256i none_up = _mm256_set1_epi32((int32_t)((up >> 31) - 1));
        const __m256i none = _mm256_xor_si256(
            _mm256_and_si256(_mm256_xor_si256(none_down, none_up), intended), none_down);
        const __m256i word = avx2_draw(r);
        for (int k = 0; k < 4; k++) {
            s[k] = _mm256_blendv_epi8(r[k], s[k], decided);
        }
        failed = _mm256_or_si256(failed, _mm256_andnot_si256(_mm256_or_si256(none, word), alive));
        alive = _mm256_and_si256(alive, _mm256_xor_si256(none, word));
    }
    return failed;
}

/* See mtj_write_run in mtjkit.h; `tail` is the mask of a run's last word. */
AVX2 static void avx2_write(uint32_t *cells, const uint32_t *intended, int fresh, uint32_t words,
                            uint32_t run_words, uint32_t tail, uint32_t *state,
                            const mtj_write_errors *errors, int uneven,
                            uint32_t counts[MTJ_COUNTS]) {
    const __m256i zero = _mm256_setzero_si256(), all = _mm256_set1_epi32(-1);
    __m256i s[4], written_sum = zero, toggled_sum = zero, wrong_sum = zero;
    __m256i ones_sum = zero, up_sum = zero;
    uint32_t streams[4][8];
    uint32_t in_run = run_words;
    for (int i = 0; i < 32; i++) {
        streams[i & 3][i >> 2] = state[i];
    }
    for (int k = 0; k < 4; k++) {
        s[k] = _mm256_loadu_si256((const __m256i *)streams[k]);
    }
    for (uint32_t w = 0; w < words; w += 8) {
        uint32_t n = words - w < 8 ? words - w : 8;
        __m256i lanes = all, failed = zero, old, new;
        uint32_t partial[8] = {0}, before[8] = {0};
        if (n < 8) {
            for (uint32_t i = 0; i < n; i++) {
                partial[i] = intended[w + i];
                before[i] = cells[w + i];
            }
            new = _mm256_loadu_si256((const __m256i *)partial);
            old = _mm256_loadu_si256((const __m256i *)before);
        } else {
            new = _mm256_loadu_si256((const __m256i *)(intended + w));
            old = _mm256_loadu_si256((const __m256i *)(cells + w));
        }
        if (tail != 0xffffffffu || n < 8) {
            lanes = existing_lanes(w, words, run_words, tail, &in_run);
        }
        if (uneven) {
            failed = avx2_uneven(s, errors, lanes, new);
        } else if (errors->up_certain) {
            failed = lanes;
        } else {
            /* All streams run on; one whose word is decided has its state put aside, which is
             * what it goes on from: it stopped drawing. */
            __m256i alive = lanes, r[4] = {s[0], s[1], s[2], s[3]};
            uint32_t limit = errors->up;
            /* When the 256 lanes are all decided cannot be predicted, but after 12 digits they are
             * in 94 of 100 cases: digits too many cost less than mispredicted branches. */
            for (int digit = 0; limit && (digit < 12 || !_mm256_testz_si256(alive, alive));
                 digit++, limit <<= 1) {
                const __m256i decided = _mm256_cmpeq_epi32(alive, zero);
                const __m256i word = avx2_draw(r);
                for (int k = 0; k < 4; k++) {
                    s[k] = _mm256_blendv_epi8(r[k], s[k], decided);
                }
                if (limit & 0x80000000u) {
                    failed = _mm256_or_si256(failed, _mm256_andnot_si256(word, alive));
                    alive = _mm256_and_si256(alive, word);
                } else {
                    alive = _mm256_andnot_si256(word, alive);
                }
            }
        }
        __m256i toggled = _mm256_and_si256(fresh ? new : _mm256_xor_si256(new, old), lanes);
        __m256i wrong = errors->keep ? _mm256_and_si256(failed, toggled) : failed;
        written_sum = _mm256_add_epi64(written_sum, ones_of(lanes));
        toggled_sum = _mm256_add_epi64(toggled_sum, ones_of(toggled));
        wrong_sum = _mm256_add_epi64(wrong_sum, ones_of(wrong));
        ones_sum = _mm256_add_epi64(ones_sum, ones_of(new));
        up_sum = _mm256_add_epi64(up_sum, ones_of(_mm256_and_si256(toggled, new)));
        new = _mm256_xor_si256(new, wrong);
        if (n < 8) {
            _mm256_storeu_si256((__m256i *)partial, new);
            for (uint32_t i = 0; i < n; i++) {
                cells[w + i] = partial[i];
            }
        } else {
            _mm256_storeu_si256((__m256i *)(cells + w), new);
        }
    }
    for (int k = 0; k < 4; k++) {
        _mm256_storeu_si256((__m256i *)streams[k], s[k]);
    }
    for (int i = 0; i < 32; i++) {
        state[i] = streams[i & 3][i >> 2];
    }
    counts[0] += sum_of(written_sum);
    counts[1] += sum_of(toggled_sum);
    counts[2] += sum_of(wrong_sum);
    counts[3] += sum_of(ones_sum);
    counts[4] += sum_of(up_sum);
}

#endif
