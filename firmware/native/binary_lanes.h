/* Layers of binary networks for processors that count the ones of a vector's lanes: AVX-512 with
 * VPOPCNTDQ (lanes of 8 bytes), NEON and WebAssembly (lanes of 1 byte). Part of binary.c.
 *
 * Lanes are output channels: a piece of the map is broadcast, XORed with that piece of many
 * channels' rows, and the ones are counted and added. Weights are repacked so that piece k of 32
 * channels' rows lie side by side. Padding counts as bits of 0; the mismatches that it adds are
 * known, so each combination of borders has limits of its own. Four outputs are computed at a
 * time: the corners of a pooled pixel, or four neighbours.
 */
#ifndef MTJKIT_BINARY_LANES_H
#define MTJKIT_BINARY_LANES_H

#include "mtjkit.h"

#include "binary_blocks.h"
#include "bits.h"
#include "simd.h"

enum { TOP = 1, BOTTOM = 2, LEFT = 4, RIGHT = 8 }; /* borders that an output's window crosses */

/* ---- AVX-512 ---- */

#ifdef MTJ_AVX512
#define LANES AVX512
#define LANES_INLINE AVX512_INLINE

enum { PIECE = 8, BLOCKS = 1 }; /* bytes of a row in one lane; blocks that are computed together */

/* Mismatches of four windows with BLOCKS times 32 channels: lanes of 64 bits. */
typedef struct {
    __m512i of[4][4];
} lane_sums;

/* XOR a piece of each window, PIECE bytes or the 4 that are left, with 32 channels' weights. */
#define COUNT_PIECE(type, offset)                                                                  \
    do {                                                                                           \
        __m512i w_[4];                                                                             \
        for (int v = 0; v < 4; v++) {                                                              \
            w_[v] = _mm512_loadu_si512(weights + 64 * v);                                          \
        }                                                                                          \
        for (int p = 0; p < outputs; p++) {                                                        \
            const uint32_t *from_ = windows[p] + y * stride + (offset);                            \
            const __m512i x_ = _mm512_set1_epi64(*(const type *)from_);                            \
            for (int v = 0; v < 4; v++) {                                                          \
                sums->of[p][v] = _mm512_add_epi64(                                                 \
                    sums->of[p][v], _mm512_popcnt_epi64(_mm512_xor_si512(w_[v], x_)));             \
            }                                                                                      \
        }                                                                                          \
        weights += 256;                                                                            \
    } while (0)

typedef uint64_t unaligned64 __attribute__((aligned(4), may_alias));

/* windows: first word of each; rows of `row_words` words of which the next lies `stride` further.
 * weights: of the first block; the next one's lie `step` bytes further. */
LANES_INLINE void count_lanes(const uint32_t *const windows[4], size_t rows, size_t row_words,
                              size_t stride, const uint8_t *weights, size_t step, const int outputs,
                              const int blocks, lane_sums *sums) {
    (void)step, (void)blocks; /* always one */
    for (int p = 0; p < outputs; p++) {
        for (int v = 0; v < 4; v++) {
            sums->of[p][v] = _mm512_setzero_si512();
        }
    }
    for (size_t y = 0; y < rows; y++) {
        for (size_t k = 0; k + 2 <= row_words; k += 2) {
            COUNT_PIECE(unaligned64, k);
        }
        if (row_words & 1) {
            COUNT_PIECE(uint32_t, row_words - 1);
        }
    }
}

/* Channels of a block whose mismatches are more than their limits, as 32 bits. */
LANES_INLINE uint32_t lanes_above(const lane_sums *sums, int output, int block,
                                  const int16_t *limits) {
    (void)block;
    uint32_t above = 0;
    for (int v = 0; v < 4; v++) {
        __m512i limit = _mm512_cvtepi16_epi64(_mm_loadu_si128((const __m128i *)(limits + 8 * v)));
        above |= (uint32_t)_mm512_cmpgt_epi64_mask(sums->of[output][v], limit) << 8 * v;
    }
    return above;
}

LANES_INLINE void lane_numbers(const lane_sums *sums, int16_t numbers[32]) {
    for (int v = 0; v < 4; v++) {
        _mm_storeu_si128((__m128i *)(numbers + 8 * v), _mm512_cvtepi64_epi16(sums->of[0][v]));
    }
}

/* First layer: sums of 0/1 weights times pixels, two taps an instruction, 16-bit lanes;
 * S = 2 * (sum over the 1s) - total. Bits of the channels whose S is more than their limits. */
enum {
    FIRST_TAPS = 2,
    FIRST_ONE = 1,
    FIRST_ZERO = 0
}; /* taps side by side; weights of +1 and -1 */

LANES_INLINE void first_lanes(const int8_t taps[4][146], size_t fan_in, const int8_t *weights,
                              const int16_t *limits, uint32_t bits[4]) {
    __m512i sums[4];
    for (int p = 0; p < 4; p++) {
        sums[p] = _mm512_setzero_si512();
    }
    for (size_t tap = 0; tap < fan_in; tap += 2, weights += 64) {
        const __m512i w = _mm512_loadu_si512(weights);
        for (int p = 0; p < 4; p++) {
            int16_t two = (int16_t)((uint8_t)taps[p][tap] | (uint8_t)taps[p][tap + 1] << 8);
            sums[p] = _mm512_add_epi16(sums[p], _mm512_maddubs_epi16(w, _mm512_set1_epi16(two)));
        }
    }
    for (int p = 0; p < 4; p++) {
        int16_t total = 0;
        for (size_t tap = 0; tap < fan_in; tap++) {
            total += taps[p][tap];
        }
        __m512i s = _mm512_sub_epi16(_mm512_add_epi16(sums[p], sums[p]), _mm512_set1_epi16(total));
        bits[p] = _mm512_cmpgt_epi16_mask(s, _mm512_loadu_si512(limits));
    }
}

/* ---- NEON, and WebAssembly's vectors ---- */

#else
#define LANES
#define LANES_INLINE static inline __attribute__((always_inline))

#ifdef MTJ_NEON
typedef uint8x16_t bytes16;
typedef uint16x8_t words8;
#define ZERO_BYTES vdupq_n_u8(0)
#define ZERO_WORDS vdupq_n_u16(0)
#define LOAD_BYTES(at) vld1q_u8(at)
#define SPREAD_BYTE(at) vld1q_dup_u8(at)
#define COUNT_ONES(a, b) vcntq_u8(veorq_u8(a, b))
#define ADD_BYTES(a, b) vaddq_u8(a, b)
#define ADD_LOW(to, bytes) vaddw_u8(to, vget_low_u8(bytes))
#define ADD_HIGH(to, bytes) vaddw_high_u8(to, bytes)
#define STORE_WORDS(at, words) vst1q_s16(at, vreinterpretq_s16_u16(words))
#define ADD_PRODUCTS(to, weights, pixel)                                                           \
    vreinterpretq_u16_s16(vmlal_s8(vreinterpretq_s16_u16(to), vld1_s8(weights), vld1_dup_s8(pixel)))

LANES_INLINE uint32_t eight_above(words8 words, const int16_t *limits) {
    static const uint8_t weights[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    words8 above = vcgtq_s16(vreinterpretq_s16_u16(words), vld1q_s16(limits));
    return vaddv_u8(vand_u8(vmovn_u16(above), vld1_u8(weights)));
}
#else
typedef v128_t bytes16, words8;
#define ZERO_BYTES wasm_i64x2_const(0, 0)
#define ZERO_WORDS wasm_i64x2_const(0, 0)
#define LOAD_BYTES(at) wasm_v128_load(at)
#define SPREAD_BYTE(at) wasm_v128_load8_splat(at)
#define COUNT_ONES(a, b) wasm_i8x16_popcnt(wasm_v128_xor(a, b))
#define ADD_BYTES(a, b) wasm_i8x16_add(a, b)
#define ADD_LOW(to, bytes) wasm_i16x8_add(to, wasm_u16x8_extend_low_u8x16(bytes))
#define ADD_HIGH(to, bytes) wasm_i16x8_add(to, wasm_u16x8_extend_high_u8x16(bytes))
#define STORE_WORDS(at, words) wasm_v128_store(at, words)
#define ADD_PRODUCTS(to, weights, pixel)                                                           \
    wasm_i16x8_add(to, wasm_i16x8_mul(wasm_i16x8_load8x8(weights), wasm_i16x8_splat(*(pixel))))

LANES_INLINE uint32_t eight_above(words8 words, const int16_t *limits) {
    return wasm_i16x8_bitmask(wasm_i16x8_gt(words, wasm_v128_load(limits)));
}
#endif

enum { PIECE = 1, BLOCKS = 2 };

/* Mismatches of four windows with BLOCKS times 32 channels: lanes of 16 bits. */
typedef struct {
    words8 of[4][4 * BLOCKS];
} lane_sums;

LANES_INLINE void count_lanes(const uint32_t *const windows[4], size_t rows, size_t row_words,
                              size_t stride, const uint8_t *weights, size_t step, const int outputs,
                              const int blocks, lane_sums *sums) {
    bytes16 bytes[4][2 * BLOCKS];
    size_t room = 7; /* words: a byte counts to 31 * 8 */
    for (int p = 0; p < outputs; p++) {
        for (int v = 0; v < 4 * blocks; v++) {
            sums->of[p][v] = ZERO_WORDS;
            bytes[p][v / 2] = ZERO_BYTES;
        }
    }
    for (size_t y = 0; y < rows; y++) {
        for (size_t done = 0, end; done < row_words; done = end) {
            end = row_words - done < room ? row_words : done + room;
            room -= end - done;
            const uint8_t *at[4];
            for (int p = 0; p < outputs; p++) {
                at[p] = (const uint8_t *)(windows[p] + y * stride + done);
            }
            for (size_t k = 0; k < 4 * (end - done); k++, weights += 32) {
                bytes16 w[2 * BLOCKS];
                for (int v = 0; v < 2 * blocks; v++) {
                    w[v] = LOAD_BYTES(weights + (v >> 1) * step + 16 * (v & 1));
                }
                for (int p = 0; p < outputs; p++) {
                    const bytes16 x = SPREAD_BYTE(at[p] + k);
                    for (int v = 0; v < 2 * blocks; v++) {
                        bytes[p][v] = ADD_BYTES(bytes[p][v], COUNT_ONES(w[v], x));
                    }
                }
            }
            if (!room || (y + 1 == rows && end == row_words)) {
                for (int p = 0; p < outputs; p++) {
                    for (int v = 0; v < 2 * blocks; v++) {
                        words8 *to = &sums->of[p][2 * v];
                        to[0] = ADD_LOW(to[0], bytes[p][v]);
                        to[1] = ADD_HIGH(to[1], bytes[p][v]);
                        bytes[p][v] = ZERO_BYTES;
                    }
                }
                room = 7;
            }
        }
    }
}

LANES_INLINE uint32_t lanes_above(const lane_sums *sums, int output, int block,
                                  const int16_t *limits) {
    uint32_t above = 0;
    for (int v = 0; v < 4; v++) {
        above |= eight_above(sums->of[output][4 * block + v], limits + 8 * v) << 8 * v;
    }
    return above;
}

LANES_INLINE void lane_numbers(const lane_sums *sums, int16_t numbers[32]) {
    for (int v = 0; v < 4; v++) {
        STORE_WORDS(numbers + 8 * v, sums->of[0][v]);
    }
}

/* First layer: 16-bit sums of weights of 1 and -1 times pixels. */
enum { FIRST_TAPS = 1, FIRST_ONE = 1, FIRST_ZERO = -1 };

LANES_INLINE void first_lanes(const int8_t taps[4][146], size_t fan_in, const int8_t *weights,
                              const int16_t *limits, uint32_t bits[4]) {
    words8 sums[4][4];
    for (int p = 0; p < 4; p++) {
        for (int v = 0; v < 4; v++) {
            sums[p][v] = ZERO_WORDS;
        }
    }
    for (size_t tap = 0; tap < fan_in; tap++, weights += 32) {
        for (int v = 0; v < 4; v++) {
            for (int p = 0; p < 4; p++) {
                sums[p][v] = ADD_PRODUCTS(sums[p][v], weights + 8 * v, taps[p] + tap);
            }
        }
    }
    for (int p = 0; p < 4; p++) {
        bits[p] = 0;
        for (int v = 0; v < 4; v++) {
            bits[p] |= eight_above(sums[p][v], limits + 8 * v) << 8 * v;
        }
    }
}
#endif

/* ---- repacked weights ---- */

/* Limits come first: 16-bit numbers of all channels, for each combination of borders. */
static inline size_t lane_limits(const mtj_layer *l) {
    return (size_t)(l->index && l->padding ? 16 : 1) * 32 * l->out_words;
}

/* A tap row of a hidden layer: words, and bytes of one channel when repacked. */
static inline size_t tap_words(const mtj_layer *l) { return (size_t)l->kernel_width * l->in_words; }

static inline size_t tap_bytes(const mtj_layer *l) {
    return (4 * tap_words(l) + PIECE - 1) & ~(size_t)(PIECE - 1);
}

static inline size_t first_taps(const mtj_layer *l) {
    return ((size_t)l->fan_in + FIRST_TAPS - 1) & ~(size_t)(FIRST_TAPS - 1);
}

static size_t lanes_packed_bytes(const mtj_layer *l) {
    size_t row = l->index ? l->kernel_height * tap_bytes(l) : first_taps(l);
    return usual(l) ? 2 * lane_limits(l) + 32 * l->out_words * row : 0;
}

/* The most mismatches with which S = products - 2 * mismatches reaches the threshold, where taps
 * beyond `borders` are bits of 0. */
static int16_t lane_limit(const mtj_layer *l, const uint32_t *row, int32_t threshold, int borders) {
    int64_t products = 0, mismatches = 0;
    for (int32_t y = 0; y < l->kernel_height; y++) {
        for (int32_t x = 0; x < l->kernel_width; x++, row += l->in_words) {
            if ((borders & TOP && y == 0) || (borders & BOTTOM && y == l->kernel_height - 1) ||
                (borders & LEFT && x == 0) || (borders & RIGHT && x == l->kernel_width - 1)) {
                for (int32_t k = 0; k < l->in_words; k++) {
                    mismatches += popcount(row[k]);
                }
            } else {
                products += l->in_channels;
            }
        }
    }
    return clamp16(((products - threshold) >> 1) + mismatches, -1);
}

static void pack_first_lanes(const mtj_layer *l, const uint8_t *model, uint8_t *packed) {
    const uint8_t *weights = model + l->weights_at;
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    int16_t *limits = (int16_t *)packed;
    int8_t *to = (int8_t *)(packed + 2 * lane_limits(l));
    size_t taps = first_taps(l);
    for (int32_t c = 0; c < 32 * l->out_words; c++) {
        int inside = c < l->out_channels;
        limits[c] = clamp16(inside ? (int64_t)thresholds[c] - 1 : 0, INT16_MIN);
        for (size_t tap = 0; tap < taps; tap++) {
            size_t at = (c >> 5) * taps + (tap & ~(size_t)(FIRST_TAPS - 1));
            int weight = 0;
            if (inside && tap < (size_t)l->fan_in) {
                int one = weights[4 * (size_t)c * l->row_words + (tap >> 3)] >> (tap & 7) & 1;
                weight = one ? FIRST_ONE : FIRST_ZERO;
            }
            to[32 * at + FIRST_TAPS * (c & 31) + (tap & (FIRST_TAPS - 1))] = weight;
        }
    }
}

static void lanes_pack(const mtj_layer *l, const uint8_t *model, uint8_t *packed) {
    if (l->index == 0) {
        pack_first_lanes(l, model, packed);
        return;
    }
    const uint32_t *weights = (const uint32_t *)(model + l->weights_at);
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    int16_t *limits = (int16_t *)packed;
    uint8_t *to = packed + 2 * lane_limits(l);
    size_t channels = 32 * (size_t)l->out_words, versions = lane_limits(l) / channels;
    size_t row = 4 * tap_words(l), padded = tap_bytes(l), all = l->kernel_height * padded;
    for (size_t c = 0; c < channels; c++) {
        const uint32_t *from = weights + c * l->row_words;
        int inside = c < (size_t)l->out_channels;
        for (size_t borders = 0; borders < versions; borders++) {
            limits[borders * channels + c] =
                inside && l->map_words ? lane_limit(l, from, thresholds[c], borders) : 0;
        }
        for (size_t k = 0; k < all; k++) {
            size_t y = k / padded, byte = k % padded;
            int exists = inside && byte < row;
            to[(c >> 5) * all * 32 + (k / PIECE * 32 + (c & 31)) * PIECE + k % PIECE] =
                exists ? ((const uint8_t *)from)[y * row + byte] : 0;
        }
    }
}

/* ---- scratch: the map or the image with its padding around it ---- */

static size_t lanes_scratch_bytes(const mtj_layer *l) {
    size_t pixel = l->index ? 4 * (size_t)l->in_words : (size_t)l->in_channels;
    return l->index && !l->padding ? 0 : frame_pixels(l) * pixel + 8;
}

/* Copy rows of `pixel` bytes a pixel into a frame of zeros. */
static void zero_frame(const mtj_layer *l, const uint8_t *from, size_t pixel, uint8_t *to) {
    size_t border = pixel * l->padding, width = pixel * l->in_width + 2 * border;
    size_t bytes = frame_pixels(l) * pixel;
    if (!border) {
        for (size_t i = 0; i < bytes; i++) {
            to[i] = from[i];
        }
        return;
    }
    for (size_t i = 0; i < bytes; i++) {
        to[i] = 0;
    }
    to += width * l->padding + border;
    for (int32_t y = 0; y < l->in_height; y++, to += width) {
        for (size_t i = 0; i < pixel * l->in_width; i++) {
            to[i] = *from++;
        }
    }
}

/* ---- layers ---- */

LANES static void lanes_first_map(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                                  const void *image, uint32_t *out, uint8_t *scratch) {
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    const int16_t *limits = (const int16_t *)packed;
    const int8_t *weights = (const int8_t *)(packed + 2 * lane_limits(l));
    size_t depth = l->in_channels, row = (size_t)(l->in_width + 2 * l->padding) * depth;
    zero_frame(l, image, depth, scratch);
    for (int32_t y = 0; y < l->map_height; y++) {
        for (int32_t x = 0; x < l->map_width; x += l->pool ? 1 : 4) {
            const quad q = quad_at(l, y, x);
            int8_t taps[4][146]; /* at most 144, and 0 behind them */
            for (int p = 0; p < 4; p++) {
                int8_t *to = taps[p];
                for (int32_t ky = 0; ky < 3; ky++) {
                    const int8_t *from =
                        (const int8_t *)scratch + (q.y[p] + ky) * row + q.x[p] * depth;
                    for (size_t i = 0; i < 3 * depth; i++) {
                        *to++ = *from++;
                    }
                }
                *to = 0;
            }
            for (int32_t block = 0; block < l->out_words; block++) {
                uint32_t bits[4];
                first_lanes(taps, l->fan_in, weights + 32 * block * first_taps(l),
                            limits + 32 * block, bits);
                for (int p = 0; p < 4; p++) {
                    bits[p] = (bits[p] ^ inverted[block]) & block_mask(l, block);
                }
                store_quad(l, out, y, x, block, bits);
            }
        }
    }
}

/* Borders that the window of output (y, x) crosses. */
static inline int borders_at(const mtj_layer *l, int32_t y, int32_t x) {
    if (!l->padding) {
        return 0;
    }
    return (y == 0 ? TOP : 0) | (y == l->in_height - 1 ? BOTTOM : 0) | (x == 0 ? LEFT : 0) |
           (x == l->in_width - 1 ? RIGHT : 0);
}

/* The bits of `blocks` blocks of 32 channels, from `block` on. */
LANES_INLINE void lanes_blocks(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                               const uint32_t *cells, int32_t block, const int blocks,
                               const int outputs, uint32_t *out) {
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    size_t width = (size_t)(l->in_width + 2 * l->padding) * l->in_words;
    size_t step = 32 * l->kernel_height * tap_bytes(l);
    const uint8_t *weights = packed + 2 * lane_limits(l) + block * step;
    for (int32_t y = 0; y < l->map_height; y++) {
        for (int32_t x = 0; x < l->map_width; x += l->pool ? 1 : outputs) {
            const quad q = quad_at(l, y, x);
            const uint32_t *windows[4];
            lane_sums sums;
            for (int p = 0; p < outputs; p++) {
                windows[p] = cells + q.y[p] * width + q.x[p] * (size_t)l->in_words;
            }
            count_lanes(windows, l->kernel_height, tap_words(l), width, weights, step, outputs,
                        blocks, &sums);
            for (int32_t k = 0; k < blocks; k++) {
                uint32_t bits[4];
                for (int p = 0; p < outputs; p++) {
                    size_t at = borders_at(l, q.y[p], q.x[p]) * (size_t)l->out_words + block + k;
                    uint32_t above = lanes_above(&sums, p, k, (const int16_t *)packed + 32 * at);
                    bits[p] = (~above ^ inverted[block + k]) & block_mask(l, block + k);
                }
                if (outputs == 4) {
                    store_quad(l, out, y, x, block + k, bits);
                } else {
                    out[block + k] = bits[0];
                }
            }
        }
    }
}

LANES static void lanes_hidden_map(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                                   const uint32_t *cells, uint32_t *out, uint8_t *scratch) {
    int single = l->map_height * l->map_width == 1 && !l->pool;
    int32_t block = 0;
    if (l->padding) {
        zero_frame(l, (const uint8_t *)cells, 4 * (size_t)l->in_words, scratch);
        cells = (const uint32_t *)scratch;
    }
    for (; block + BLOCKS <= l->out_words; block += BLOCKS) {
        if (single) {
            lanes_blocks(l, model, packed, cells, block, BLOCKS, 1, out);
        } else {
            lanes_blocks(l, model, packed, cells, block, BLOCKS, 4, out);
        }
    }
    for (; block < l->out_words; block++) {
        if (single) {
            lanes_blocks(l, model, packed, cells, block, 1, 1, out);
        } else {
            lanes_blocks(l, model, packed, cells, block, 1, 4, out);
        }
    }
}

/* Whether a layer has one output pixel: a dense one. */
static inline int one_pixel(const mtj_layer *l) {
    return l->index && l->map_height * l->map_width == 1 && !l->pool && !l->padding;
}

#ifdef MTJ_AMX
/* Such a layer's bits of four images, which take its weights from the cache once. */
LANES static void lanes_four_maps(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                                  const void *const *sources, uint32_t *const *outs) {
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    const uint32_t *const windows[4] = {sources[0], sources[1], sources[2], sources[3]};
    size_t width = (size_t)l->in_width * l->in_words;
    size_t step = 32 * l->kernel_height * tap_bytes(l);
    for (int32_t block = 0; block < l->out_words; block++) {
        lane_sums sums;
        count_lanes(windows, l->kernel_height, tap_words(l), width,
                    packed + 2 * lane_limits(l) + block * step, step, 4, 1, &sums);
        for (int k = 0; k < 4; k++) {
            uint32_t above = lanes_above(&sums, k, 0, (const int16_t *)packed + 32 * block);
            outs[k][block] = (~above ^ inverted[block]) & block_mask(l, block);
        }
    }
}
#endif

LANES static void lanes_scores(const mtj_layer *l, const uint8_t *packed, const uint32_t *cells,
                               int32_t *scores) {
    size_t step = 32 * l->kernel_height * tap_bytes(l);
    for (int32_t block = 0; block < l->out_words; block++) {
        const uint32_t *windows[4] = {cells};
        int16_t differ[32];
        lane_sums sums;
        count_lanes(windows, l->kernel_height, tap_words(l), tap_words(l),
                    packed + 2 * lane_limits(l) + block * step, step, 1, 1, &sums);
        lane_numbers(&sums, differ);
        for (int32_t c = 0; c < 32 && 32 * block + c < l->out_channels; c++) {
            scores[32 * block + c] = l->fan_in - 2 * differ[c];
        }
    }
}

#endif
