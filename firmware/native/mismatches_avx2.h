/* Counting mismatches with AVX2, for binary_avx2.h and sums.c.
 *
 * Lanes are output channels. Four bits of the map select a row of a 16-byte table, the number of
 * mismatches with each of the 16 possible weight nibbles, and one shuffle looks up 32 channels:
 * 128 products an instruction. Weights are repacked so that byte k of 32 channels' rows lie side
 * by side. Padding has a table row of zeros.
 */
#ifndef MTJKIT_MISMATCHES_AVX2_H
#define MTJKIT_MISMATCHES_AVX2_H

#include "mtjkit.h"

#include "binary_blocks.h"
#include "simd.h"

#define PAD 32 /* a nibble of padding; a nibble n of the map is 2n */

/* Mismatches of a nibble with weights 0 .. 15; the last row is padding's. Row of nibble n: 16n. */
#define ROW(n)                                                                                     \
    ONES(n ^ 0), ONES(n ^ 1), ONES(n ^ 2), ONES(n ^ 3), ONES(n ^ 4), ONES(n ^ 5), ONES(n ^ 6),     \
        ONES(n ^ 7), ONES(n ^ 8), ONES(n ^ 9), ONES(n ^ 10), ONES(n ^ 11), ONES(n ^ 12),           \
        ONES(n ^ 13), ONES(n ^ 14), ONES(n ^ 15)
#define ONES(v) (((v) & 1) + ((v) >> 1 & 1) + ((v) >> 2 & 1) + ((v) >> 3 & 1))
static const uint8_t mismatch_table[17 * 16] __attribute__((aligned(16))) = {
    ROW(0), ROW(1), ROW(2),  ROW(3),  ROW(4),  ROW(5),  ROW(6),  ROW(7),
    ROW(8), ROW(9), ROW(10), ROW(11), ROW(12), ROW(13), ROW(14), ROW(15),
};

/* Repack the weights of a hidden layer's rows: 32 * out_words times 4 * row_words bytes. */
static inline void pack_rows(const mtj_layer *l, const uint8_t *weights, uint8_t *to) {
    int32_t channels = 32 * l->out_words;
    size_t row = 4 * (size_t)l->row_words;
    for (int32_t c = 0; c < channels; c++) {
        for (size_t k = 0; k < row; k++) {
            to[(c >> 5) * row * 32 + k * 32 + (c & 31)] =
                c < l->out_channels ? weights[c * row + k] : 0;
        }
    }
}

/* ---- scratch: the map as nibbles, or the image, with its padding around it ---- */

/* Copy rows of `in` bytes a pixel into a frame of `padding` pixels; nibbles: doubled to 2 * `in`.
 */
AVX2 static void frame(const mtj_layer *l, const uint8_t *from, size_t pixel, int nibbles,
                       uint8_t *to) {
    size_t border = (pixel << nibbles) * l->padding;
    size_t width = (pixel << nibbles) * l->in_width + 2 * border;
    uint8_t fill = nibbles ? PAD : 0;
    const __m128i low = _mm_set1_epi8(15);
    for (size_t i = 0; i < width * l->padding; i++) {
        to[i] = fill;
        to[width * (l->in_height + l->padding) + i] = fill;
    }
    to += width * l->padding;
    for (int32_t y = 0; y < l->in_height; y++) {
        size_t bytes = pixel * l->in_width;
        for (size_t i = 0; i < border; i++) {
            *to++ = fill;
        }
        if (nibbles) {
            for (; bytes; bytes -= 4, from += 4, to += 8) { /* 4 bytes are 8 nibbles */
                __m128i v = _mm_cvtsi32_si128(*(const int32_t *)from);
                v = _mm_unpacklo_epi8(_mm_and_si128(v, low),
                                      _mm_and_si128(_mm_srli_epi16(v, 4), low));
                _mm_storel_epi64((__m128i *)to, _mm_add_epi8(v, v));
            }
        } else {
            for (; bytes; bytes--) {
                *to++ = *from++;
            }
        }
        for (size_t i = 0; i < border; i++) {
            *to++ = fill;
        }
    }
}

/* Mismatches of `outputs` windows with 32 * `vectors` channels, as 16-bit numbers.
 *
 * codes: each window's first nibble; rows: kernel rows, `row_bytes` bytes of weights each, their
 * nibbles `stride` apart; weights: `step` bytes from one 32 channels to the next.
 */
AVX2_INLINE void count_mismatches(const uint8_t *const codes[4], size_t rows, size_t row_bytes,
                                  size_t stride, const uint8_t *weights, size_t step,
                                  const int outputs, const int vectors, __m256i sums[4][2][2]) {
    const __m256i low = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    __m256i bytes[4][2];
    size_t room = 31; /* a byte counts to 31 * 8 */
    for (int p = 0; p < outputs; p++) {
        for (int v = 0; v < vectors; v++) {
            bytes[p][v] = sums[p][v][0] = sums[p][v][1] = zero;
        }
    }
    for (size_t y = 0; y < rows; y++) {
        size_t done = 0;
        while (done < row_bytes) {
            size_t end = row_bytes - done < room ? row_bytes : done + room;
            const uint8_t *at[4];
            room -= end - done;
            for (int p = 0; p < outputs; p++) {
                at[p] = codes[p] + y * stride;
            }
            for (size_t k = done; k < end; k++) {
                __m256i w[2][2];
                for (int v = 0; v < vectors; v++) {
                    __m256i both = _mm256_loadu_si256((const __m256i *)(weights + v * step));
                    w[v][0] = _mm256_and_si256(both, low);
                    w[v][1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
                }
                weights += 32;
                for (int p = 0; p < outputs; p++) {
                    for (int half = 0; half < 2; half++) {
                        const uint8_t *entry = mismatch_table + 8 * (size_t)at[p][2 * k + half];
                        __m256i row =
                            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)entry));
                        for (int v = 0; v < vectors; v++) {
                            bytes[p][v] =
                                _mm256_add_epi8(bytes[p][v], _mm256_shuffle_epi8(row, w[v][half]));
                        }
                    }
                }
            }
            done = end;
            if (!room || (y + 1 == rows && done == row_bytes)) {
                for (int p = 0; p < outputs; p++) {
                    for (int v = 0; v < vectors; v++) {
                        sums[p][v][0] = _mm256_add_epi16(sums[p][v][0],
                                                         _mm256_unpacklo_epi8(bytes[p][v], zero));
                        sums[p][v][1] = _mm256_add_epi16(sums[p][v][1],
                                                         _mm256_unpackhi_epi8(bytes[p][v], zero));
                        bytes[p][v] = zero;
                    }
                }
                room = 31;
            }
        }
    }
}

/* Products that the padding takes away from output (y, x)'s sum. */
static inline int32_t missing_products(const mtj_layer *l, int32_t y, int32_t x) {
    int32_t rows = l->kernel_height, columns = l->kernel_width;
    if (l->padding) {
        rows -= (y == 0) + (y == l->in_height - 1);
        columns -= (x == 0) + (x == l->in_width - 1);
    }
    return (l->kernel_height * l->kernel_width - rows * columns) * l->in_channels;
}

#endif
