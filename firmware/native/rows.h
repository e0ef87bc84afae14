/* Writes of the same place in several images' memories, on hosts only: part of chip.c and fixed.c.
 */
#ifndef MTJKIT_ROWS_H
#define MTJKIT_ROWS_H

#include <stddef.h>

#include "mtjkit.h"
#include "simd.h"

#ifdef MTJ_AVX2
#include "runs_avx2.h"
#endif
#ifdef MTJ_AVX512
#include "rows_avx512.h"
#endif

static inline int any_certain(const mtj_write_errors *errors) {
    return errors->down_certain || errors->up_certain;
}

/* Write n rows of `bits` bits, each one run, into rows of cells that lie `step` words apart; what
 * is intended lies `intended_step` words apart. images: number of each row's image. counts:
 * [n][MTJ_COUNTS], set. */
static void write_rows(int n, uint32_t bits, uint32_t *cells, ptrdiff_t step,
                       const uint32_t *intended, ptrdiff_t intended_step, const uint32_t *images,
                       const uint32_t key[2], uint32_t place, const mtj_write_errors *errors,
                       uint32_t *counts) {
    const uint32_t words = (bits + 31) / 32;
    uint32_t state[32];
#ifdef MTJ_AVX512
    if (mtj_level() >= 2 && errors->up && errors->up == errors->down && !any_certain(errors)) {
        for (; n >= ROWS; n -= ROWS, images += ROWS, counts += ROWS * MTJ_COUNTS) {
            rows_write(bits, cells, step, intended, intended_step, images, key, place, errors,
                       counts);
            cells += ROWS * step, intended += ROWS * intended_step;
        }
    }
#endif
    for (; n; n--, cells += step, intended += intended_step, images++, counts += MTJ_COUNTS) {
#ifdef MTJ_AVX2
        if (mtj_level() && !(errors->down | errors->up) && !any_certain(errors)) {
            avx2_store(cells, intended, bits, counts);
            continue;
        }
#endif
        for (int k = 0; k < MTJ_COUNTS; k++) {
            counts[k] = 0;
        }
        mtj_seed(state, key, *images, place);
        mtj_write_run(cells, intended, 0, words, words, bits, state, errors, counts);
    }
}

#endif
