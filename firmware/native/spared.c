/* On hosts only: the images in whose maps no bit fails, found from the draws alone. */
#include "bits.h"
#include "draws.h"
#include "mtjkit.h"
#include "simd.h"

/* Whether no bit fails in a write of a place whose two limits are equal. */
static int none_fails(const mtj_place *place, uint32_t state[32], const mtj_write_errors *errors) {
    uint32_t tail = tail_mask(place->run_bits), in_run = place->run_words;
    for (uint32_t w = 0; w < place->words; w++) {
        uint32_t lanes = 0xffffffffu;
        if (--in_run == 0) {
            in_run = place->run_words;
            lanes = tail;
        }
        if (draw_uneven(state + 4 * (w & 7), errors, lanes, 0)) {
            return 0;
        }
    }
    return 1;
}

#ifdef MTJ_AVX2
#include "draws_avx2.h"

/* The same; see avx2_write in memory_avx2.h. */
AVX2 static int none_fails_avx2(const mtj_place *place, uint32_t state[32], uint32_t limit) {
    const __m256i zero = _mm256_setzero_si256();
    uint32_t tail = tail_mask(place->run_bits), in_run = place->run_words, streams[4][8];
    __m256i s[4];
    for (int i = 0; i < 32; i++) {
        streams[i & 3][i >> 2] = state[i];
    }
    for (int k = 0; k < 4; k++) {
        s[k] = _mm256_loadu_si256((const __m256i *)streams[k]);
    }
    for (uint32_t w = 0; w < place->words; w += 8) {
        __m256i alive = _mm256_set1_epi32(-1), failed = zero, r[4] = {s[0], s[1], s[2], s[3]};
        if (tail != 0xffffffffu || place->words - w < 8) {
            uint32_t masks[8];
            for (uint32_t i = 0; i < 8; i++) {
                masks[i] = w + i < place->words ? 0xffffffffu : 0;
                if (--in_run == 0) {
                    in_run = place->run_words;
                    masks[i] &= tail;
                }
            }
            alive = _mm256_loadu_si256((const __m256i *)masks);
        }
        uint32_t digits = limit;
        for (int digit = 0; digits && (digit < 12 || !_mm256_testz_si256(alive, alive));
             digit++, digits <<= 1) {
            const __m256i decided = _mm256_cmpeq_epi32(alive, zero);
            const __m256i word = avx2_draw(r);
            for (int k = 0; k < 4; k++) {
                s[k] = _mm256_blendv_epi8(r[k], s[k], decided);
            }
            if (digits & 0x80000000u) {
                failed = _mm256_or_si256(failed, _mm256_andnot_si256(word, alive));
                alive = _mm256_and_si256(alive, word);
            } else {
                alive = _mm256_andnot_si256(word, alive);
            }
        }
        if (!_mm256_testz_si256(failed, failed)) {
            return 0;
        }
    }
    return 1;
}
#endif

void mtj_spared(const mtj_place *places, uint32_t count, uint32_t n, const uint32_t *indices,
                const uint32_t key[2], const mtj_write_errors *errors, uint8_t *spared) {
    for (uint32_t image = 0; image < n; image++) {
        spared[image] = 1;
        for (uint32_t p = 0; p < count && spared[image]; p++) {
            uint32_t state[32];
            if (errors[p].up_certain) {
                spared[image] = 0;
            } else if (errors[p].up) {
                mtj_seed(state, key, indices[image], places[p].place);
#ifdef MTJ_AVX2
                if (mtj_level()) {
                    spared[image] = (uint8_t)none_fails_avx2(&places[p], state, errors[p].up);
                    continue;
                }
#endif
                spared[image] = (uint8_t)none_fails(&places[p], state, &errors[p]);
            }
        }
    }
}
