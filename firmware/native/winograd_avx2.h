/* 3x3 convolutions of 8 bits by Winograd's F(4x4, 3x3), part of fixed.c: 36 products give 16
 * outputs, which take 144 in fixed.c's own loops. (Lavin, Gray, "Fast algorithms for convolutional
 * neural networks", 2016.)
 *
 * It is exact. A transformed input is at most 10 * 10 * 128, a transformed weight at most
 * 7 * 7 * 128 with the fractions of the method multiplied out: both are int16s. What they give is
 * 576 times a sum, modulo 2^32. 576 is 64 * 9 and 9 has an inverse, so sums from -2^25 to
 * 2^25 - 1 are found: layers of more channels are computed in chunks of channels whose sums are
 * smaller.
 */
#ifndef MTJKIT_WINOGRAD_AVX2_H
#define MTJKIT_WINOGRAD_AVX2_H

#include "fixed_avx2.h"

enum { WINDOW = 36, OUTPUTS = 16, SIDE = 4, VECTOR = 16 /* channels transformed together */ };

/* One image with zeros around it, [rows + 2][cols + 2][depth] bytes, its rows `row_step` apart. to:
 * zeros at first. bytes: of one pixel. */
static void pad(int rows, int cols, int bytes, const char *image, char *to, ptrdiff_t row_step,
                int depth) {
    to += row_step + depth;
    for (int y = 0; y < rows; y++, to += row_step) {
        if (depth == bytes) {
            memcpy(to, image, (size_t)cols * bytes);
            image += (ptrdiff_t)cols * bytes;
            continue;
        }
        for (int x = 0; x < cols; x++, image += bytes) {
            memcpy(to + x * depth, image, bytes);
        }
    }
}

/* Six inputs in a line, transformed in place. TIMES(a, k): a 2^k. */
#define TRANSFORM_SIX(NAME, TARGET_INLINE, VECTOR, ADD, SUB, TIMES)                                \
    TARGET_INLINE void NAME(VECTOR v[6]) {                                                         \
        const VECTOR d0 = v[0], d1 = v[1], d2 = v[2], d3 = v[3], d4 = v[4], d5 = v[5];             \
        const VECTOR even = SUB(d4, TIMES(d2, 2)), odd = SUB(d3, TIMES(d1, 2));                    \
        const VECTOR near = SUB(d4, d2), apart = SUB(d3, d1), twice = TIMES(apart, 1);             \
        v[0] = ADD(TIMES(SUB(d0, d2), 2), near);  /* 4 d0 - 5 d2 + d4 */                           \
        v[1] = ADD(even, odd);                    /* -4 d1 - 4 d2 + d3 + d4 */                     \
        v[2] = SUB(even, odd);                    /* 4 d1 - 4 d2 - d3 + d4 */                      \
        v[3] = ADD(near, twice);                  /* -2 d1 - d2 + 2 d3 + d4 */                     \
        v[4] = SUB(near, twice);                  /* 2 d1 - d2 - 2 d3 + d4 */                      \
        v[5] = SUB(SUB(d5, d3), TIMES(apart, 2)); /* 4 d1 - 5 d3 + d5 */                           \
    }

/* 24 times four outputs in a line, from six transformed products. */
#define TRANSFORM_BACK(NAME, TARGET_INLINE, VECTOR, ADD, SUB, TIMES)                               \
    TARGET_INLINE void NAME(VECTOR y[4], const VECTOR m[6]) {                                      \
        const VECTOR sum = TIMES(ADD(m[1], m[2]), 2), apart = TIMES(SUB(m[1], m[2]), 2);           \
        const VECTOR outer = ADD(m[3], m[4]), skew = SUB(m[3], m[4]);                              \
        const VECTOR first = ADD(m[0], TIMES(m[0], 1)), last = ADD(m[5], TIMES(m[5], 1));          \
        y[0] = ADD(ADD(TIMES(first, 1), sum), outer); /* 6 m0 + 4 (m1 + m2) + m3 + m4 */           \
        y[1] = ADD(apart, TIMES(skew, 1));            /* 4 (m1 - m2) + 2 (m3 - m4) */              \
        y[2] = ADD(sum, TIMES(outer, 2));             /* 4 (m1 + m2) + 4 (m3 + m4) */              \
        y[3] = ADD(apart, TIMES(ADD(skew, last), 3)); /* 4 (m1 - m2) + 8 (m3 - m4) + 24 m5 */      \
    }

TRANSFORM_SIX(transform_six, AVX2_INLINE, __m256i, _mm256_add_epi16, _mm256_sub_epi16,
              _mm256_slli_epi16)
TRANSFORM_BACK(transform_back, AVX2_INLINE, __m256i, _mm256_add_epi32, _mm256_sub_epi32,
               _mm256_slli_epi32)

/* Transform one tile's window of a padded image, `chunk` channels, into to[WINDOW], `step` int16s
 * apart. */
AVX2_INLINE void transform8(const int8_t *from, ptrdiff_t row_step, int depth, int chunk,
                            int16_t *to, ptrdiff_t step) {
    for (int c = 0; c < chunk; c += VECTOR) {
        __m256i half[WINDOW];
        UNROLL for (int x = 0; x < 6; x++) {
            __m256i v[6];
            UNROLL for (int y = 0; y < 6; y++) {
                v[y] = _mm256_cvtepi8_epi16(
                    _mm_loadu_si128((const __m128i *)(from + y * row_step + x * depth + c)));
            }
            transform_six(v);
            UNROLL for (int y = 0; y < 6; y++) { half[6 * y + x] = v[y]; }
        }
        UNROLL for (int y = 0; y < 6; y++) {
            __m256i v[6];
            UNROLL for (int x = 0; x < 6; x++) { v[x] = half[6 * y + x]; }
            transform_six(v);
            UNROLL for (int x = 0; x < 6; x++) { store(to + (6 * y + x) * step + c, v[x]); }
        }
    }
}

/* The 16 sums of one tile, 8 outputs each. from: [WINDOW][LANES] products. */
AVX2_INLINE void sums_of(__m256i sums[OUTPUTS], const int32_t *from) {
    const __m256i ninth = _mm256_set1_epi32(0x38e38e39); /* 1/9 modulo 2^32 */
    __m256i half[4 * 6];                                 /* [output's row][window's column] */
    UNROLL for (int x = 0; x < 6; x++) {
        __m256i m[6], y[4];
        UNROLL for (int k = 0; k < 6; k++) { m[k] = load(from + (6 * k + x) * LANES); }
        transform_back(y, m);
        UNROLL for (int k = 0; k < 4; k++) { half[6 * k + x] = y[k]; }
    }
    UNROLL for (int y = 0; y < 4; y++) {
        transform_back(sums + 4 * y, half + 6 * y);
        UNROLL for (int k = 4 * y; k < 4 * y + 4; k++) {
            sums[k] = _mm256_srai_epi32(_mm256_mullo_epi32(sums[k], ninth), 6);
        }
    }
}

/* The codes of 8 outputs of one tile, at its place in the map. */
AVX2_INLINE void tile_codes8(const mtj_winograd *g, const __m256i sums[OUTPUTS], int8_t *map,
                             int top, int left, int o, const double *norm, const float *line,
                             double scale) {
    ptrdiff_t stride = (ptrdiff_t)g->panels * LANES;
    int pool = g->pool, rows = g->rows / pool, cols = g->cols / pool, out = g->out;
    const __m256i turn = load(line + 3 * stride + o);
    for (int y = 0; y < SIDE / pool; y++) {
        for (int x = 0; x < SIDE / pool; x++) {
            int row = top / pool + y, col = left / pool + x;
            const __m256i *s = sums + (4 * y + x) * pool;
            __m256i sum =
                pool == 1 ? s[0] : larger(larger(s[0], s[1], turn), larger(s[4], s[5], turn), turn);
            if (row < rows && col < cols) {
                store_codes(map + ((ptrdiff_t)row * cols + col) * out + o,
                            codes_of(sum, line, stride, o, norm, out, scale), out - o);
            }
        }
    }
}

/* A hidden convolution of 8 bits: see mtj_winograd_run. */
AVX2_INLINE void winograd8(const mtj_winograd *g, int images, const char *x, const int16_t *w,
                           const double *norm, const float *line, double scale, int8_t *to,
                           char *work, tile_function *tile, int width) {
    const int down = (g->rows + SIDE - 1) / SIDE, across = (g->cols + SIDE - 1) / SIDE;
    const int chunk = g->chunk, chunks = (g->channels + chunk - 1) / chunk, depth = chunks * chunk;
    const ptrdiff_t image_bytes = (ptrdiff_t)g->rows * g->cols * g->channels;
    const ptrdiff_t map_bytes = (ptrdiff_t)(g->rows / g->pool) * (g->cols / g->pool) * g->out;
    const ptrdiff_t row_step = (ptrdiff_t)(SIDE * across + 2) * depth;
    /* Of windows; one cache line more than a power of 2, as those share few places of a cache. */
    const ptrdiff_t step = (ptrdiff_t)g->tiles * chunk + 32;
    int32_t *products = (int32_t *)work;
    int32_t *so_far = products + (ptrdiff_t)g->tiles * WINDOW * LANES;
    int16_t *windows =
        (int16_t *)(so_far + (chunks > 1 ? (ptrdiff_t)g->panels * g->tiles * OUTPUTS * LANES : 0));
    char *padded = (char *)(windows + WINDOW * step);
    const int all = images * down * across;
    int in_padded = -1;
    memset(padded, 0, (SIDE * down + 2) * row_step);
    for (int begin = 0; begin < all; begin += g->tiles) {
        const int count = all - begin < g->tiles ? all - begin : g->tiles;
        const int16_t *weights = w;
        for (int part = 0; part < chunks; part++) {
            for (int t = 0; t < count; t++) {
                int n = (begin + t) / (down * across), place = (begin + t) % (down * across);
                if (n != in_padded) {
                    pad(g->rows, g->cols, g->channels, x + n * image_bytes, padded, row_step,
                        depth);
                    in_padded = n;
                }
                transform8((const int8_t *)padded + place / across * SIDE * row_step +
                               place % across * SIDE * depth + part * chunk,
                           row_step, depth, chunk, windows + t * chunk, step);
            }
            for (int panel = 0; panel < g->panels; panel++) {
                for (int k = 0; k < WINDOW; k++, weights += chunk * LANES) {
                    for (int t = 0; t < count; t += width) {
                        tile(products + (t * WINDOW + k) * LANES, WINDOW * LANES,
                             windows + k * step + t * chunk, 0, chunk, weights, 1, chunk / 2);
                    }
                }
                for (int t = 0; t < count; t++) {
                    int n = (begin + t) / (down * across), place = (begin + t) % (down * across);
                    int32_t *kept = so_far + ((ptrdiff_t)panel * g->tiles + t) * OUTPUTS * LANES;
                    for (int o = panel * LANES; o < g->out && o < (panel + 1) * LANES; o += 8) {
                        __m256i sums[OUTPUTS];
                        sums_of(sums, products + t * WINDOW * LANES + o % LANES);
                        for (int k = 0; chunks > 1 && k < OUTPUTS; k++) {
                            if (part) {
                                sums[k] =
                                    _mm256_add_epi32(sums[k], load(kept + k * LANES + o % LANES));
                            }
                            store(kept + k * LANES + o % LANES, sums[k]);
                        }
                        if (part == chunks - 1) {
                            tile_codes8(g, sums, to + n * map_bytes, place / across * SIDE,
                                        place % across * SIDE, o, norm, line, scale);
                        }
                    }
                }
            }
        }
    }
}

#endif
