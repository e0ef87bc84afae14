/* On hosts only: what the stored bits of a hidden layer hang on, for calibration
 * (mtjkit_host.plan.calibrate). The definition is NumpyLayer.pooled_sums of
 * mtjkit_host.simulate.binary_numpy.
 */
#include "mtjkit.h"

#include "simd.h"

#ifdef MTJ_AVX2
#include "mismatches_avx2.h"

static int takes(const mtj_layer *l) {
    return mtj_level() && l->index && l->reads == MTJ_PACKED && l->map_words && usual(l);
}

static size_t packed_bytes(const mtj_layer *l) { return 128 * (size_t)l->out_words * l->row_words; }

/* Pooled sums of 32 * `vectors` channels; see hidden_block in binary_avx2.h. */
AVX2_INLINE void block_sums(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                            const uint8_t *codes, int32_t block, const int outputs,
                            const int vectors, int16_t *sums) {
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at) + block;
    size_t step = (size_t)l->row_words * 128, nibbles = 8 * (size_t)l->in_words;
    size_t stride = nibbles * (l->in_width + 2 * l->padding);
    size_t row_bytes = 4 * (size_t)(l->kernel_width * l->in_words);
    size_t channels = 32 * (size_t)l->out_words;
    __m256i lowest[2][2]; /* where the smallest sum of a window counts */
    for (int v = 0; v < vectors; v++) {
        int16_t mask[32];
        for (int c = 0; c < 32; c++) {
            mask[c] = inverted[v] >> c & 1 ? -1 : 0;
        }
        lowest[v][0] = _mm256_loadu_si256((const __m256i *)mask);
        lowest[v][1] = _mm256_loadu_si256((const __m256i *)mask + 1);
    }
    packed += block * step, sums += 32 * (size_t)block;
    for (int32_t y = 0; y < l->map_height; y++) {
        for (int32_t x = 0; x < l->map_width; x += l->pool ? 1 : outputs) {
            const quad q = quad_at(l, y, x);
            const uint8_t *windows[4];
            __m256i differ[4][2][2];
            for (int p = 0; p < outputs; p++) {
                windows[p] = codes + q.y[p] * stride + q.x[p] * nibbles;
            }
            count_mismatches(windows, l->kernel_height, row_bytes, stride, packed, step, outputs,
                             vectors, differ);
            for (int v = 0; v < vectors; v++) {
                int16_t *to = sums + (size_t)(y * l->map_width + x) * channels + 32 * v;
                for (int half = 0; half < 2; half++, to += 16) {
                    __m256i least = _mm256_setzero_si256(), most = least;
                    for (int p = 0; p < outputs; p++) {
                        /* Unpacking bytes has left channels 0-7 and 16-23 in the first vector. */
                        __m256i m =
                            half
                                ? _mm256_permute2x128_si256(differ[p][v][0], differ[p][v][1], 0x31)
                                : _mm256_permute2x128_si256(differ[p][v][0], differ[p][v][1], 0x20);
                        int32_t products = l->fan_in - missing_products(l, q.y[p], q.x[p]);
                        __m256i s = _mm256_sub_epi16(_mm256_set1_epi16((int16_t)products),
                                                     _mm256_add_epi16(m, m));
                        if (!l->pool && x + p < l->map_width) {
                            _mm256_storeu_si256((__m256i *)(to + p * channels), s);
                        }
                        least = p ? _mm256_min_epi16(least, s) : s;
                        most = p ? _mm256_max_epi16(most, s) : s;
                    }
                    if (l->pool) {
                        _mm256_storeu_si256((__m256i *)to,
                                            _mm256_blendv_epi8(most, least, lowest[v][half]));
                    }
                }
            }
        }
    }
}

AVX2 static void layer_sums(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                            const uint32_t *cells, int16_t *sums, uint8_t *scratch) {
    int32_t blocks = l->out_words, block = 0;
    int single = l->map_height * l->map_width == 1 && !l->pool;
    frame(l, (const uint8_t *)cells, 4 * (size_t)l->in_words, 1, scratch);
    for (; block + 2 <= blocks; block += 2) {
        if (single) {
            block_sums(l, model, packed, scratch, block, 1, 2, sums);
        } else {
            block_sums(l, model, packed, scratch, block, 4, 2, sums);
        }
    }
    if (block < blocks) {
        if (single) {
            block_sums(l, model, packed, scratch, block, 1, 1, sums);
        } else {
            block_sums(l, model, packed, scratch, block, 4, 1, sums);
        }
    }
}
#endif

size_t mtj_sums_bytes(const mtj_layer *l) {
#ifdef MTJ_AVX2
    if (takes(l)) {
        return packed_bytes(l) + frame_pixels(l) * 8 * l->in_words + 32;
    }
#endif
    (void)l;
    return 0;
}

void mtj_sums(const mtj_layer *l, const uint8_t *model, uint32_t n, const uint32_t *cells,
              int16_t *sums, uint8_t *work) {
#ifdef MTJ_AVX2
    pack_rows(l, model + l->weights_at, work);
    for (; n; n--) {
        layer_sums(l, model, work, cells, sums, work + packed_bytes(l));
        cells += l->in_height * l->in_width * l->in_words;
        sums += 32 * (size_t)l->map_words;
    }
#else
    (void)l, (void)model, (void)n, (void)cells, (void)sums, (void)work;
#endif
}

void mtj_histograms(uint32_t n, uint32_t channels, const int16_t *sums, uint32_t stride,
                    const uint32_t *bits, uint32_t words, int32_t low, uint32_t span,
                    uint32_t *counts) {
    for (; n; n--, sums += stride, bits += words) {
        for (uint32_t c = 0; c < channels; c++) {
            counts[2 * ((size_t)c * span + (uint32_t)(sums[c] - low)) + (*bits >> c & 1)]++;
        }
    }
}
