/* Layers of binary networks for x86-64 processors with AVX2, part of binary.c.
 *
 * Lanes are output channels. Four outputs are computed at a time: the corners of a pooled pixel, or
 * four neighbours.
 */
#ifndef MTJKIT_BINARY_AVX2_H
#define MTJKIT_BINARY_AVX2_H

#include "mtjkit.h"

#include "binary_blocks.h"
#include "mismatches_avx2.h"
#include "simd.h"

/* ---- repacked weights ---- */

static inline size_t pairs_of(const mtj_layer *l) { return ((size_t)l->fan_in + 1) / 2; }

/* Limits come first: two vectors of 16-bit numbers for every 32 channels, in two versions. */
static inline size_t limits_bytes(const mtj_layer *l) { return 128 * l->out_words; }

static size_t avx2_packed_bytes(const mtj_layer *l) {
    size_t blocks = l->out_words;
    if (!usual(l)) {
        return 0;
    }
    if (l->index == 0) {
        return limits_bytes(l) + blocks * pairs_of(l) * 64;
    }
    return limits_bytes(l) + blocks * l->row_words * 128;
}

/* S = products - 2 * mismatches >= threshold is mismatches <= limit. Where padded taps take an
 * odd number of products away, the limit is the second version's. */
static void pack_limits(const mtj_layer *l, const uint8_t *model, int16_t *limits) {
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    int32_t blocks = l->out_words;
    for (int32_t c = 0; c < 32 * blocks; c++) {
        int64_t slack = c < l->out_channels ? (int64_t)l->fan_in - thresholds[c] : 0;
        /* Unpacking bytes to 16 bits takes 0-7 and 16-23 to the first vector. */
        int32_t lane = (c & ~31) | (c & 8) << 1 | (c & 16) >> 1 | (c & 7);
        limits[lane] = clamp16(slack >> 1, -1);
        limits[lane + 32 * blocks] = clamp16((slack - 1) >> 1, -1);
    }
}

static void avx2_pack(const mtj_layer *l, const uint8_t *model, uint8_t *packed) {
    const uint8_t *weights = model + l->weights_at;
    int32_t channels = 32 * l->out_words;
    uint8_t *to = packed + limits_bytes(l);
    if (l->index == 0) {
        const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
        int16_t *limits = (int16_t *)packed;
        size_t taps = l->fan_in, row = 4 * l->row_words;
        for (int32_t c = 0; c < channels; c++) {
            int inside = c < l->out_channels;
            limits[c] = clamp16(inside ? (int64_t)thresholds[c] - 1 : 0, INT16_MIN);
            for (size_t tap = 0; tap < 2 * pairs_of(l); tap++) {
                size_t at =
                    (c >> 4) * pairs_of(l) * 32 + (tap >> 1) * 32 + (c & 15) * 2 + (tap & 1);
                to[at] = inside && tap < taps ? weights[c * row + (tap >> 3)] >> (tap & 7) & 1 : 0;
            }
        }
        return;
    }
    if (l->map_words) { /* not the last layer */
        pack_limits(l, model, (int16_t *)packed);
    }
    pack_rows(l, weights, to);
}

static size_t avx2_scratch_bytes(const mtj_layer *l) {
    return frame_pixels(l) * (l->index == 0 ? (size_t)l->in_channels : (size_t)8 * l->in_words) +
           32;
}

/* ---- first layer: 16-bit sums of 0/1 weights times int8 pixels, two taps an instruction ---- */

AVX2 static void avx2_first_map(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                                const void *image, uint32_t *out, uint8_t *scratch) {
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    size_t pairs = pairs_of(l), row = (size_t)(l->in_width + 2 * l->padding) * l->in_channels;
    frame(l, image, l->in_channels, 0, scratch);
    for (int32_t y = 0; y < l->map_height; y++) {
        for (int32_t x = 0; x < l->map_width; x += l->pool ? 1 : 4) {
            const quad q = quad_at(l, y, x);
            int16_t taps[4][73]; /* pairs of int8 pixels */
            int16_t total[4];
            for (int k = 0; k < 4; k++) {
                int8_t *to = (int8_t *)taps[k];
                int32_t sum = 0;
                for (int32_t ky = 0; ky < 3; ky++) {
                    const int8_t *from =
                        (const int8_t *)scratch + (q.y[k] + ky) * row + q.x[k] * l->in_channels;
                    for (int32_t i = 0; i < 3 * l->in_channels; i++) {
                        sum += *to++ = *from++;
                    }
                }
                *to = 0; /* the weight of an odd last pair's second tap is 0 */
                total[k] = sum;
            }
            for (int32_t block = 0; block < l->out_words; block++) {
                const __m256i *weights =
                    (const __m256i *)(packed + limits_bytes(l)) + 2 * block * pairs;
                const __m256i *limits = (const __m256i *)packed + 2 * block;
                __m256i sums[4][2];
                uint32_t bits[4];
                for (int half = 0; half < 2; half++) {
                    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
                    for (size_t p = 0; p < pairs; p++) {
                        __m256i w = _mm256_loadu_si256(weights++);
                        s0 = _mm256_add_epi16(
                            s0, _mm256_maddubs_epi16(w, _mm256_set1_epi16(taps[0][p])));
                        s1 = _mm256_add_epi16(
                            s1, _mm256_maddubs_epi16(w, _mm256_set1_epi16(taps[1][p])));
                        s2 = _mm256_add_epi16(
                            s2, _mm256_maddubs_epi16(w, _mm256_set1_epi16(taps[2][p])));
                        s3 = _mm256_add_epi16(
                            s3, _mm256_maddubs_epi16(w, _mm256_set1_epi16(taps[3][p])));
                    }
                    sums[0][half] = s0, sums[1][half] = s1, sums[2][half] = s2, sums[3][half] = s3;
                }
                for (int k = 0; k < 4; k++) {
                    __m256i above[2];
                    for (int half = 0; half < 2; half++) { /* S = 2 * (sum over 1s) - total */
                        __m256i s = _mm256_add_epi16(sums[k][half], sums[k][half]);
                        s = _mm256_sub_epi16(s, _mm256_set1_epi16(total[k]));
                        above[half] = _mm256_cmpgt_epi16(s, _mm256_loadu_si256(limits + half));
                    }
                    __m256i mask = _mm256_packs_epi16(above[0], above[1]);
                    mask = _mm256_permute4x64_epi64(mask, 0xd8);
                    bits[k] = ((uint32_t)_mm256_movemask_epi8(mask) ^ inverted[block]) &
                              block_mask(l, block);
                }
                store_quad(l, out, y, x, block, bits);
            }
        }
    }
}

/* ---- hidden layers ---- */

AVX2_INLINE void hidden_block(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                              const uint8_t *codes, int32_t block, const int outputs,
                              const int vectors, uint32_t *out) {
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    size_t blocks = l->out_words, step = (size_t)l->row_words * 128;
    size_t nibbles = 8 * (size_t)l->in_words;
    size_t stride = nibbles * (l->in_width + 2 * l->padding);
    const uint8_t *weights = packed + limits_bytes(l) + block * step;
    size_t row_bytes = 4 * (size_t)(l->kernel_width * l->in_words);
    for (int32_t y = 0; y < l->map_height; y++) {
        for (int32_t x = 0; x < l->map_width; x += l->pool ? 1 : outputs) {
            const quad q = quad_at(l, y, x);
            const uint8_t *windows[4];
            __m256i sums[4][2][2];
            for (int p = 0; p < outputs; p++) {
                windows[p] = codes + q.y[p] * stride + q.x[p] * nibbles;
            }
            count_mismatches(windows, l->kernel_height, row_bytes, stride, weights, step, outputs,
                             vectors, sums);
            for (int v = 0; v < vectors; v++) {
                uint32_t bits[4];
                for (int p = 0; p < outputs; p++) {
                    int32_t missing = missing_products(l, q.y[p], q.x[p]);
                    const __m256i *limits =
                        (const __m256i *)packed + 2 * ((missing & 1) * blocks + block + v);
                    const __m256i extra = _mm256_set1_epi16((int16_t)(missing >> 1));
                    __m256i above = _mm256_packs_epi16(
                        _mm256_cmpgt_epi16(_mm256_add_epi16(sums[p][v][0], extra),
                                           _mm256_loadu_si256(limits)),
                        _mm256_cmpgt_epi16(_mm256_add_epi16(sums[p][v][1], extra),
                                           _mm256_loadu_si256(limits + 1)));
                    bits[p] = (~(uint32_t)_mm256_movemask_epi8(above) ^ inverted[block + v]) &
                              block_mask(l, block + v);
                }
                if (outputs == 4) {
                    store_quad(l, out, y, x, block + v, bits);
                } else {
                    out[block + v] = bits[0];
                }
            }
        }
    }
}

AVX2 static void avx2_hidden_map(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                                 const void *cells, uint32_t *out, uint8_t *scratch) {
    int32_t blocks = l->out_words, block = 0;
    int single = l->map_height * l->map_width == 1 && !l->pool;
    frame(l, cells, 4 * (size_t)l->in_words, 1, scratch);
    for (; block + 2 <= blocks; block += 2) {
        if (single) {
            hidden_block(l, model, packed, scratch, block, 1, 2, out);
        } else {
            hidden_block(l, model, packed, scratch, block, 4, 2, out);
        }
    }
    if (block < blocks) {
        if (single) {
            hidden_block(l, model, packed, scratch, block, 1, 1, out);
        } else {
            hidden_block(l, model, packed, scratch, block, 4, 1, out);
        }
    }
}

AVX2 static void avx2_scores(const mtj_layer *l, const uint8_t *packed, const uint32_t *cells,
                             int32_t *scores, uint8_t *scratch) {
    size_t row = 4 * (size_t)l->row_words;
    frame(l, (const uint8_t *)cells, 4 * (size_t)l->in_words, 1, scratch);
    for (int32_t block = 0; block < l->out_words; block++) {
        const uint8_t *windows[4] = {scratch};
        int16_t differ[32] __attribute__((aligned(32)));
        __m256i sums[4][2][2];
        count_mismatches(windows, 1, row, 0, packed + limits_bytes(l) + block * row * 32, 0, 1, 1,
                         sums);
        _mm256_store_si256((__m256i *)differ,
                           _mm256_permute2x128_si256(sums[0][0][0], sums[0][0][1], 0x20));
        _mm256_store_si256((__m256i *)differ + 1,
                           _mm256_permute2x128_si256(sums[0][0][0], sums[0][0][1], 0x31));
        for (int32_t c = 0; c < 32 && 32 * block + c < l->out_channels; c++) {
            scores[32 * block + c] = l->fan_in - 2 * differ[c];
        }
    }
}

#endif
