/* Convolutions of packed bits in portable C: eight outputs at a time, by tables, for binary.c.
 *
 * For each four taps a table holds what each of the 16 filters of four bits mismatches, for all
 * eight outputs in byte lanes: one look-up serves 32 products. The tables are made of TABLE_WORDS
 * words of the windows at a time, and looked up for TABLE_CHANNELS channels, whose sums wait in
 * 16-bit lanes. A sum D counts 2 for a mismatch and 1 for a product with 0: D = products - S.
 */
#ifndef MTJKIT_BINARY_OCTETS_H
#define MTJKIT_BINARY_OCTETS_H

#include "bits.h"
#include "mtjkit.h"

enum { OUTPUTS = 8, TABLE_WORDS = 2, TABLE_CHANNELS = 64 };

typedef struct {
    uint32_t low, high; /* outputs 0 to 3, and 4 to 7 */
} octet;

/* Eight outputs: where their windows begin, as row and column and as a word of the map (perhaps
 * beyond it), where their bits go, and their products with 0, in lanes as the sums'. */
typedef struct {
    int32_t top[OUTPUTS], left[OUTPUTS], at[OUTPUTS];
    uint32_t *out[OUTPUTS];
    uint32_t zeros[4];
    int whole; /* all windows lie in the map */
} outputs;

static inline uint32_t table_words(const mtj_layer *l) {
    return l->row_words < TABLE_WORDS ? l->row_words : TABLE_WORDS;
}

static inline uint32_t table_channels(const mtj_layer *l) {
    return l->out_channels < TABLE_CHANNELS ? l->out_channels : TABLE_CHANNELS;
}

static inline size_t octets_bytes(const mtj_layer *l) {
    return 128 * sizeof(octet) * table_words(l) + 16 * ((table_channels(l) + 7) & ~7u);
}

/* Tables of half an octet: 32 taps of four outputs, whose byte lanes in `inside` are 1. */
static HOT void fill_octets(const uint32_t x[4], uint32_t inside, uint32_t *table) {
    const uint8_t *byte = (const uint8_t *)x, *end = byte + 4;
    do {
        uint32_t taps = byte[0] | byte[4] << 8 | byte[8] << 16 | (uint32_t)byte[12] << 24;
        byte++;
        for (uint32_t i = 0; i < 2; i++, taps >>= 4, table += 32) {
            uint32_t d0 = taps & 0x01010101u, d1 = taps >> 1 & 0x01010101u;
            uint32_t d2 = taps >> 2 & 0x01010101u, d3 = taps >> 3 & 0x01010101u;
            uint32_t v = d0 + d1 + d2 + d3;
            /* A filter's 1 takes a mismatch with a 1 away, and adds one with a 0. */
            d0 = inside - 2 * d0;
            d1 = inside - 2 * d1;
            d2 = inside - 2 * d2;
            d3 = inside - 2 * d3;
            table[0] = v;
            table[2] = v += d0;
            table[6] = v += d1;
            table[4] = v -= d0;
            table[12] = v += d2;
            table[14] = v += d0;
            table[10] = v -= d1;
            table[8] = v -= d0;
            table[24] = v += d3;
            table[26] = v += d0;
            table[30] = v += d1;
            table[28] = v -= d0;
            table[20] = v -= d2;
            table[22] = v += d0;
            table[18] = v -= d1;
            table[16] = v -= d0;
        }
    } while (byte != end);
}

/* The tables of word `k` of the tap (ky, kx). */
static HOT void fill_word(const mtj_layer *l, const uint32_t *cells, const outputs *to, int32_t ky,
                          int32_t kx, int32_t k, octet *table) {
    uint32_t x[OUTPUTS], inside[2] = {0x01010101u, 0x01010101u}, beyond = 0;
    if (l->pad_value > 0) {
        beyond = k < l->in_words - 1 ? 0xffffffffu : tail_mask(l->in_channels);
    }
    cells += (ky * l->in_width + kx) * l->in_words + k;
    for (uint32_t p = 0; p < OUTPUTS; p++) {
        uint32_t iy = to->top[p] + ky, ix = to->left[p] + kx;
        if (to->whole || (iy < (uint32_t)l->in_height && ix < (uint32_t)l->in_width)) {
            x[p] = cells[to->at[p]];
            continue;
        }
        x[p] = beyond;
        if (!l->pad_value) {
            inside[p >> 2] &= ~(1u << 8 * (p & 3));
        }
    }
    fill_octets(x, inside[0], &table->low);
    fill_octets(x + 4, inside[1], &table->high);
}

/* Add entry `w` >> 4 k & 15 of table k. */
#ifdef __thumb2__
#define LOOK_UP(k)                                                                                 \
    __asm__("ubfx %2, %5, %7, #4\n\t"                                                              \
            "add %2, %6, %2, lsl #3\n\t"                                                           \
            "ldrd %3, %4, [%2, %8]\n\t"                                                            \
            "add %0, %3\n\t"                                                                       \
            "add %1, %4"                                                                           \
            : "+r"(low), "+r"(high), "=&r"(at), "=&r"(more_low), "=&r"(more_high)                  \
            : "r"(w), "r"(t), "i"(4 * (k)), "i"(128 * (k))                                         \
            : "memory")
#else
#define LOOK_UP(k)                                                                                 \
    do {                                                                                           \
        at = t + (w >> 4 * (k) & 15) + 16 * (k);                                                   \
        more_low = at->low;                                                                        \
        more_high = at->high;                                                                      \
        low += more_low;                                                                           \
        high += more_high;                                                                         \
    } while (0)
#endif

/* Add what `words` words of each row, `step` words apart, mismatch to the sums up to `end`. */
static HOT void add_octets(const octet *table, const uint32_t *row, uint32_t words, uint32_t step,
                           uint32_t *sums, const uint32_t *end) {
    step -= words;
    do {
        const uint32_t *behind = row + words;
        const octet *t = table;
        uint32_t low = 0, high = 0;
        do {
            uint32_t w = *row++, more_low, more_high;
            const octet *at;
            LOOK_UP(0);
            LOOK_UP(1);
            LOOK_UP(2);
            LOOK_UP(3);
            LOOK_UP(4);
            LOOK_UP(5);
            LOOK_UP(6);
            LOOK_UP(7);
            t += 128;
        } while (row != behind);
        sums[0] += (low & 0x00ff00ffu) << 1;
        sums[1] += (low >> 8 & 0x00ff00ffu) << 1;
        sums[2] += (high & 0x00ff00ffu) << 1;
        sums[3] += (high >> 8 & 0x00ff00ffu) << 1;
        sums += 4;
        row += step;
    } while (sums != end);
}

/* Sums that exceed 0x7fff where D exceeds the channel's limit. zeros: products with 0. */
static HOT void start_octets(const int32_t *threshold, int32_t fan_in, const uint32_t zeros[4],
                             uint32_t *sums, const uint32_t *end) {
    uint32_t z0 = zeros[0], z1 = zeros[1], z2 = zeros[2], z3 = zeros[3];
    for (; sums != end; sums += 4) {
        int32_t t = *threshold++;
        t = t > fan_in ? fan_in + 1 : t < -fan_in ? -fan_in : t;
        uint32_t start = (uint32_t)(0x7fff - fan_in + t) * 0x10001u;
        sums[0] = start + z0;
        sums[1] = start + z1;
        sums[2] = start + z2;
        sums[3] = start + z3;
    }
}

/* The sums' highest bits, of four channels in a byte each. */
static HOT uint32_t high_bits(const uint32_t *sums) {
    uint32_t bits = 0;
    for (const uint32_t *end = sums + 16; sums != end; sums += 4) {
        uint32_t v = sums[0] & 0x80008000u;
        v = (sums[1] & 0x80008000u) | v >> 1;
        v = (sums[2] & 0x80008000u) | v >> 1;
        v = (sums[3] & 0x80008000u) | v >> 1;
        bits = ((v | v << 12) & 0xff000000u) | bits >> 8;
    }
    return bits;
}

static inline uint32_t swap_bits(uint32_t v) {
    uint32_t t = (v ^ v >> 7) & 0x00aa00aau;
    v ^= t ^ t << 7;
    t = (v ^ v >> 14) & 0x0000ccccu;
    return v ^ t ^ t << 14;
}

/* The bits of `channels` channels: from byte `at` on of each output's run. */
static HOT void decide_octets(const uint8_t *inverted, const uint32_t *sums, int32_t channels,
                              const outputs *to, uint32_t at) {
    for (; channels > 0; channels -= 8, sums += 32, at++) {
        /* A byte of each channel becomes one of each output. */
        uint32_t x = swap_bits(high_bits(sums)), y = swap_bits(high_bits(sums + 16));
        uint32_t t = (x ^ y << 4) & 0xf0f0f0f0u;
        uint32_t mask = channels < 8 ? 0x01010101u * ((1u << channels) - 1) : 0xffffffffu;
        uint32_t flip = 0x01010101u * inverted[at] ^ 0xffffffffu;
        x = (x ^ t ^ flip) & mask;
        y = (y ^ t >> 4 ^ flip) & mask;
#define STORE(p, bits) ((uint8_t *)to->out[p])[at] = (uint8_t)(bits)
        STORE(0, x);
        STORE(1, x >> 8);
        STORE(4, x >> 16);
        STORE(5, x >> 24);
        STORE(2, y);
        STORE(3, y >> 8);
        STORE(6, y >> 16);
        STORE(7, y >> 24);
#undef STORE
    }
}

/* How many of `size` places from `first` on lie between 0 and `end`. */
static inline int32_t inside_of(int32_t first, int32_t size, int32_t end) {
    int32_t behind = first + size < end ? first + size : end;
    first = first > 0 ? first : 0;
    return behind > first ? behind - first : 0;
}

static HOT void eight_outputs(const mtj_layer *l, const uint8_t *model, const uint32_t *cells,
                              const outputs *to, octet *table) {
    const uint32_t *row = (const uint32_t *)(model + l->weights_at);
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    uint32_t *sums = (uint32_t *)(table + 128 * table_words(l));
    int32_t behind;
    for (int32_t first = 0; first < l->out_channels; first = behind) {
        int32_t ky = 0, kx = 0, k = 0, words;
        behind = first + TABLE_CHANNELS;
        if (behind > l->out_channels) {
            behind = l->out_channels;
        }
        uint32_t *end = sums + 4 * (behind - first);
        start_octets(thresholds + first, l->fan_in, to->zeros, sums, end);
        for (int32_t word = 0; word < l->row_words; word += words) {
            for (words = 0; words < TABLE_WORDS && word + words < l->row_words; words++) {
                fill_word(l, cells, to, ky, kx, k, table + 128 * words);
                if (++k == l->in_words) {
                    k = 0;
                    if (++kx == l->kernel_width) {
                        kx = 0;
                        ky++;
                    }
                }
            }
            add_octets(table, row + word, words, l->row_words, sums, end);
        }
        decide_octets(model + l->inverted_at, sums, behind - first, to, first >> 3);
        row += TABLE_CHANNELS * l->row_words;
    }
}

static NOINLINE void octets_map(const mtj_layer *l, const uint8_t *model, const uint32_t *cells,
                                uint32_t *out, octet *table) {
    outputs to;
    int32_t y = 0, x = 0, taps = l->kernel_height * l->kernel_width;
    int32_t pixels = l->map_height * l->map_width;
    for (int32_t i = 0; i < l->map_words; i++) {
        out[i] = 0;
    }
    while (pixels > 0) {
        to.zeros[0] = to.zeros[1] = to.zeros[2] = to.zeros[3] = 0;
        to.whole = 1;
        for (int32_t p = 0; p < OUTPUTS; p++) {
            int32_t top = y * l->stride_y - l->pad_top, left = x * l->stride_x - l->pad_left;
            int32_t beyond = taps - inside_of(top, l->kernel_height, l->in_height) *
                                        inside_of(left, l->kernel_width, l->in_width);
            to.top[p] = top;
            to.left[p] = left;
            to.at[p] = (top * l->in_width + left) * l->in_words;
            to.out[p] = out;
            if (beyond) {
                to.whole = 0;
            }
            if (!l->pad_value) {
                to.zeros[(p >> 1 & 2) | (p & 1)] += beyond * l->in_channels << 8 * (p & 2);
            }
            if (pixels > 1) { /* else the last one again */
                pixels--;
                out += l->out_words;
                if (++x == l->map_width) {
                    x = 0;
                    y++;
                }
            } else if (p == OUTPUTS - 1) {
                pixels = 0;
            }
        }
        eight_outputs(l, model, cells, &to, table);
    }
}

#endif
