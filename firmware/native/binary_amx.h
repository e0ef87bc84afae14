/* Convolutions of binary networks by AMX, the matrix unit of x86-64 servers: 16 x 16 sums of 64
 * products of bytes are one instruction. Part of binary.c.
 *
 * Bits become bytes of 1 and -1. The map does so once for a layer, with zeros around it: padding
 * adds nothing. A tile of inputs is 16 pixels, a tile of weights 16 channels, both 64 inputs of one
 * tap deep. 64 pixels times 16 channels are computed together, in four tiles of sums.
 *
 * A row of pixels that is no multiple of a tile has the map three times, one for each column of a
 * window and as wide as the outputs: then all pixels lie at one distance, and tiles cross rows.
 * Dense layers have one pixel, which fills no tile: binary_lanes.h has them.
 */
#ifndef MTJKIT_BINARY_AMX_H
#define MTJKIT_BINARY_AMX_H

#include "mtjkit.h"

#include "amx_tiles.h"
#include "binary_blocks.h"

enum { MOST_TILES = 9 * 64 }; /* of 16 channels' weights: up to 4,096 input channels */

/* Whether it is for this file: a convolution with more than one pixel. */
static inline int by_amx(const mtj_layer *l) {
    return mtj_level() == 3 && usual(l) && l->kernel_height == 3 && l->kernel_width == 3 &&
           MTJ_STORED(l->output) && l->map_height * l->map_width > 1 &&
           l->in_channels <= DEPTH * MOST_TILES / 9;
}

/* Steps of DEPTH products in one tap; the first layer's taps lie side by side, as one. */
static inline int32_t tap_count(const mtj_layer *l) { return l->index ? 9 : 1; }

static inline int32_t tap_steps(const mtj_layer *l) {
    return by_depth(l->index ? l->in_channels : l->fan_in) / DEPTH;
}

/* Tiles of 16 channels' weights. */
static inline int32_t tile_count(const mtj_layer *l) { return tap_count(l) * tap_steps(l); }

/* Outputs before pooling, in a row and in all. */
static inline int32_t outputs_across(const mtj_layer *l) { return l->map_width << l->pool; }

static inline int32_t all_outputs(const mtj_layer *l) {
    return (l->map_height * l->map_width) << 2 * l->pool;
}

/* Bytes from one pixel's inputs to the next one's: an odd number of cache lines, where they are
 * many, as a power of two would crowd all pixels into few sets of the nearest cache. */
static inline int32_t pixel_bytes(const mtj_layer *l) {
    int32_t steps = tap_steps(l);
    return DEPTH * (steps < 4 ? steps : steps | 1);
}

/* Copies of the map: one for each column of a window, or one for all. */
static inline int32_t map_copies(const mtj_layer *l) {
    return l->index && outputs_across(l) % TILE_ROWS ? 3 : 1;
}

/* ---- weights: thresholds of all channels, then 64 bits for each row of a tile ---- */

static size_t amx_packed_bytes(const mtj_layer *l) {
    return 2 * (size_t)l->out_words *
           (16 * sizeof(int32_t) + tile_count(l) * TILE_ROWS * sizeof(uint64_t));
}

/* Four weights of a channel, from input `from` of a tap on; 0 behind its last word. */
static inline uint64_t four_weights(const mtj_layer *l, const uint32_t *row, int32_t tap,
                                    int32_t from) {
    int32_t inputs = l->index ? 32 * l->in_words : l->fan_in, bit = inputs * tap + from;
    return from < inputs ? row[bit >> 5] >> (bit & 31) & 15 : 0;
}

static void amx_pack(const mtj_layer *l, const uint8_t *model, uint8_t *packed) {
    const uint32_t *weights = (const uint32_t *)(model + l->weights_at);
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    int32_t *limits = (int32_t *)packed, channels = 32 * l->out_words;
    uint64_t *to = (uint64_t *)(limits + channels);
    for (int32_t c = 0; c < channels; c++) {
        limits[c] = c < l->out_channels ? thresholds[c] : INT32_MAX;
    }
    for (int32_t channel = 0; channel < channels; channel += 16) {
        for (int32_t tile = 0; tile < tile_count(l); tile++) {
            int32_t step = tile / tap_count(l), tap = tile % tap_count(l);
            for (int32_t k = 0; k < TILE_ROWS; k++) {
                uint64_t bits = 0;
                for (int32_t n = 0; n < 16 && channel + n < l->out_channels; n++) {
                    const uint32_t *row = weights + (size_t)(channel + n) * l->row_words;
                    bits |= four_weights(l, row, tap, DEPTH * step + 4 * k) << 4 * n;
                }
                *to++ = bits;
            }
        }
    }
}

AMX_INLINE __m512i signs_of(uint64_t bits) {
    return _mm512_mask_blend_epi8(bits, _mm512_set1_epi8(-1), _mm512_set1_epi8(1));
}

/* ---- inputs as bytes ---- */

static inline size_t input_bytes(const mtj_layer *l) {
    int32_t rows = l->index ? l->in_height + 2 * l->padding : all_outputs(l) / outputs_across(l);
    int32_t across = outputs_across(l) + (l->index && map_copies(l) == 1 ? 2 : 0);
    return (size_t)rows * across * pixel_bytes(l);
}

/* The map's bits as bytes of 1 and -1, with zeros around it and behind the last channel: `across`
 * pixels of each row, from column `left` on. */
AMX_INLINE void unpack_map(const mtj_layer *l, const uint32_t *cells, int32_t left, int32_t across,
                           int8_t *to) {
    const int32_t steps = tap_steps(l), border = l->padding, bytes = pixel_bytes(l);
    const __mmask64 last = ~(uint64_t)0 >> (DEPTH * steps - l->in_channels);
    for (int32_t y = -border; y < l->in_height + border; y++) {
        for (int32_t x = left; x < left + across; x++, to += bytes) {
            if (y < 0 || y >= l->in_height || x < 0 || x >= l->in_width) {
                for (int32_t k = 0; k < steps; k++) {
                    _mm512_store_si512(to + DEPTH * k, _mm512_setzero_si512());
                }
                continue;
            }
            const uint32_t *from = cells + ((size_t)y * l->in_width + x) * l->in_words;
            for (int32_t k = 0; k < steps; k++, from += 2) {
                uint64_t bits = from[0];
                if (2 * k + 1 < l->in_words) {
                    bits |= (uint64_t)from[1] << 32;
                }
                _mm512_store_si512(
                    to + DEPTH * k,
                    _mm512_maskz_mov_epi8(k + 1 < steps ? ~(__mmask64)0 : last, signs_of(bits)));
            }
        }
    }
}

/* The windows of the image, row after row: DEPTH bytes a step, zeros behind the last tap. */
AMX_INLINE void unpack_windows(const mtj_layer *l, const int8_t *image, int8_t *to) {
    const int32_t depth = l->in_channels, row = l->in_width * depth, bytes = pixel_bytes(l);
    for (int32_t y = -l->padding; y + 3 <= l->in_height + l->padding; y++) {
        for (int32_t x = -l->padding; x + 3 <= l->in_width + l->padding; x++, to += bytes) {
            const int32_t from = x < 0 ? 0 : x, end = x + 3 < l->in_width ? x + 3 : l->in_width;
            const __mmask64 taken = (((uint64_t)1 << (end - from) * depth) - 1)
                                    << (from - x) * depth;
            if (bytes == DEPTH) {
                __m512i window = _mm512_setzero_si512();
                for (int32_t ky = 0; ky < 3; ky++) {
                    if (y + ky >= 0 && y + ky < l->in_height) {
                        const int8_t *at = image + (y + ky) * row + (x - 3 * ky) * depth;
                        window = _mm512_or_si512(
                            window, _mm512_maskz_loadu_epi8(taken << 3 * ky * depth, at));
                    }
                }
                _mm512_store_si512(to, window);
                continue;
            }
            for (int32_t k = 0; k < bytes; k += DEPTH) {
                _mm512_store_si512(to + k, _mm512_setzero_si512());
            }
            for (int32_t ky = 0; ky < 3; ky++) {
                if (y + ky >= 0 && y + ky < l->in_height) {
                    const int8_t *at = image + (y + ky) * row + x * depth;
                    _mm512_mask_storeu_epi8(to + 3 * ky * depth, taken,
                                            _mm512_maskz_loadu_epi8(taken, at));
                }
            }
        }
    }
}

/* ---- scratch: tiles of weights, inputs, a channel's bits before pooling ---- */

static inline int32_t group_count(const mtj_layer *l) {
    return (all_outputs(l) + 4 * TILE_ROWS - 1) / (4 * TILE_ROWS);
}

/* Tiles that are unpacked before they are read, where an image has one group of pixels. */
enum { AHEAD = 8 };

/* Tiles of the ring for n images. Weights that one group of pixels reads are unpacked a few tiles
 * before; those that more groups of an image read, before the first one. */
static inline int32_t ring_tiles(const mtj_layer *l, uint32_t n) {
    return group_count(l) > 1 ? tile_count(l) : 2 * AHEAD + (n > 1 ? tile_count(l) : 0);
}

/* Bytes of an image's input, and of what a last tile reads behind it. */
static inline size_t image_bytes(const mtj_layer *l) {
    return map_copies(l) * input_bytes(l) + (size_t)TILE_ROWS * pixel_bytes(l);
}

static size_t amx_scratch_bytes(const mtj_layer *l, uint32_t n) {
    return DEPTH + (size_t)ring_tiles(l, n) * TILE_BYTES + n * image_bytes(l) +
           (l->pool ? sizeof(uint16_t) * all_outputs(l) : 0);
}

/* ---- tiles: 0 to 3 hold sums, 4 to 6 inputs, 7 weights; the instructions take numbers ---- */

/* A layer's inputs: bytes from one pixel to the next, from one row to the next, and to the inputs
 * of each tile of weights. */
typedef struct {
    int8_t *at;
    size_t pixel, row;
    int32_t steps;
    uint32_t offsets[MOST_TILES];
} view;

/* Unpack a layer's input to `inputs`. */
AMX_INLINE void unpack_inputs(const mtj_layer *l, const void *source, int8_t *inputs, view *v) {
    const int32_t across = outputs_across(l), copies = map_copies(l), taps = tap_count(l);
    const size_t size = input_bytes(l);
    v->at = inputs, v->pixel = pixel_bytes(l), v->steps = tile_count(l);
    v->row = v->pixel * (across + (l->index && copies == 1 ? 2 : 0));
    for (int32_t k = 0; k < v->steps; k++) {
        const int32_t tap = k % taps, step = k / taps;
        const size_t column = copies == 1 ? v->pixel : size;
        v->offsets[k] = tap / 3 * v->row + tap % 3 * column + DEPTH * step;
    }
    if (!l->index) {
        unpack_windows(l, source, inputs);
    } else if (copies == 1) {
        unpack_map(l, source, -l->padding, across + 2, inputs);
    } else {
        for (int32_t k = 0; k < copies; k++) {
            unpack_map(l, source, k - l->padding, across, inputs + k * size);
        }
    }
}

/* Weights that become tiles while others are multiplied, in a ring. */
typedef struct {
    int8_t *begin, *end, *to;
    const uint64_t *bits;
    int32_t left; /* tiles of the layer to be unpacked */
} ring;

AMX_INLINE void unpack_next(ring *r) {
    if (r->left > 0) {
        const uint64_t *const bits = r->bits;
        int8_t *const to = r->to;
#pragma GCC unroll 16
        for (int32_t row = 0; row < TILE_ROWS; row++) {
            _mm512_store_si512(to + DEPTH * row, signs_of(bits[row]));
        }
        r->left--;
        r->bits = bits + TILE_ROWS;
        r->to = to + TILE_BYTES == r->end ? r->begin : to + TILE_BYTES;
    }
}

/* A tile is stored at least every so many steps: after about 0.6 us without, the next one's store
 * takes 0.3 us on Sapphire Rapids. */
enum { STORED_EVERY = 12 };

/* Sums of four tiles of pixels, which begin at these places, with 16 channels:
 * [tile][pixel][channel]. `spare` has room for a tile. With `unpacks`, as many tiles of weights are
 * unpacked meanwhile as are read. Returns where the next channels' weights are. */
AMX_INLINE const int8_t *multiply_tiles(const view *v, const size_t places[4],
                                        const int8_t *weights, ring *r, int unpacks,
                                        int32_t sums[4][256], int32_t *spare) {
    const size_t pixel = v->pixel;
    __asm__ volatile("" ::: "memory"); /* the instructions do not say what they read and write */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int32_t step = 0; step < v->steps; step++) {
        const int8_t *at = v->at + v->offsets[step];
        _tile_loadd(7, weights, DEPTH);
        _tile_loadd(4, at + places[0], pixel);
        _tile_loadd(5, at + places[1], pixel);
        _tile_dpbssd(0, 4, 7);
        _tile_loadd(6, at + places[2], pixel);
        _tile_dpbssd(1, 5, 7);
        _tile_loadd(4, at + places[3], pixel);
        _tile_dpbssd(2, 6, 7);
        _tile_dpbssd(3, 4, 7);
        weights += TILE_BYTES;
        weights = weights == r->end ? r->begin : weights;
        if (unpacks) {
            unpack_next(r);
        }
        if (step % STORED_EVERY == STORED_EVERY - 1) {
            _tile_stored(7, spare, DEPTH);
        }
    }
    _tile_stored(0, sums[0], DEPTH);
    _tile_stored(1, sums[1], DEPTH);
    _tile_stored(2, sums[2], DEPTH);
    _tile_stored(3, sums[3], DEPTH);
    __asm__ volatile("" ::: "memory");
    return weights;
}

/* ---- layers ---- */

/* Bits of 16 channels as half words, `step` from one pixel to the next. */
AMX_INLINE void store_bits(const int32_t *sums, int32_t pixels, __m512i limits, uint32_t inverted,
                           uint32_t mask, uint16_t *to, size_t step) {
    for (int32_t p = 0; p < pixels; p++, sums += 16, to += step) {
        *to = (_mm512_cmpge_epi32_mask(_mm512_load_si512(sums), limits) ^ inverted) & mask;
    }
}

AMX_INLINE void pool_bits(const mtj_layer *l, const uint16_t *bits, uint16_t *to) {
    const int32_t across = outputs_across(l);
    for (int32_t y = 0; y < l->map_height; y++, bits += 2 * across) {
        for (int32_t x = 0; x < across; x += 2, to += 2 * l->out_words) {
            *to = bits[x] | bits[x + 1] | bits[across + x] | bits[across + x + 1];
        }
    }
}

/* The maps of up to MTJ_TOGETHER images. */
AMX static void amx_maps(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                         uint32_t n, const void *const *sources, uint32_t *const *outs,
                         uint8_t *scratch) {
    const uint16_t *inverted = (const uint16_t *)(model + l->inverted_at);
    const int32_t *limits = (const int32_t *)packed;
    const int32_t across = outputs_across(l), outputs = all_outputs(l), blocks = 2 * l->out_words;
    const int32_t pixels = outputs < TILE_ROWS ? outputs : TILE_ROWS;
    int8_t *const tiles = (int8_t *)(((uintptr_t)scratch + DEPTH - 1) & ~(uintptr_t)(DEPTH - 1));
    int8_t *const inputs = tiles + (size_t)ring_tiles(l, n) * TILE_BYTES;
    uint16_t *const unpooled = (uint16_t *)(inputs + n * image_bytes(l));
    ring r = {tiles, inputs, tiles, (const uint64_t *)(limits + 16 * blocks), 0};
    const int8_t *weights = tiles;
    const int single = group_count(l) == 1;
    int32_t sums[5][256] __attribute__((aligned(64)));
    view v;
    r.left = blocks * tile_count(l);
    for (uint32_t image = 0; image < n; image++) {
        unpack_inputs(l, sources[image], inputs + image * image_bytes(l), &v);
    }
    shape_tiles();
    for (int32_t k = 0; k < AHEAD && single; k++) {
        unpack_next(&r);
    }
    for (int32_t c = 0; c < blocks; c++) {
        const int32_t left = l->out_channels - 16 * c;
        const uint32_t mask = left >= 16 ? 0xffff : left > 0 ? (1u << left) - 1 : 0;
        const __m512i limit = _mm512_loadu_si512(limits + 16 * c);
        const size_t step = l->pool ? 1 : blocks;
        const int8_t *next = weights;
        for (int32_t k = 0; k < v.steps && !single; k++) {
            unpack_next(&r);
        }
        for (uint32_t image = 0; image < n; image++) {
            uint16_t *const out = (uint16_t *)outs[image] + c, *const to = l->pool ? unpooled : out;
            v.at = inputs + image * image_bytes(l);
            for (int32_t p = 0; p < outputs; p += 4 * TILE_ROWS) {
                int32_t starts[4];
                size_t places[4];
                for (int32_t k = 0; k < 4; k++) { /* the last tile ends with the last pixel */
                    const int32_t start = p + k * TILE_ROWS, last = outputs - pixels;
                    starts[k] = start < last ? start : last;
                    places[k] = starts[k] / across * v.row + starts[k] % across * v.pixel;
                }
                next = multiply_tiles(&v, places, weights, &r, single && !image, sums, sums[4]);
                for (int32_t k = 0; k < 4; k++) {
                    store_bits(sums[k], pixels, limit, inverted[c], mask, to + step * starts[k],
                               step);
                }
            }
            if (l->pool) {
                pool_bits(l, unpooled, out);
            }
        }
        weights = next;
    }
    _tile_release();
}

#endif
