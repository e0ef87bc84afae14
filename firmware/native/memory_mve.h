/* Writes of the emulated memory for Cortex-M processors with Helium (MVE), part of memory.c: one
 * vector is four streams, so word w is lane w % 4. */
#ifndef MTJKIT_MEMORY_MVE_H
#define MTJKIT_MEMORY_MVE_H

#include "mtjkit.h"
#include "ones_mve.h"

#define ONES_OF_4(n) (n), (n) + 1, (n) + 1, (n) + 2
#define ONES_OF_16(n) ONES_OF_4(n), ONES_OF_4((n) + 1), ONES_OF_4((n) + 1), ONES_OF_4((n) + 2)
#define ONES_OF_64(n) ONES_OF_16(n), ONES_OF_16((n) + 1), ONES_OF_16((n) + 1), ONES_OF_16((n) + 2)
const uint8_t mtj_ones_of_byte[256] = {ONES_OF_64(0), ONES_OF_64(1), ONES_OF_64(1), ONES_OF_64(2)};

/* Which lanes of four words fail; one limit is two equal ones. See draw_uneven in draws.h. A stream
 * whose word is decided keeps its state: it stopped drawing. */
MVE_INLINE uint32x4_t mve_draw(uint32_t streams[4][4], const mtj_write_errors *errors,
                               uint32x4_t alive, uint32x4_t intended) {
    uint32_t down = errors->down, up = errors->up;
    uint32x4_t down_certain = vdupq_n_u32(-errors->down_certain);
    uint32x4_t up_certain = vdupq_n_u32(-errors->up_certain);
    uint32x4_t failed =
        vorrq_u32(vandq_u32(up_certain, intended), vbicq_u32(down_certain, intended));
    failed = vandq_u32(failed, alive);
    if (!(down | up)) { /* certain limits have no digits */
        return failed;
    }
    uint32x4_t s0 = vld1q_u32(streams[0]), s1 = vld1q_u32(streams[1]);
    uint32x4_t s2 = vld1q_u32(streams[2]), s3 = vld1q_u32(streams[3]);
    for (;; down <<= 1, up <<= 1) {
        /* Where the digit is 0: the sign bits, spread over all lanes. */
        uint32_t none_down = (down >> 31) - 1, none_up = (up >> 31) - 1;
        uint32x4_t none = vandq_u32(vdupq_n_u32(none_down ^ none_up), intended);
        none = veorq_u32(none, vdupq_n_u32(none_down));
        if (!down) {
            alive = vandq_u32(alive, intended);
        }
        if (!up) {
            alive = vbicq_u32(alive, intended);
        }
        mve_pred16_t drawing = vcmpneq_n_u32(alive, 0);
        if (!drawing) {
            break;
        }
        uint32x4_t word = vaddq_u32(s0, s3), shifted = vshlq_n_u32(s1, 9);
        word = vaddq_u32(vsriq_n_u32(vshlq_n_u32(word, 7), word, 25), s0);
        s2 = veorq_m_u32(s2, s2, s0, drawing);
        s3 = veorq_m_u32(s3, s3, s1, drawing);
        s1 = veorq_m_u32(s1, s1, s2, drawing);
        s0 = veorq_m_u32(s0, s0, s3, drawing);
        s2 = veorq_m_u32(s2, s2, shifted, drawing);
        s3 = vpselq_u32(vsriq_n_u32(vshlq_n_u32(s3, 11), s3, 21), s3, drawing);
        failed = vorrq_u32(failed, vbicq_u32(alive, vorrq_u32(none, word)));
        alive = vandq_u32(alive, veorq_u32(none, word));
    }
    vst1q_u32(streams[0], s0);
    vst1q_u32(streams[1], s1);
    vst1q_u32(streams[2], s2);
    vst1q_u32(streams[3], s3);
    return failed;
}

/* See mtj_write_run in mtjkit.h; `tail` is the mask of a run's last word. */
static void mve_write(uint32_t *cells, const uint32_t *intended, int fresh, uint32_t words,
                      uint32_t run_words, uint32_t tail, uint32_t *state,
                      const mtj_write_errors *errors, uint32_t counts[MTJ_COUNTS]) {
    uint32_t streams[2][4][4], in_run = run_words;
    for (uint32_t i = 0; i < 32; i++) {
        streams[i >> 4][i & 3][i >> 2 & 3] = state[i];
    }
    for (uint32_t w = 0; w < words; w += 4) {
        mve_pred16_t there = vctp32q(words - w);
        uint32x4_t new = vldrwq_z_u32(intended + w, there), old = vdupq_n_u32(0);
        uint32x4_t lanes = vpselq_u32(vdupq_n_u32(0xffffffffu), old, there);
        if (!fresh) {
            old = vldrwq_z_u32(cells + w, there);
        }
        if (tail != 0xffffffffu) {
            uint32_t masks[4];
            for (uint32_t i = 0; i < 4; i++) {
                masks[i] = 0xffffffffu;
                if (--in_run == 0) {
                    in_run = run_words;
                    masks[i] = tail;
                }
            }
            lanes = vandq_u32(lanes, vld1q_u32(masks));
        }
        uint32x4_t failed = mve_draw(streams[w >> 2 & 1], errors, lanes, new);
        uint32x4_t toggled = vandq_u32(veorq_u32(new, old), lanes);
        uint32x4_t wrong = errors->keep ? vandq_u32(failed, toggled) : failed;
        vstrwq_p_u32(cells + w, veorq_u32(new, wrong), there);
        counts[0] = mve_ones(counts[0], lanes);
        counts[1] = mve_ones(counts[1], toggled);
        counts[2] = mve_ones(counts[2], wrong);
        counts[3] = mve_ones(counts[3], new);
        counts[4] = mve_ones(counts[4], vandq_u32(toggled, new));
    }
    for (uint32_t i = 0; i < 32; i++) {
        state[i] = streams[i >> 4][i & 3][i >> 2 & 3];
    }
}

#endif
