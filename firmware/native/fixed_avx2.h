/* Codes of 8 bits for x86-64 processors with AVX2, part of fixed.c: straight from int32 sums, and
 * without a division where no tie is near.
 */
#ifndef MTJKIT_FIXED_AVX2_H
#define MTJKIT_FIXED_AVX2_H

#include "mtjkit.h"

#include "simd.h"

AVX2_INLINE __m256i load(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }
AVX2_INLINE void store(void *to, __m256i v) { _mm256_storeu_si256((__m256i *)to, v); }

/* The code of one sum as fixed.c's codes_from computes it; one: the code of 1. */
static int32_t exact_code(const double *norm, int out, int o, double sum, double scale,
                          double one) {
    const double *mean = norm + out, *gamma = mean + out, *std = gamma + out, *beta = std + out;
    double code = rint(((sum * scale - mean[o]) * gamma[o] / std[o] + beta[o]) * one);
    code = code < -one ? -one : code;
    return (int32_t)(code > one - 1 ? one - 1 : code);
}

/* Codes of 8 outputs from output o on, as int32s that are still to be clipped. line: [4][stride]
 * floats: factor and offset of the code, how near a tie it is sure, all bits where gamma is
 * negative. */
AVX2_INLINE __m256i codes_of(__m256i sums, const float *line, ptrdiff_t stride, int o,
                             const double *norm, int out, double scale) {
    const __m256 far = _mm256_set1_ps(160.0f);
    __m256 value = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(line + o)),
                                 _mm256_loadu_ps(line + stride + o));
    /* No larger one has an int32; smaller ones become -2^31. A NaN remains one, and is unsure. */
    value = _mm256_min_ps(far, value);
    __m256 code = _mm256_round_ps(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 apart = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(value, code));
    __m256 sure = _mm256_cmp_ps(apart, _mm256_loadu_ps(line + 2 * stride + o), _CMP_LT_OQ);
    __m256i codes = _mm256_cvtps_epi32(code);
    int unsure = ~_mm256_movemask_ps(sure) & 255;
    if (__builtin_expect(unsure, 0)) {
        int32_t some[8], found[8];
        store(some, sums), store(found, codes);
        for (int k = 0; k < 8 && o + k < out; k++) {
            if (unsure >> k & 1) {
                found[k] = exact_code(norm, out, o + k, some[k], scale, 128);
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

AVX2_INLINE void store_codes(int8_t *to, __m256i codes, int count) { /* clipped */
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

#endif
