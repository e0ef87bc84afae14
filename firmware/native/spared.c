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
            alive = existing_lanes(w, place->words, place->run_words, tail, &in_run);
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

#ifdef MTJ_AVX512
#include "draws_avx512.h"

/* Those of ROWS images, as bits, in which no bit fails in a write of a place; of the ones that
 * `asked` says. */
AVX512 static uint32_t none_fail(const mtj_place *place, const uint32_t *images,
                                 const uint32_t key[2], uint32_t limit, uint32_t asked) {
    const uint32_t tail = tail_mask(place->run_bits);
    uint32_t in_run = place->run_words;
    __m512i s[2][4];
    seed_two(s[0], key, images, place->place);
    seed_two(s[1], key, images + 2, place->place);
    for (uint32_t w = 0; w < place->words && asked; w += 8) {
        __m512i lanes = _mm512_set1_epi32(-1), failed[2];
        if (tail != 0xffffffffu || place->words - w < 8) {
            lanes = _mm512_broadcast_i64x4(
                existing_lanes(w, place->words, place->run_words, tail, &in_run));
        }
        draw_rows(s, limit, lanes, failed);
        for (int v = 0; v < 2; v++) {
            const uint32_t words = _mm512_test_epi32_mask(failed[v], failed[v]);
            asked &= ~((uint32_t)((words & 0xff) != 0) << 2 * v);
            asked &= ~((uint32_t)(words >> 8 != 0) << (2 * v + 1));
        }
    }
    return asked;
}

/* The same of all places. */
static uint32_t four_spared(const mtj_place *places, uint32_t count, const uint32_t *indices,
                            const uint32_t key[2], const mtj_write_errors *errors) {
    uint32_t spared = (1 << ROWS) - 1;
    for (uint32_t p = 0; p < count && spared; p++) {
        if (errors[p].up_certain) {
            spared = 0;
        } else if (errors[p].up) {
            spared = none_fail(&places[p], indices, key, errors[p].up, spared);
        }
    }
    return spared;
}
#endif

void mtj_spared(const mtj_place *places, uint32_t count, uint32_t n, const uint32_t *indices,
                const uint32_t key[2], const mtj_write_errors *errors, uint8_t *spared) {
    uint32_t image = 0;
#ifdef MTJ_AVX512
    for (; mtj_level() >= 2 && image + ROWS <= n; image += ROWS) {
        const uint32_t found = four_spared(places, count, indices + image, key, errors);
        for (uint32_t k = 0; k < ROWS; k++) {
            spared[image + k] = (uint8_t)(found >> k & 1);
        }
    }
#endif
    for (; image < n; image++) {
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
