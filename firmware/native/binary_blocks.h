/* What the vector kernels of binary.c have in common: which layers they take, and their outputs in
 * blocks of 32 channels and groups of four. */
#ifndef MTJKIT_BINARY_BLOCKS_H
#define MTJKIT_BINARY_BLOCKS_H

#include "mtjkit.h"

/* Whether it is a 3x3 convolution of stride 1 with padding 0 or 1 and 2x2 pooling, or a hidden
 * dense layer: mtjkit_core.avx2_kinds.beyond_3x3. All others are left to the portable kernel. */
static int usual(const mtj_layer *l) {
    if ((l->reads != MTJ_INT8 && l->reads != MTJ_PACKED) || l->cells > 1 || l->groups > 1 ||
        l->output == MTJ_CLASS_BITS || l->output == MTJ_AVERAGES) {
        return 0;
    }
    /* Sums of hidden layers are 16-bit; a longer row is left to the portable kernel. */
    if (l->index && l->fan_in > INT16_MAX) {
        return 0;
    }
    int32_t sums_y = l->in_height + 2 * l->padding - l->kernel_height + 1;
    int32_t sums_x = l->in_width + 2 * l->padding - l->kernel_width + 1;
    int pooling = l->pool == 0 || (l->pool == 1 && !((sums_x | sums_y) & 1));
    if (l->index && !l->padding && sums_y == 1 && sums_x == 1 && !l->pool) {
        return 1;
    }
    return l->kernel_height == 3 && l->kernel_width == 3 && l->stride_y == 1 && l->stride_x == 1 &&
           (l->padding == 0 || (l->padding == 1 && !l->pad_value)) && pooling &&
           (l->index || l->in_channels <= 16) && MTJ_STORED(l->output);
}

static inline int16_t clamp16(int64_t v, int64_t lowest) {
    return v < lowest ? lowest : v > INT16_MAX ? INT16_MAX : v;
}

static inline size_t frame_pixels(const mtj_layer *l) {
    return (size_t)(l->in_height + 2 * l->padding) * (l->in_width + 2 * l->padding);
}

/* The four outputs that are computed together: the corners of a pooled pixel, or neighbours. */
typedef struct {
    int32_t y[4], x[4]; /* before pooling */
} quad;

static inline quad quad_at(const mtj_layer *l, int32_t y, int32_t x) {
    quad q;
    for (int32_t k = 0; k < 4; k++) {
        int32_t neighbour = x + k < l->map_width ? x + k : l->map_width - 1;
        q.y[k] = l->pool ? 2 * y + (k >> 1) : y;
        q.x[k] = l->pool ? 2 * x + (k & 1) : neighbour;
    }
    return q;
}

static inline void store_quad(const mtj_layer *l, uint32_t *out, int32_t y, int32_t x,
                              int32_t block, const uint32_t bits[4]) {
    int32_t words = l->out_words;
    out += (size_t)(y * l->map_width + x) * words + block;
    if (l->pool) {
        *out = bits[0] | bits[1] | bits[2] | bits[3];
        return;
    }
    for (int32_t k = 0; k < 4 && x + k < l->map_width; k++) {
        out[k * words] = bits[k];
    }
}

static inline uint32_t block_mask(const mtj_layer *l, int32_t block) {
    uint32_t left = l->out_channels - 32 * block;
    return left < 32 ? (1u << left) - 1 : 0xffffffffu;
}

#endif
