/* The fast ways of fixed-point layers for x86-64 processors with AVX2, part of fixed.c:
 *
 * - codes of 8 bits straight from int32 sums, without a division where no tie is near;
 * - 3x3 convolutions by Winograd's F(4x4, 3x3): 36 products give 16 outputs, which take 144 in
 *   fixed.c's own loops. (Lavin, Gray, "Fast algorithms for convolutional neural networks", 2016.)
 *
 * Winograd's is exact here. Inputs and weights are pieces of 8 bits, within -128 .. 128. A
 * transformed input is at most 10 * 10 * 128, a transformed weight at most 7 * 7 * 128 with the
 * fractions of the method multiplied out: both are int16s. What they give is 576 times a sum,
 * modulo 2^32. 576 is 64 * 9 and 9 has an inverse, so sums from -2^25 to 2^25 - 1 are found:
 * layers of more channels are computed in chunks of channels whose sums are smaller.
 */
#ifndef MTJKIT_FIXED_AVX2_H
#define MTJKIT_FIXED_AVX2_H

#include "mtjkit.h"

#include "simd.h"

enum { WINDOW = 36, OUTPUTS = 16, SIDE = 4, VECTOR = 16 /* channels transformed together */ };

AVX2_INLINE __m256i load(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }
AVX2_INLINE void store(void *to, __m256i v) { _mm256_storeu_si256((__m256i *)to, v); }

/* ---- codes of 8 bits ---- */

/* The code of one sum as fixed.c's row_codes computes it. */
static int32_t exact_code(const double *norm, int out, int o, int32_t sum, double scale) {
    const double *mean = norm + out, *gamma = mean + out, *std = gamma + out, *beta = std + out;
    double code = rint(((sum * scale - mean[o]) * gamma[o] / std[o] + beta[o]) * 128.0);
    code = code < -128 ? -128 : code;
    return (int32_t)(code > 127 ? 127 : code);
}

/* Codes of 8 outputs from output o on, as int32s. line: [4][stride] floats: factor and offset of
 * the code, how near a tie it is sure, all bits where gamma is negative. */
AVX2_INLINE __m256i codes_of(__m256i sums, const float *line, ptrdiff_t stride, int o,
                             const double *norm, int out, double scale) {
    const __m256 far = _mm256_set1_ps(160.0f);
    __m256 value = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(line + o)),
                                 _mm256_loadu_ps(line + stride + o));
    value = _mm256_max_ps(_mm256_min_ps(value, far), _mm256_sub_ps(_mm256_setzero_ps(), far));
    __m256 code = _mm256_round_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 apart = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(value, code));
    __m256 sure = _mm256_cmp_ps(apart, _mm256_loadu_ps(line + 2 * stride + o), _CMP_LT_OQ);
    __m256i codes = _mm256_cvtps_epi32(code);
    codes =
        _mm256_max_epi32(_mm256_min_epi32(codes, _mm256_set1_epi32(127)), _mm256_set1_epi32(-128));
    int unsure = ~_mm256_movemask_ps(sure) & 255;
    if (__builtin_expect(unsure, 0)) {
        int32_t some[8], found[8];
        store(some, sums), store(found, codes);
        for (int k = 0; k < 8 && o + k < out; k++) {
            if (unsure >> k & 1) {
                found[k] = exact_code(norm, out, o + k, some[k], scale);
            }
        }
        codes = load(found);
    }
    return codes;
}

/* The largest of two vectors of sums; the smallest where `turn` is all ones. */
AVX2_INLINE __m256i larger(__m256i a, __m256i b, __m256i turn) {
    return _mm256_xor_si256(_mm256_max_epi32(_mm256_xor_si256(a, turn), _mm256_xor_si256(b, turn)),
                            turn);
}

AVX2_INLINE void store_codes(int8_t *to, __m256i codes, int count) {
    __m128i bytes =
        _mm_packs_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
    bytes = _mm_packs_epi16(bytes, bytes);
    if (count >= 8) {
        _mm_storel_epi64((__m128i *)to, bytes);
    } else {
        int8_t some[16];
        _mm_storeu_si128((__m128i *)some, bytes);
        memcpy(to, some, count);
    }
}

/* Codes of 8 bits of a layer whose sums an int32 holds: fixed.c's `layer`. sums: int32s of `pool`
 * rows of outputs. */
AVX2_INLINE void layer8(const mtj_fixed_layer *g, int images, const int16_t *x, const int16_t *w,
                        const double *norm, const float *line, double scale, int8_t *to,
                        int32_t *sums, tile_function *wide, int width, tile_function *single) {
    int out = g->out, pool = g->pool;
    ptrdiff_t stride = (ptrdiff_t)g->panels * LANES, row = g->cols * stride;
    const float *turns = line + 3 * stride;
    for (int image = 0; image < images; image++, x += g->image_step) {
        for (int at = 0; at + pool <= g->rows; at += pool) {
            for (int panel = 0; panel < g->panels; panel++) {
                const int16_t *weights = w + (ptrdiff_t)panel * g->taps * g->pairs * 2 * LANES;
                for (int r = 0; r < pool; r++) {
                    const int16_t *from = x + (ptrdiff_t)(at + r) * g->row_step;
                    for (int col = 0, done; col < g->cols; col += done) {
                        done = g->cols - col < width ? 1 : width;
                        (done == 1 ? single : wide)(sums + r * row + col * stride + panel * LANES,
                                                    stride, from + (ptrdiff_t)col * g->col_step,
                                                    g->row_step, g->col_step, weights, g->taps,
                                                    g->pairs);
                    }
                }
            }
            for (int col = 0; col < g->cols / pool; col++, to += out) {
                const int32_t *a = sums + col * pool * stride, *b = a + row;
                for (int o = 0; o < out; o += 8) {
                    __m256i sum = load(a + o);
                    if (pool == 2) {
                        __m256i turn = load(turns + o);
                        sum = larger(larger(sum, load(a + stride + o), turn),
                                     larger(load(b + o), load(b + stride + o), turn), turn);
                    }
                    store_codes(to + o, codes_of(sum, line, stride, o, norm, out, scale), out - o);
                }
            }
        }
    }
}

/* ---- Winograd ---- */

/* 16 codes as pieces of 8 bits: x = sum of 2^(8 k) piece[k], each within -128 .. 128. */
AVX2_INLINE __m256i piece_of(const char *x, int bits, int piece) {
    if (bits == 8) {
        return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)x));
    }
    if (bits == 16) {
        __m256i v = load(x);
        return piece ? _mm256_add_epi16(
                           _mm256_srai_epi16(v, 8),
                           _mm256_and_si256(_mm256_srli_epi16(v, 7), _mm256_set1_epi16(1)))
                     : _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
    }
    __m256i half[2];
    for (int h = 0; h < 2; h++) {
        __m256i v = load(x + 32 * h);
        for (int k = 0; k < piece; k++) { /* what is left above a piece within -128 .. 127 */
            v = _mm256_add_epi32(_mm256_srai_epi32(v, 8),
                                 _mm256_and_si256(_mm256_srli_epi32(v, 7), _mm256_set1_epi32(1)));
        }
        half[h] = piece < 3 ? _mm256_srai_epi32(_mm256_slli_epi32(v, 24), 24) : v;
    }
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(half[0], half[1]), 0xd8);
}

/* Six inputs in a line, transformed in place; `step` vectors apart. */
AVX2_INLINE void transform_six(__m256i *v, int step) {
#define ADD _mm256_add_epi16
#define SUB _mm256_sub_epi16
#define TIMES(a, k) _mm256_slli_epi16(a, k)
    const __m256i d0 = v[0], d1 = v[step], d2 = v[2 * step], d3 = v[3 * step], d4 = v[4 * step];
    const __m256i d5 = v[5 * step];
    const __m256i even = SUB(d4, TIMES(d2, 2)), odd = SUB(d3, TIMES(d1, 2)); /* d4 - 4 d2, ... */
    const __m256i near = SUB(d4, d2), twice = TIMES(SUB(d3, d1), 1);
    v[0] = ADD(TIMES(SUB(d0, d2), 2), near);               /* 4 d0 - 5 d2 + d4 */
    v[step] = ADD(even, odd);                              /* -4 d1 - 4 d2 + d3 + d4 */
    v[2 * step] = SUB(even, odd);                          /* 4 d1 - 4 d2 - d3 + d4 */
    v[3 * step] = ADD(near, twice);                        /* -2 d1 - d2 + 2 d3 + d4 */
    v[4 * step] = SUB(near, twice);                        /* 2 d1 - d2 - 2 d3 + d4 */
    v[5 * step] = SUB(SUB(d5, d3), TIMES(SUB(d3, d1), 2)); /* 4 d1 - 5 d3 + d5 */
#undef ADD
#undef SUB
#undef TIMES
}

/* Transform the window of one tile, channels from .. from + chunk - 1, into
 * to[WINDOW][pieces][chunk]. */
AVX2_INLINE void transform_window(const mtj_winograd *g, const char *image, int top, int left,
                                  int from, int16_t *to, int bits) {
    static const char zeros[64];
    const int bytes = bits / 8, pieces = bits / 8;
    const char *at[WINDOW];
    for (int k = 0; k < WINDOW; k++) {
        int y = top + k / 6, x = left + k % 6;
        int inside = y >= 0 && y < g->rows && x >= 0 && x < g->cols;
        at[k] = inside ? image + ((ptrdiff_t)y * g->cols + x) * g->channels * bytes : NULL;
    }
    for (int c = 0; c < g->chunk; c += VECTOR) {
        int count = g->channels - from - c;
        char some[WINDOW][4 * VECTOR];
        const char *codes[WINDOW];
        for (int k = 0; k < WINDOW; k++) {
            codes[k] = at[k] && count > 0 ? at[k] + (ptrdiff_t)(from + c) * bytes : zeros;
            if (codes[k] != zeros && count < VECTOR) {
                memset(some[k], 0, sizeof some[k]);
                memcpy(some[k], codes[k], count * bytes);
                codes[k] = some[k];
            }
        }
        for (int piece = 0; piece < pieces; piece++) {
            __m256i v[WINDOW];
            for (int k = 0; k < WINDOW; k++) {
                v[k] = piece_of(codes[k], bits, piece);
            }
            for (int col = 0; col < 6; col++) {
                transform_six(v + col, 6);
            }
            for (int row = 0; row < 6; row++) {
                transform_six(v + 6 * row, 1);
            }
            for (int k = 0; k < WINDOW; k++) {
                store(to + ((ptrdiff_t)k * pieces + piece) * g->chunk + c, v[k]);
            }
        }
    }
}

/* 24 times four outputs in a line, from six transformed products. */
AVX2_INLINE void transform_back(__m256i y[4], const __m256i *m, int step) {
#define ADD _mm256_add_epi32
#define SUB _mm256_sub_epi32
#define TIMES(a, k) _mm256_slli_epi32(a, k)
    const __m256i sum = TIMES(ADD(m[step], m[2 * step]), 2); /* 4 (m1 + m2), ... */
    const __m256i apart = TIMES(SUB(m[step], m[2 * step]), 2);
    const __m256i outer = ADD(m[3 * step], m[4 * step]), skew = SUB(m[3 * step], m[4 * step]);
    const __m256i first = ADD(m[0], TIMES(m[0], 1)), last = ADD(m[5 * step], TIMES(m[5 * step], 1));
    y[0] = ADD(ADD(TIMES(first, 1), sum), outer);
    y[1] = ADD(apart, TIMES(skew, 1));
    y[2] = ADD(sum, TIMES(outer, 2));
    y[3] = ADD(apart, TIMES(ADD(skew, last), 3));
#undef ADD
#undef SUB
#undef TIMES
}

/* The 16 sums of one tile, 8 outputs each. from: [WINDOW][stride] products, of the first output. */
AVX2_INLINE void sums_of(__m256i sums[OUTPUTS], const int32_t *from, ptrdiff_t stride) {
    const __m256i ninth = _mm256_set1_epi32(0x38e38e39); /* 1/9 modulo 2^32 */
    __m256i half[4 * 6];                                 /* [output's row][window's column] */
    for (int col = 0; col < 6; col++) {
        __m256i m[6], y[4];
        for (int row = 0; row < 6; row++) {
            m[row] = load(from + (6 * row + col) * stride);
        }
        transform_back(y, m, 1);
        for (int row = 0; row < 4; row++) {
            half[6 * row + col] = y[row];
        }
    }
    for (int row = 0; row < 4; row++) {
        transform_back(sums + 4 * row, half + 6 * row, 1);
        for (int k = 4 * row; k < 4 * row + 4; k++) {
            sums[k] = _mm256_srai_epi32(_mm256_mullo_epi32(sums[k], ninth), 6);
        }
    }
}

/* Codes of 8 bits of one tile, at its place in the map. */
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

/* Add 2^(8 k) times the sums of 8 outputs to int64s [OUTPUTS][stride]; or set them. */
AVX2_INLINE void add_wide(int64_t *to, ptrdiff_t stride, const __m256i sums[OUTPUTS], int shift,
                          int first) {
    const __m128i by = _mm_cvtsi32_si128(shift);
    for (int k = 0; k < OUTPUTS; k++, to += stride) {
        __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums[k]));
        __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sums[k], 1));
        low = _mm256_sll_epi64(low, by), high = _mm256_sll_epi64(high, by);
        if (!first) {
            low = _mm256_add_epi64(low, load(to)), high = _mm256_add_epi64(high, load(to + 4));
        }
        store(to, low), store(to + 4, high);
    }
}

/* Codes of 16 or 32 bits of one tile. wide: int64s [parts][OUTPUTS][stride], sums = low +
 * 2^32 high. */
AVX2_INLINE void tile_codes(const mtj_winograd *g, const int64_t *wide, char *map, int top,
                            int left, const double *norm, double scale, double *totals, int bits) {
    ptrdiff_t stride = (ptrdiff_t)g->panels * LANES, part = OUTPUTS * stride;
    int pool = g->pool, rows = g->rows / pool, cols = g->cols / pool, out = g->out;
    for (ptrdiff_t k = 0; k < part; k++) {
        totals[k] = bits == 16
                        ? exact_double(wide[k])
                        : rounded_once(wide[part + k] + (wide[k] >> 32), wide[k] & 0xFFFFFFFF);
    }
    for (int y = 0; y < SIDE / pool; y++) {
        for (int x = 0; x < SIDE / pool; x++) {
            int row = top / pool + y, col = left / pool + x;
            if (row < rows && col < cols) {
                const double *a = totals + (4 * y + x) * pool * stride;
                codes_from(a, a + stride, a + 4 * stride, a + 5 * stride, pool, out, norm, scale,
                           bits, totals + part,
                           map + ((ptrdiff_t)row * cols + col) * out * (bits / 8));
            }
        }
    }
}

/* A hidden convolution: see mtj_winograd_run. */
AVX2_INLINE void winograd(const mtj_winograd *g, int images, const char *x, const int16_t *w,
                          const double *norm, const float *line, double scale, char *to, char *work,
                          tile_function *tile, int width, int bits) {
    const int pieces = bits / 8, bytes = bits / 8, degrees = 2 * pieces - 1;
    const ptrdiff_t stride = (ptrdiff_t)g->panels * LANES, inputs = (ptrdiff_t)pieces * g->chunk;
    const int down = (g->rows + SIDE - 1) / SIDE, across = (g->cols + SIDE - 1) / SIDE;
    const ptrdiff_t image_bytes = (ptrdiff_t)g->rows * g->cols * g->channels * bytes;
    const ptrdiff_t map_bytes =
        (ptrdiff_t)(g->rows / g->pool) * (g->cols / g->pool) * g->out * bytes;
    const ptrdiff_t wide_step = (pieces == 4 ? 2 : 1) * OUTPUTS * stride;
    int32_t *products = (int32_t *)work;
    int64_t *wide = (int64_t *)(products + g->tiles * WINDOW * stride);
    double *totals = (double *)(wide + g->tiles * wide_step);
    int16_t *windows = (int16_t *)(totals + (OUTPUTS + 1) * stride);
    const int all = images * down * across;
    for (int begin = 0; begin < all; begin += g->tiles) {
        const int count = all - begin < g->tiles ? all - begin : g->tiles;
        const int16_t *weights = w;
        for (int from = 0; from < g->channels; from += g->chunk) {
            const int last = from + g->chunk >= g->channels;
            for (int t = 0; t < count; t++) {
                int n = (begin + t) / (down * across), place = (begin + t) % (down * across);
                transform_window(g, x + n * image_bytes, place / across * SIDE - 1,
                                 place % across * SIDE - 1, from, windows + t * WINDOW * inputs,
                                 bits);
            }
            for (int degree = 0; degree < degrees; degree++) {
                /* The products of pieces a and degree - a, for every a that there is. */
                int low = degree < pieces ? 0 : degree - pieces + 1;
                int high = degree < pieces ? degree : pieces - 1;
                int pairs = (high - low + 1) * g->chunk / 2;
                for (int panel = 0; panel < g->panels; panel++) {
                    for (int k = 0; k < WINDOW; k++, weights += (ptrdiff_t)pairs * 2 * LANES) {
                        for (int t = 0; t < count; t += width) {
                            tile(products + (t * WINDOW + k) * stride + panel * LANES,
                                 WINDOW * stride,
                                 windows + (t * WINDOW + k) * inputs + low * g->chunk, 0,
                                 WINDOW * inputs, weights, 1, pairs);
                        }
                    }
                }
                for (int t = 0; t < count; t++) {
                    int n = (begin + t) / (down * across), place = (begin + t) % (down * across);
                    int top = place / across * SIDE, left = place % across * SIDE;
                    for (int o = 0; o < g->out; o += 8) {
                        __m256i sums[OUTPUTS];
                        sums_of(sums, products + t * WINDOW * stride + o, stride);
                        if (bits > 8) {
                            int part = degree / 4;
                            add_wide(wide + t * wide_step + part * OUTPUTS * stride + o, stride,
                                     sums, 8 * (degree - 4 * part),
                                     from == 0 && degree == 4 * part);
                            continue;
                        }
                        if (g->chunk < g->channels) { /* `wide` holds int32s here */
                            int32_t *so_far = (int32_t *)(wide + t * wide_step) + o;
                            for (int k = 0; k < OUTPUTS; k++) {
                                if (from) {
                                    sums[k] = _mm256_add_epi32(sums[k], load(so_far + k * stride));
                                }
                                store(so_far + k * stride, sums[k]);
                            }
                        }
                        if (last) {
                            tile_codes8(g, sums, (int8_t *)to + n * map_bytes, top, left, o, norm,
                                        line, scale);
                        }
                    }
                    if (bits > 8 && last && degree == degrees - 1) {
                        tile_codes(g, wide + t * wide_step, to + n * map_bytes, top, left, norm,
                                   scale, totals, bits);
                    }
                }
            }
        }
    }
}

#endif
