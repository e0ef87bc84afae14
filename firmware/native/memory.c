/* The emulated MTJ memory in portable C99: random streams, draws, writes. It knows words and runs
 * of bits; what they mean is binary.c's and fixed.c's.
 */
#include "mtjkit.h"

#include "bits.h"
#include "draws.h"
#include "simd.h"

#ifdef MTJ_AVX2
#include "memory_avx2.h"
#endif
#ifdef MTJ_AVX512
#include "memory_avx512.h"
#endif
#ifdef MTJ_MVE
#include "memory_mve.h"
#endif

void mtj_seed(uint32_t state[32], const uint32_t key[2], uint32_t image, uint32_t place) {
#ifdef MTJ_AVX512
    if (mtj_level() >= 2) {
        avx512_seed(state, key, image, place);
        return;
    }
#endif
    for (uint32_t stream = 0; stream < 8; stream++) {
        uint32_t a = 0x61707865u ^ key[0];
        uint32_t b = 0x3320646eu ^ key[1];
        uint32_t c = 0x79622d32u ^ image;
        uint32_t d = 0x6b206574u ^ (place | stream);
        for (int round = 0; round < 8; round++) {
            a += b, d = rotl(d ^ a, 16);
            c += d, b = rotl(b ^ c, 12);
            a += b, d = rotl(d ^ a, 8);
            c += d, b = rotl(b ^ c, 7);
        }
        *state++ = a, *state++ = b, *state++ = c, *state++ = d;
    }
}

/* Which of a word's `lanes` fail: see draw_failures in mtj_memory.py. */
static uint32_t draw_failures(uint32_t s[4], uint32_t limit, uint32_t lanes) {
    uint32_t s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3], failed = 0, word;
    while (lanes && limit) {
        DRAW(word);
        if (limit & 0x80000000u) {
            failed |= lanes & ~word;
            lanes &= word;
        } else {
            lanes &= ~word;
        }
        limit <<= 1;
    }
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
    return failed;
}

void mtj_write_run(uint32_t *cells, const uint32_t *intended, int fresh, uint32_t words,
                   uint32_t run_words, uint32_t run_bits, uint32_t state[32],
                   const mtj_write_errors *errors, uint32_t counts[MTJ_COUNTS]) {
    uint32_t tail = tail_mask(run_bits), in_run = run_words;
    int uneven = errors->down != errors->up || errors->down_certain != errors->up_certain;
#ifdef MTJ_AVX512
    if (mtj_level() >= 2) {
        avx512_write(cells, intended, fresh, words, run_words, tail, state, errors, uneven, counts);
        return;
    }
#endif
#ifdef MTJ_AVX2
    if (mtj_level()) {
        avx2_write(cells, intended, fresh, words, run_words, tail, state, errors, uneven, counts);
        return;
    }
#endif
#ifdef MTJ_MVE
    mve_write(cells, intended, fresh, words, run_words, tail, state, errors, counts);
    return;
#endif
    for (uint32_t w = 0; w < words; w++) {
        uint32_t *stream = state + 4 * (w & 7);
        uint32_t lanes = 0xffffffffu, lane_count = 32;
        uint32_t new = intended[w], old = fresh ? 0 : cells[w];
        uint32_t failed, toggled, wrong, toggles;
        if (--in_run == 0) {
            in_run = run_words;
            lanes = tail;
            lane_count = run_bits - 32 * (run_words - 1);
        }
        if (uneven) {
            failed = draw_uneven(stream, errors, lanes, new);
        } else {
            failed = errors->up_certain ? lanes : draw_failures(stream, errors->up, lanes);
        }
        toggled = (new ^ old) & lanes;
        wrong = errors->keep ? failed & toggled : failed;
        cells[w] = new ^ wrong;
        toggles = popcount(toggled);
        counts[0] += lane_count;
        counts[1] += toggles;
        if (wrong) {
            counts[2] += popcount(wrong);
        }
        if (old) {
            counts[3] += popcount(new);
            counts[4] += popcount(toggled & new);
        } else { /* of erased cells only ones toggle */
            counts[3] += toggles;
            counts[4] += toggles;
        }
    }
}
