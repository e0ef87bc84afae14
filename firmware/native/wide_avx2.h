/* Layers of 16 and 32 bits for x86-64 processors with AVX2 and FMA, part of fixed.c: integers in
 * doubles, none of which leaves -2^53 .. 2^53, so every sum is exact.
 *
 * An input of up to 16 bits is one double, and so is its weight. Of 32 bits both are two halves of
 * 16 bits, 2^16 high + low, and three products make one: of the highs, of high + low, and of the
 * lows (Karatsuba). Hidden convolutions go another way: see wide_winograd_avx2.h.
 */
#ifndef MTJKIT_WIDE_AVX2_H
#define MTJKIT_WIDE_AVX2_H

#include "mtjkit.h"

#include "simd.h"

#define FMA __attribute__((target("avx2,fma")))
#define FMA_INLINE static inline __attribute__((always_inline, target("avx2,fma")))

enum { PANEL = 8 /* outputs that are summed together */, PIXELS = 6 };

/* Sums of `pixels` windows with one panel: see tile_function. w: [taps][depth][PANEL]. */
FMA_INLINE void wide_tile(double *sums, ptrdiff_t sum_step, const double *x, ptrdiff_t row_step,
                          ptrdiff_t col_step, const double *w, int taps, int depth,
                          const int pixels) {
    __m256d total[PIXELS][2];
    UNROLL for (int p = 0; p < pixels; p++) { total[p][0] = total[p][1] = _mm256_setzero_pd(); }
    for (int tap = 0; tap < taps; tap++, x += row_step) {
        for (int k = 0; k < depth; k++, w += PANEL) {
            __m256d a = _mm256_loadu_pd(w), b = _mm256_loadu_pd(w + 4);
            IN_REGISTER(a);
            IN_REGISTER(b);
            UNROLL for (int p = 0; p < pixels; p++) {
                const __m256d v = _mm256_broadcast_sd(x + p * col_step + k);
                total[p][0] = _mm256_fmadd_pd(v, a, total[p][0]);
                total[p][1] = _mm256_fmadd_pd(v, b, total[p][1]);
            }
        }
    }
    UNROLL for (int p = 0; p < pixels; p++) {
        _mm256_storeu_pd(sums + p * sum_step, total[p][0]);
        _mm256_storeu_pd(sums + p * sum_step + 4, total[p][1]);
    }
}

FMA static void wide_six(double *sums, ptrdiff_t sum_step, const double *x, ptrdiff_t row_step,
                         ptrdiff_t col_step, const double *w, int taps, int depth) {
    wide_tile(sums, sum_step, x, row_step, col_step, w, taps, depth, PIXELS);
}

FMA static void wide_one(double *sums, ptrdiff_t sum_step, const double *x, ptrdiff_t row_step,
                         ptrdiff_t col_step, const double *w, int taps, int depth) {
    wide_tile(sums, sum_step, x, row_step, col_step, w, taps, depth, 1);
}

/* 2^32 high + 2^16 (middle - high - low) + low, rounded once: what is added last is exact. */
FMA_INLINE __m256d join(__m256d high, __m256d middle, __m256d low) {
    const __m256d half = _mm256_set1_pd(65536.0), whole = _mm256_set1_pd(4294967296.0);
    const __m256d cross = _mm256_sub_pd(_mm256_sub_pd(middle, high), low);
    const __m256d above = _mm256_floor_pd(_mm256_mul_pd(cross, _mm256_set1_pd(1.0 / 65536)));
    const __m256d below = _mm256_fnmadd_pd(above, half, cross); /* 0 .. 65535 */
    return _mm256_fmadd_pd(_mm256_add_pd(high, above), whole, _mm256_fmadd_pd(below, half, low));
}

/* The doubles of `count` codes; of 32 bits their highs, sums of both halves, and lows, `step`
 * doubles apart. */
FMA_INLINE void doubles_of(const char *codes, int bits, ptrdiff_t count, double *to,
                           ptrdiff_t step) {
    for (ptrdiff_t k = 0; k < count; k++) {
        if (bits == 8) {
            to[k] = ((const int8_t *)codes)[k];
        } else if (bits == 16) {
            to[k] = ((const int16_t *)codes)[k];
        } else {
            int32_t code = ((const int32_t *)codes)[k], low = (int16_t)code;
            int32_t high = (code >> 16) + (low < 0);
            to[k] = high, to[step + k] = high + low, to[2 * step + k] = low;
        }
    }
}

/* Codes, or sums in values, by products as they are: see mtj_wide_run. */
FMA_INLINE void wide_layer(const mtj_wide *g, int images, const char *x, const double *w,
                           const double *norm, double scale, char *to, double *work,
                           const int input_bits) {
    const int products = input_bits == 32 ? 3 : 1, panels = (g->out + PANEL - 1) / PANEL;
    const int edge = g->taps > 1, depth = g->taps * g->channels, cols = g->cols;
    const ptrdiff_t stride = (ptrdiff_t)panels * PANEL, row = cols * stride;
    const ptrdiff_t row_step = (ptrdiff_t)(cols + 2 * edge) * g->channels;
    const ptrdiff_t step = (g->rows + 2 * edge) * row_step;
    const ptrdiff_t row_bytes = (ptrdiff_t)cols * g->channels * (input_bits / 8);
    double *padded = work, *totals = padded + products * step, *sums = totals + 2 * row;
    memset(padded, 0, sizeof *padded * products * step);
    for (int image = 0; image < images; image++) {
        for (int y = 0; y < g->rows; y++, x += row_bytes) {
            doubles_of(x, input_bits, (ptrdiff_t)cols * g->channels,
                       padded + (y + edge) * row_step + edge * g->channels, step);
        }
        for (int at = 0; at + g->pool <= g->rows; at += g->pool) {
            for (int r = 0; r < g->pool; r++) {
                const double *weights = w;
                for (int panel = 0; panel < panels; panel++) {
                    for (int p = 0; p < products; p++, weights += g->taps * depth * PANEL) {
                        const double *from = padded + p * step + (at + r) * row_step;
                        double *into =
                            (products == 1 ? totals + r * row : sums + p * row) + panel * PANEL;
                        for (int col = 0, done; col < cols; col += done) {
                            done = cols - col < PIXELS ? 1 : PIXELS;
                            (done == 1 ? wide_one : wide_six)(
                                into + col * stride, stride, from + (ptrdiff_t)col * g->channels,
                                row_step, g->channels, weights, g->taps, depth);
                        }
                    }
                }
                for (ptrdiff_t k = 0; products == 3 && k < row; k += 4) {
                    _mm256_storeu_pd(totals + r * row + k,
                                     join(_mm256_loadu_pd(sums + k),
                                          _mm256_loadu_pd(sums + row + k),
                                          _mm256_loadu_pd(sums + 2 * row + k)));
                }
            }
            for (int col = 0; col < cols / g->pool; col++) {
                const double *a = totals + (ptrdiff_t)col * g->pool * stride, *c = a + row;
                if (norm) {
                    codes_from(a, a + stride, c, c + stride, g->pool, g->out, g->out, norm, scale,
                               g->bits, sums, to);
                    to += g->out * (g->bits / 8);
                    continue;
                }
                for (int o = 0; o < g->out; o++, to += sizeof(double)) {
                    *(double *)to = a[o] * scale;
                }
            }
        }
    }
}

#endif
