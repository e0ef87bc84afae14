/* Layers of 16 and 32 bits for x86-64 processors with AVX2 and FMA, part of fixed.c: integers in
 * doubles, none of which leaves -2^53 .. 2^53, so every sum is exact.
 *
 * An input of up to 16 bits is one double, and so is its weight. Of 32 bits both are two halves of
 * 16 bits, 2^16 high + low, and three products make one: of the highs, of high + low, and of the
 * lows (Karatsuba). Convolutions go by Winograd's way, see winograd_avx2.h, if 36 products of 576
 * times a sum stay below 2^51; fixed_wide.py sees to it.
 */
#ifndef MTJKIT_WIDE_AVX2_H
#define MTJKIT_WIDE_AVX2_H

#include "winograd_avx2.h"

#define FMA __attribute__((target("avx2,fma")))
#define FMA_INLINE static inline __attribute__((always_inline, target("avx2,fma")))

enum { PANEL = 8 /* outputs that are summed together */, PIXELS = 6, GROUP = 32 };

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

/* ---- Winograd ---- */

/* Six inputs in a line, transformed in place: see winograd_avx2.h. */
AVX2_INLINE void wide_transform_six(__m256i v[6]) {
#define ADD _mm256_add_epi32
#define SUB _mm256_sub_epi32
#define TIMES(a, k) _mm256_slli_epi32(a, k)
    const __m256i d0 = v[0], d1 = v[1], d2 = v[2], d3 = v[3], d4 = v[4], d5 = v[5];
    const __m256i even = SUB(d4, TIMES(d2, 2)), odd = SUB(d3, TIMES(d1, 2));
    const __m256i near = SUB(d4, d2), apart = SUB(d3, d1), twice = TIMES(apart, 1);
    v[0] = ADD(TIMES(SUB(d0, d2), 2), near);
    v[1] = ADD(even, odd);
    v[2] = SUB(even, odd);
    v[3] = ADD(near, twice);
    v[4] = SUB(near, twice);
    v[5] = SUB(SUB(d5, d3), TIMES(apart, 2));
#undef ADD
#undef SUB
#undef TIMES
}

/* Half h of 8 codes: 0 the high one, or all of 16 bits, 1 the low one. */
AVX2_INLINE __m256i half_of(const char *codes, int bits, int h) {
    if (bits == 16) {
        return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)codes));
    }
    const __m256i v = load(codes), low = _mm256_srai_epi32(_mm256_slli_epi32(v, 16), 16);
    return h ? low : _mm256_sub_epi32(_mm256_srai_epi32(v, 16), _mm256_srai_epi32(low, 31));
}

AVX2_INLINE void store_doubles(double *to, __m256i v) {
    _mm256_storeu_pd(to, _mm256_cvtepi32_pd(_mm256_castsi256_si128(v)));
    _mm256_storeu_pd(to + 4, _mm256_cvtepi32_pd(_mm256_extracti128_si256(v, 1)));
}

/* Transform one tile's window of a padded image into to[products][WINDOW], `step` apart. */
AVX2_INLINE void wide_transform(const char *from, ptrdiff_t row_step, int depth, double *to,
                                ptrdiff_t step, const int bits) {
    for (int c = 0; c < depth; c += 8) {
        __m256i whole[2][WINDOW];
        for (int h = 0; h < bits / 16; h++) {
            __m256i half[WINDOW];
            UNROLL for (int x = 0; x < 6; x++) {
                __m256i v[6];
                UNROLL for (int y = 0; y < 6; y++) {
                    v[y] = half_of(from + y * row_step + (x * depth + c) * (bits / 8), bits, h);
                }
                wide_transform_six(v);
                UNROLL for (int y = 0; y < 6; y++) { half[6 * y + x] = v[y]; }
            }
            for (int y = 0; y < 6; y++) {
                wide_transform_six(half + 6 * y);
                UNROLL for (int x = 0; x < 6; x++) { whole[h][6 * y + x] = half[6 * y + x]; }
            }
        }
        for (int k = 0; k < WINDOW; k++) {
            store_doubles(to + k * step + c, whole[0][k]);
            if (bits == 32) {
                store_doubles(to + (WINDOW + k) * step + c,
                              _mm256_add_epi32(whole[0][k], whole[1][k]));
                store_doubles(to + (2 * WINDOW + k) * step + c, whole[1][k]);
            }
        }
    }
}

/* transform_back of winograd_avx2.h with int64s. */
AVX2_INLINE void wide_transform_back(__m256i y[4], const __m256i m[6]) {
#define ADD _mm256_add_epi64
#define SUB _mm256_sub_epi64
#define TIMES(a, k) _mm256_slli_epi64(a, k)
    const __m256i sum = TIMES(ADD(m[1], m[2]), 2), apart = TIMES(SUB(m[1], m[2]), 2);
    const __m256i outer = ADD(m[3], m[4]), skew = SUB(m[3], m[4]);
    const __m256i first = ADD(m[0], TIMES(m[0], 1)), last = ADD(m[5], TIMES(m[5], 1));
    y[0] = ADD(ADD(TIMES(first, 1), sum), outer);
    y[1] = ADD(apart, TIMES(skew, 1));
    y[2] = ADD(sum, TIMES(outer, 2));
    y[3] = ADD(apart, TIMES(ADD(skew, last), 3));
#undef ADD
#undef SUB
#undef TIMES
}

/* The 16 sums of one tile, 4 outputs each. from: [WINDOW][GROUP] products within 2^51. */
FMA_INLINE void wide_sums(__m256d sums[OUTPUTS], const double *from) {
    const __m256d magic = _mm256_set1_pd(6755399441055744.0); /* 2^52 + 2^51 */
    const __m256d ninth = _mm256_set1_pd(1.0 / 9);
    const __m256i bits = _mm256_castpd_si256(magic), large = _mm256_set1_epi64x(1LL << 62);
    const __m256i back = _mm256_sub_epi64(bits, _mm256_set1_epi64x(1LL << 56));
    __m256i half[4 * 6], whole[OUTPUTS]; /* half: [output's row][window's column] */
    UNROLL for (int x = 0; x < 6; x++) {
        __m256i m[6], y[4];
        UNROLL for (int k = 0; k < 6; k++) {
            const __m256d v = _mm256_loadu_pd(from + (6 * k + x) * GROUP);
            m[k] = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(v, magic)), bits);
        }
        wide_transform_back(y, m);
        UNROLL for (int k = 0; k < 4; k++) { half[6 * k + x] = y[k]; }
    }
    for (int y = 0; y < 4; y++) {
        wide_transform_back(whole + 4 * y, half + 6 * y);
    }
    for (int k = 0; k < OUTPUTS; k++) {
        /* 576 sum / 64, with 2^62 that makes the shift a logical one; as a double; / 9. */
        __m256i nine = _mm256_srli_epi64(_mm256_add_epi64(whole[k], large), 6);
        __m256d v = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_add_epi64(nine, back)), magic);
        sums[k] =
            _mm256_round_pd(_mm256_mul_pd(v, ninth), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
}

/* A hidden convolution of 16 or 32 bits: see mtj_wide_winograd_run. */
FMA_INLINE void wide_winograd(const mtj_wide *g, int images, const char *x, const double *w,
                              const double *norm, double scale, char *to, double *work,
                              const int bits) {
    const int products = bits == 32 ? 3 : 1, bytes = bits / 8, out = g->out, pool = g->pool;
    const int down = (g->rows + SIDE - 1) / SIDE, across = (g->cols + SIDE - 1) / SIDE;
    const int depth = (g->channels + 7) & ~7, groups = (out + GROUP - 1) / GROUP;
    const ptrdiff_t image_bytes = (ptrdiff_t)g->rows * g->cols * g->channels * bytes;
    const int rows = g->rows / pool, cols = g->cols / pool;
    const ptrdiff_t map_bytes = (ptrdiff_t)rows * cols * out * bytes;
    const ptrdiff_t row_step = (ptrdiff_t)(SIDE * across + 2) * depth * bytes;
    const ptrdiff_t step = (ptrdiff_t)g->tiles * depth + 8; /* see winograd_avx2.h */
    const ptrdiff_t tile_step = (ptrdiff_t)products * WINDOW * GROUP;
    double *found = work, *windows = found + g->tiles * tile_step;
    double *totals = windows + products * WINDOW * step, *y = totals + OUTPUTS * GROUP;
    char *padded = (char *)(y + GROUP);
    const int all = images * down * across;
    int in_padded = -1;
    memset(padded, 0, (SIDE * down + 2) * row_step);
    for (int begin = 0; begin < all; begin += g->tiles) {
        const int count = all - begin < g->tiles ? all - begin : g->tiles;
        const double *weights = w;
        for (int t = 0; t < count; t++) {
            int n = (begin + t) / (down * across), place = (begin + t) % (down * across);
            if (n != in_padded) {
                pad(g->rows, g->cols, g->channels * bytes, x + n * image_bytes, padded, row_step,
                    depth * bytes);
                in_padded = n;
            }
            wide_transform(padded + place / across * SIDE * row_step +
                               (ptrdiff_t)place % across * SIDE * depth * bytes,
                           row_step, depth, windows + t * depth, step, bits);
        }
        for (int group = 0; group < groups; group++) {
            const int some = out - group * GROUP < GROUP ? out - group * GROUP : GROUP;
            for (int k = 0; k < products * WINDOW; k++) {
                for (int o = 0; o < GROUP; o += PANEL, weights += depth * PANEL) {
                    for (int t = 0; o < some && t < count; t += PIXELS) {
                        wide_six(found + t * tile_step + k * GROUP + o, tile_step,
                                 windows + k * step + t * depth, 0, depth, weights, 1, depth);
                    }
                }
            }
            for (int t = 0; t < count; t++) {
                int n = (begin + t) / (down * across), place = (begin + t) % (down * across);
                for (int o = 0; o < some; o += 4) {
                    const double *from = found + t * tile_step + o;
                    __m256d sums[OUTPUTS], middle[OUTPUTS], low[OUTPUTS];
                    wide_sums(sums, from);
                    if (products == 3) {
                        wide_sums(middle, from + WINDOW * GROUP);
                        wide_sums(low, from + 2 * WINDOW * GROUP);
                    }
                    for (int k = 0; k < OUTPUTS; k++) {
                        _mm256_storeu_pd(totals + k * GROUP + o,
                                         products == 3 ? join(sums[k], middle[k], low[k])
                                                       : sums[k]);
                    }
                }
                for (int k = 0; k < OUTPUTS / (pool * pool); k++) {
                    int side = SIDE / pool, down_to = k / side, right = k % side;
                    int row = place / across * side + down_to, col = place % across * side + right;
                    const double *a = totals + (4 * down_to + right) * pool * GROUP;
                    if (row < rows && col < cols) {
                        codes_from(a, a + GROUP, a + 4 * GROUP, a + 5 * GROUP, pool, some, out,
                                   norm + group * GROUP, scale, bits, y,
                                   to + n * map_bytes +
                                       (((ptrdiff_t)row * cols + col) * out + group * GROUP) *
                                           bytes);
                    }
                }
            }
        }
    }
}

#endif
