/* The emulated MTJ memory in portable C99: random streams, draws, writes. It knows words and runs of
 * bits; what they mean is binary.c's and fixed.c's.
 */
#include "mtjkit.h"

#include "avx2.h"
#include "bits.h"

#ifdef MTJ_AVX2
#include "memory_avx2.h"
#endif

static inline uint32_t rotl(uint32_t x, int k) { return x << k | x >> (32 - k); }

void mtj_seed(uint32_t state[32], const uint32_t key[2], uint32_t image, uint32_t place) {
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
static uint32_t draw_failures(uint32_t s[4], uint32_t threshold, uint32_t lanes) {
    uint32_t s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3], failed = 0;
    while (lanes && threshold) {
        uint32_t word = rotl(s0 + s3, 7) + s0;
        uint32_t shifted = s1 << 9;
        s2 ^= s0, s3 ^= s1, s1 ^= s2, s0 ^= s3, s2 ^= shifted;
        s3 = rotl(s3, 11);
        if (threshold & 0x80000000u) {
            failed |= lanes & ~word;
            lanes &= word;
        } else {
            lanes &= ~word;
        }
        threshold <<= 1;
    }
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
    return failed;
}

void mtj_write_run(uint32_t *cells, const uint32_t *intended, int fresh, uint32_t words,
                   uint32_t run_words, uint32_t run_bits, uint32_t state[32], const mtj_rate *rate,
                   uint32_t counts[3]) {
    uint32_t tail = tail_mask(run_bits), in_run = run_words;
#ifdef MTJ_AVX2
    if (mtj_has_avx2()) {
        avx2_write(cells, intended, fresh, words, run_words, tail, state, rate, counts);
        return;
    }
#endif
    for (uint32_t w = 0; w < words; w++) {
        uint32_t lanes = 0xffffffffu, lane_count = 32;
        uint32_t failed, toggled, wrong;
        if (--in_run == 0) {
            in_run = run_words;
            lanes = tail;
            lane_count = run_bits - 32 * (run_words - 1);
        }
        failed = rate->certain ? lanes : draw_failures(state + 4 * (w & 7), rate->threshold, lanes);
        toggled = (intended[w] ^ (fresh ? 0 : cells[w])) & lanes;
        wrong = rate->keep ? failed & toggled : failed;
        cells[w] = intended[w] ^ wrong;
        counts[0] += lane_count;
        counts[1] += popcount(toggled);
        if (wrong) {
            counts[2] += popcount(wrong);
        }
    }
}
