/* Hidden 3x3 convolutions of 16 and 32 bits for x86-64 processors with AVX2 and FMA, part of
 * fixed.c: Winograd's F(4x4, 3x3) in doubles, see winograd_avx2.h, with one product for 32 bits
 * too.
 *
 * Transformed inputs and weights are exact, but sums of 32 bits are rounded. How far they can be
 * from the exact ones is known before: a tile's bound is the length of its transformed input times
 * a factor of the output (fixed_wide_winograd.py). A code is sure where no tie is as near as that.
 * The others, fewer than one in a hundred, are computed from the codes as they are, exactly.
 */
#ifndef MTJKIT_WIDE_WINOGRAD_AVX2_H
#define MTJKIT_WIDE_WINOGRAD_AVX2_H

#include "wide_avx2.h"
#include "winograd_avx2.h"

enum { GROUP = 32 /* outputs whose products are kept together */ };

#define TIMES_PD(a, k) _mm256_mul_pd(a, _mm256_set1_pd(1 << (k)))
TRANSFORM_SIX(wide_transform_six, FMA_INLINE, __m256d, _mm256_add_pd, _mm256_sub_pd, TIMES_PD)
TRANSFORM_BACK(wide_transform_back, FMA_INLINE, __m256d, _mm256_add_pd, _mm256_sub_pd, TIMES_PD)

FMA_INLINE __m256d four_codes(const char *codes, int bits) {
    return _mm256_cvtepi32_pd(bits == 16
                                  ? _mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i *)codes))
                                  : _mm_loadu_si128((const __m128i *)codes));
}

/* Transform one tile's window of a padded image into to[WINDOW], `step` apart. Returns the length
 * of what it is transformed into, as of one vector. */
FMA_INLINE double wide_transform(const char *from, ptrdiff_t row_step, int depth, double *to,
                                 ptrdiff_t step, const int bits) {
    __m256d squares[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    for (int c = 0; c < depth; c += 4) {
        __m256d half[WINDOW];
        UNROLL for (int x = 0; x < 6; x++) {
            __m256d v[6];
            UNROLL for (int y = 0; y < 6; y++) {
                v[y] = four_codes(from + y * row_step + (x * depth + c) * (bits / 8), bits);
            }
            wide_transform_six(v);
            UNROLL for (int y = 0; y < 6; y++) { half[6 * y + x] = v[y]; }
        }
        for (int y = 0; y < 6; y++) {
            __m256d v[6];
            UNROLL for (int x = 0; x < 6; x++) { v[x] = half[6 * y + x]; }
            wide_transform_six(v);
            UNROLL for (int x = 0; x < 6; x++) {
                squares[x & 1] = _mm256_fmadd_pd(v[x], v[x], squares[x & 1]);
                _mm256_storeu_pd(to + (6 * y + x) * step + c, v[x]);
            }
        }
    }
    double four[4];
    _mm256_storeu_pd(four, _mm256_add_pd(squares[0], squares[1]));
    return sqrt(four[0] + four[1] + four[2] + four[3]);
}

/* 576 times the 16 sums of one tile, 4 outputs each. from: [WINDOW][GROUP] products. */
FMA_INLINE void wide_sums(__m256d sums[OUTPUTS], const double *from) {
    __m256d half[4 * 6]; /* [output's row][window's column] */
    UNROLL for (int x = 0; x < 6; x++) {
        __m256d m[6], y[4];
        UNROLL for (int k = 0; k < 6; k++) { m[k] = _mm256_loadu_pd(from + (6 * k + x) * GROUP); }
        wide_transform_back(y, m);
        UNROLL for (int k = 0; k < 4; k++) { half[6 * k + x] = y[k]; }
    }
    UNROLL for (int y = 0; y < 4; y++) { wide_transform_back(sums + 4 * y, half + 6 * y); }
}

/* The sum of one window, rounded once. image: [rows][cols][channels] codes; w: [3][3][channels]. */
FMA_INLINE double window_sum(const mtj_wide *g, const char *image, const int32_t *w, int row,
                             int col, const int bits) {
    int64_t high = 0, low = 0;
    for (int tap = 0; tap < 9; tap++, w += g->channels) {
        const int y = row + tap / 3 - 1, x = col + tap % 3 - 1;
        const char *from = image + ((ptrdiff_t)y * g->cols + x) * g->channels * (bits / 8);
        if (y < 0 || y >= g->rows || x < 0 || x >= g->cols) {
            continue;
        }
        for (int c = 0; c < g->channels; c++) {
            int32_t v = bits == 16 ? ((const int16_t *)from)[c] : ((const int32_t *)from)[c];
            high += (int64_t)(v >> 16) * w[c];
            low += (int64_t)(v & 0xffff) * w[c];
        }
    }
    int64_t rest = (high & 0xFFFF) * 65536 + low;
    return rounded_once((high >> 16) + (rest >> 32), rest & 0xFFFFFFFF);
}

/* The code of one output after pooling, by its definition. codes: weights, [out][3][3][channels].
 */
FMA static __attribute__((noinline)) int32_t window_code(const mtj_wide *g, const char *image,
                                                         const int32_t *codes, const double *norm,
                                                         double scale, int row, int col, int o) {
    const int32_t *w = codes + (ptrdiff_t)o * 9 * g->channels;
    const double one = (double)(1ULL << (g->bits - 1));
    int32_t largest = INT32_MIN; /* whose y is the largest: a code never falls where y rises */
    for (int k = 0; k < g->pool * g->pool; k++) {
        const int y = row * g->pool + k / g->pool, x = col * g->pool + k % g->pool;
        const double sum =
            g->bits == 16 ? window_sum(g, image, w, y, x, 16) : window_sum(g, image, w, y, x, 32);
        const int32_t code = exact_code(norm, g->out, o, sum, scale, one);
        largest = code > largest ? code : largest;
    }
    return largest;
}

/* A hidden convolution of 16 or 32 bits: see mtj_wide_winograd_run. */
FMA_INLINE void wide_winograd(const mtj_wide *g, int images, const char *x, const double *w,
                              const int32_t *codes, const double *norm, const double *line,
                              double scale, char *to, double *work, const int bits) {
    const int bytes = bits / 8, out = g->out, pool = g->pool, side = SIDE / pool;
    const int down = (g->rows + SIDE - 1) / SIDE, across = (g->cols + SIDE - 1) / SIDE;
    const int depth = (g->channels + 7) & ~7, groups = (out + GROUP - 1) / GROUP;
    const ptrdiff_t image_bytes = (ptrdiff_t)g->rows * g->cols * g->channels * bytes;
    const int rows = g->rows / pool, cols = g->cols / pool;
    const ptrdiff_t map_bytes = (ptrdiff_t)rows * cols * out * bytes;
    const ptrdiff_t row_step = (ptrdiff_t)(SIDE * across + 2) * depth * bytes;
    const ptrdiff_t step = (ptrdiff_t)g->tiles * depth + 8; /* see winograd_avx2.h */
    const ptrdiff_t stride = (ptrdiff_t)groups * GROUP;
    const double *offset = line + stride, *room = offset + stride, *spread = room + stride;
    double *found = work, *windows = found + g->tiles * WINDOW * GROUP;
    double *lengths = windows + WINDOW * step;
    char *padded = (char *)(lengths + g->tiles);
    const __m256d one = _mm256_set1_pd((double)(1ULL << (bits - 1)));
    const __m256d least = _mm256_sub_pd(_mm256_setzero_pd(), one);
    const __m256d most = _mm256_sub_pd(one, _mm256_set1_pd(1)), minus = _mm256_set1_pd(-0.0);
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
            lengths[t] = wide_transform(padded + place / across * SIDE * row_step +
                                            (ptrdiff_t)place % across * SIDE * depth * bytes,
                                        row_step, depth, windows + t * depth, step, bits);
        }
        for (int group = 0; group < groups; group++) {
            const int first = group * GROUP, some = out - first < GROUP ? out - first : GROUP;
            for (int k = 0; k < WINDOW; k++) {
                for (int o = 0; o < GROUP; o += PANEL, weights += depth * PANEL) {
                    for (int t = 0; o < some && t < count; t += PIXELS) {
                        wide_six(found + (t * WINDOW + k) * GROUP + o, WINDOW * GROUP,
                                 windows + k * step + t * depth, 0, depth, weights, 1, depth);
                    }
                }
            }
            for (int t = 0; t < count; t++) {
                const int n = (begin + t) / (down * across), place = (begin + t) % (down * across);
                const __m256d length = _mm256_set1_pd(lengths[t]);
                for (int o = first; o < first + some; o += 4) {
                    const __m256d slope = _mm256_loadu_pd(line + o);
                    const __m256d start = _mm256_loadu_pd(offset + o);
                    __m256d sums[OUTPUTS];
                    wide_sums(sums, found + t * WINDOW * GROUP + o - first);
                    for (int k = 0; k < side * side; k++) {
                        const int row = place / across * side + k / side;
                        const int col = place % across * side + k % side;
                        const __m256d *s = sums + (4 * (k / side) + k % side) * pool;
                        if (row >= rows || col >= cols) {
                            continue;
                        }
                        __m256d value = _mm256_fmadd_pd(s[0], slope, start);
                        if (pool == 2) {
                            __m256d right = _mm256_fmadd_pd(s[1], slope, start);
                            __m256d below = _mm256_fmadd_pd(s[4], slope, start);
                            __m256d last = _mm256_fmadd_pd(s[5], slope, start);
                            value = _mm256_max_pd(_mm256_max_pd(value, right),
                                                  _mm256_max_pd(below, last));
                        }
                        /* What lies beyond the codes has no tie; a NaN remains one. */
                        value = _mm256_max_pd(least, _mm256_min_pd(one, value));
                        const __m256d code =
                            _mm256_round_pd(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
                        const __m256d apart = _mm256_andnot_pd(minus, _mm256_sub_pd(value, code));
                        const __m256d near =
                            _mm256_fnmadd_pd(length, _mm256_loadu_pd(spread + k * stride + o),
                                             _mm256_loadu_pd(room + o));
                        const int unsure =
                            ~_mm256_movemask_pd(_mm256_cmp_pd(apart, near, _CMP_LT_OQ)) & 15;
                        __m128i found4 = _mm256_cvtpd_epi32(_mm256_min_pd(code, most));
                        if (__builtin_expect(unsure, 0)) {
                            int32_t four[4];
                            _mm_storeu_si128((__m128i *)four, found4);
                            for (int i = 0; i < 4 && o + i < out; i++) {
                                if (unsure >> i & 1) {
                                    four[i] = window_code(g, x + n * image_bytes, codes, norm,
                                                          scale, row, col, o + i);
                                }
                            }
                            found4 = _mm_loadu_si128((const __m128i *)four);
                        }
                        if (bits == 16) {
                            found4 = _mm_packs_epi32(found4, found4);
                        }
                        memcpy(to + n * map_bytes +
                                   (((ptrdiff_t)row * cols + col) * out + o) * bytes,
                               &found4, out - o < 4 ? (out - o) * bytes : 4 * bytes);
                    }
                }
            }
        }
    }
}

#endif
