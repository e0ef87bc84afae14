/* The layers of binary networks in portable C99, for microcontrollers and as the fallback
 * elsewhere.
 *
 * Hidden layers count mismatches with carry-save adders (Harley-Seal): eight words cost seven
 * full adders of five logical operations, and one popcount. A pooled bit is an OR, so the sums
 * after the first 1 are not computed. No division, 64-bit arithmetic or library call is used:
 * native .mpy modules have none on small cores.
 */
#include "mtjkit.h"

#include "bits.h"
#include "simd.h"

#ifdef MTJ_AVX2
#include "binary_avx2.h"
#endif
#ifdef MTJ_LANES
#include "binary_lanes.h"
#endif
#ifdef MTJ_AMX
#include "binary_amx.h"
#endif

#define NOINLINE __attribute__((noinline))
/* What takes the time, whoever calls it. */
#define HOT __attribute__((noinline, hot))
/* On boards compiled for size: it runs seldom, or for kinds of layers that few networks have. */
#if defined(MTJ_AVX2) || defined(MTJ_NEON)
#define SMALL NOINLINE
#else
#define SMALL __attribute__((noinline, cold))
#endif

#include "binary_octets.h"

/* ---- counting ---- */

#if defined(MTJ_MVE)

#include "binary_mve.h"

#elif defined(MTJ_POPCOUNT)

/* Popcount of (x ^ w) over n words; with `mask`, of (x ^ w) & mask. A processor that counts a
 * word's ones by itself needs no adders. */
static inline __attribute__((always_inline)) uint32_t count(const uint32_t *x, const uint32_t *w,
                                                            const uint32_t *mask, uint32_t n) {
    uint32_t total = 0;
#define ADD_WORDS(k)                                                                               \
    do {                                                                                           \
        _Pragma("GCC unroll 18") for (uint32_t i = 0; i < (k); i++) {                              \
            total += popcount(mask ? (x[i] ^ w[i]) & mask[i] : x[i] ^ w[i]);                       \
        }                                                                                          \
        n -= (k), x += (k), w += (k), mask = mask ? mask + (k) : mask;                             \
    } while (n >= (k))
    if (n >= 18) {
        ADD_WORDS(18); /* rows of 3x3 taps */
    }
    if (n >= 4) {
        ADD_WORDS(4);
    }
    if (n) {
        ADD_WORDS(1);
    }
#undef ADD_WORDS
    return total;
}

#else

/* Full adder on 32 lanes: `sum` += a + b, the carry out. */
#define ADD2(carry, sum, a, b)                                                                     \
    do {                                                                                           \
        uint32_t a_ = (a), b_ = (b);                                                               \
        uint32_t half_ = (sum) ^ a_;                                                               \
        carry = ((sum) & a_) | (half_ & b_);                                                       \
        sum = half_ ^ b_;                                                                          \
    } while (0)

/* Half adder: `sum` += a, the carry out. */
#define ADD1(carry, sum, a)                                                                        \
    do {                                                                                           \
        uint32_t a_ = (a);                                                                         \
        carry = (sum) & a_;                                                                        \
        sum ^= a_;                                                                                 \
    } while (0)

/* Popcount of (x ^ w) over n words; with `mask`, of (x ^ w) & mask. */
static inline __attribute__((always_inline)) uint32_t count(const uint32_t *x, const uint32_t *w,
                                                            const uint32_t *mask, uint32_t n) {
#define DIFFER(d0, d1) /* the next two words */                                                    \
    do {                                                                                           \
        uint32_t x0_, x1_, w0_, w1_;                                                               \
        next_pair(&x, &x0_, &x1_);                                                                 \
        next_pair(&w, &w0_, &w1_);                                                                 \
        d0 = x0_ ^ w0_;                                                                            \
        d1 = x1_ ^ w1_;                                                                            \
        if (mask) {                                                                                \
            next_pair(&mask, &x0_, &x1_);                                                          \
            d0 &= x0_;                                                                             \
            d1 &= x1_;                                                                             \
        }                                                                                          \
        n -= 2;                                                                                    \
    } while (0)
#define ADD4(carry) /* four words; the carry counts fours */                                       \
    do {                                                                                           \
        uint32_t t0_, t1_, d0_, d1_;                                                               \
        DIFFER(d0_, d1_);                                                                          \
        ADD2(t0_, ones, d0_, d1_);                                                                 \
        DIFFER(d0_, d1_);                                                                          \
        ADD2(t1_, ones, d0_, d1_);                                                                 \
        ADD2(carry, twos, t0_, t1_);                                                               \
    } while (0)
    uint32_t ones = 0, twos = 0, fours = 0, eights = 0, sixteens = 0, total = 0;
    uint32_t carry, f0, f1;
    if (n >= 32) {
        /* Long rows: the sixteens are counted byte by byte as they come. */
        while (n >= 16) {
            uint32_t words = n < 496 ? n & ~15u : 496; /* a byte counts to 31 * 8 */
            const uint32_t *end = x + words;
            uint32_t bytes = 0, left = n - words;
            do {
                uint32_t e0, e1;
                ADD4(f0);
                ADD4(f1);
                ADD2(e0, fours, f0, f1);
                ADD4(f0);
                ADD4(f1);
                ADD2(e1, fours, f0, f1);
                ADD2(carry, eights, e0, e1);
                bytes += byte_counts(carry);
            } while (x != end);
            n = left;
            total += sum_bytes(bytes) << 4;
        }
    } else if (n >= 8 && !mask) {
        ADD4(f0);
        ADD4(f1);
        ADD2(eights, fours, f0, f1);
    }
    while (n >= 8) {
        ADD4(f0);
        ADD4(f1);
        ADD2(carry, fours, f0, f1);
        ADD1(f0, eights, carry);
        sixteens |= f0; /* fewer than 32 words are left: one carry at most */
    }
    /* Of what is left, one lane's carries into the eights are one at most: 7 + 7 < 16. */
    if (n) {
        uint32_t last = 0;
        if (n & 4) {
            ADD4(f0);
            ADD1(last, fours, f0);
        }
        if (n & 2) {
            uint32_t d0, d1;
            DIFFER(d0, d1);
            ADD2(f0, ones, d0, d1);
            ADD1(f1, twos, f0);
            ADD1(carry, fours, f1);
            last |= carry;
        }
        if (n & 1) {
            ADD1(f0, ones, mask ? (*x ^ *w) & *mask : *x ^ *w);
            ADD1(f1, twos, f0);
            ADD1(carry, fours, f1);
            last |= carry;
        }
        ADD1(carry, eights, last);
        sixteens |= carry;
    }
#undef DIFFER
#undef ADD4
    /* Pairs of planes in nibbles (12 at most), then all in bytes (248 at most). */
    ones = nibble_counts(pair_counts(ones));
    twos = nibble_counts(pair_counts(twos));
    fours = nibble_counts(pair_counts(fours));
    eights = nibble_counts(pair_counts(eights));
    ones += twos << 1;
    fours += eights << 1;
    ones = (ones & 0x0f0f0f0fu) + (ones >> 4 & 0x0f0f0f0fu);
    fours = (fours & 0x0f0f0f0fu) + (fours >> 4 & 0x0f0f0f0fu);
    ones += fours << 2;
    if (sixteens) {
        ones += byte_counts(sixteens) << 4;
    }
    return total + sum_bytes(ones);
}

#endif

#if defined(MTJ_MVE) || defined(MTJ_POPCOUNT)

static NOINLINE uint32_t mismatches(const uint32_t *x, const uint32_t *w, uint32_t n) {
    return count(x, w, NULL, n);
}

/* In the loops that run most, the call would cost as much as three words. */
#ifdef MTJ_MVE
#define MISMATCHES(x, w, n) ((n) == 18 ? count(x, w, NULL, 18) : mismatches(x, w, n))
#else
#define MISMATCHES(x, w, n) count(x, w, NULL, n)
#endif

#elif defined(__ARM_ARCH_6M__)

#define MTJ_THUMB1
#include "binary_thumb1.h"

static inline uint32_t mismatches(const uint32_t *x, const uint32_t *w, uint32_t n) {
    return n < 256 ? short_mismatches(x, w, n) : long_mismatches(x, w, n);
}

#define MISMATCHES mismatches

#else

static NOINLINE uint32_t mismatches(const uint32_t *x, const uint32_t *w, uint32_t n) {
    /* The shortest rows, 3x3 taps of 32 or 64 channels, without loops and tests. */
    return n == 9 ? count(x, w, NULL, 9) : n == 18 ? count(x, w, NULL, 18) : count(x, w, NULL, n);
}

#define MISMATCHES mismatches

#endif

#ifndef MTJ_THUMB1

/* x has no ones beyond the mask. */
static NOINLINE uint32_t masked_mismatches(const uint32_t *x, const uint32_t *w,
                                           const uint32_t *mask, uint32_t n) {
    return count(x, w, mask, n);
}

#endif

/* How a layer is computed: by tables of its pixels' sums, by the words of its input, or value by
 * value. */
enum { BY_TABLES, BY_WORDS, BY_VALUES };

static SMALL int how(const mtj_layer *l) {
    if (l->cells > 1 || l->groups > 1) {
        return BY_VALUES;
    }
    if (l->reads == MTJ_PACKED) {
        return BY_WORDS;
    }
    /* A table's sums have 16 bits. */
    return l->reads == MTJ_INT8 && MTJ_STORED(l->output) && l->fan_in < 256 ? BY_TABLES : BY_VALUES;
}

/* ---- first layer: int8 pixels ---- */

/* Tables of partial sums: entry i of a group is the signed sum of its four taps with the signs
 * of i's four bits. Every entry carries two sums, of two neighbouring outputs, as low + 65536 *
 * high: |sum| <= 144 * 128 fits 16 bits. */
static HOT void fill_tables(const int32_t *taps, uint32_t groups, int32_t *table) {
    for (; groups--; taps += 4, table += 16) {
        int32_t twice[4], sum = 0;
        for (uint32_t k = 0; k < 4; k++) {
            sum -= taps[k];
            twice[k] = 2 * taps[k];
        }
        table[0] = sum;
        table[1] = sum + twice[0];
        for (uint32_t i = 0; i < 2; i++) {
            table[2 + i] = table[i] + twice[1];
        }
        for (uint32_t i = 0; i < 4; i++) {
            table[4 + i] = table[i] + twice[2];
        }
        for (uint32_t i = 0; i < 8; i++) {
            table[8 + i] = table[i] + twice[3];
        }
    }
}

/* Taps of the outputs (y, x) and (y, right), before pooling, as pairs. */
static HOT void gather_pixels(const mtj_layer *l, const int8_t *image, int32_t y, int32_t x,
                              int32_t right, int32_t *taps) {
    int32_t depth = l->in_channels, columns = (right - x) * l->stride_x, step = columns * depth;
    int32_t left = x * l->stride_x - l->pad_left, end = left + l->kernel_width;
    int32_t iy = y * l->stride_y - l->pad_top;
    for (int32_t ky = l->kernel_height; ky; ky--, iy++) {
        const int8_t *at = image + (iy * l->in_width + left) * depth;
        int inside = iy >= 0 && iy < l->in_height;
        if (inside && left >= 0 && end + columns <= l->in_width) {
            for (int32_t n = l->kernel_width * depth; n; n--, at++) {
                *taps++ = at[0] + at[step] * 65536;
            }
            continue;
        }
        for (int32_t ix = left; ix < end; ix++) {
            int32_t other = ix + columns;
            int has_low = inside && ix >= 0 && ix < l->in_width;
            int has_high = inside && other >= 0 && other < l->in_width;
            for (int32_t n = depth; n; n--, at++) {
                *taps++ =
                    (has_low ? at[0] : l->pad_value) + (has_high ? at[step] : l->pad_value) * 65536;
            }
        }
    }
}

/* Bits of 32 or fewer channels of two neighbouring outputs, before inversion. */
static inline __attribute__((always_inline)) void
table_bits(const int32_t *table, uint32_t row_words, const uint32_t *rows,
           const int32_t *thresholds, uint32_t channels, uint32_t bits[2]) {
    uint32_t left = 0, right = 0;
    for (uint32_t bit = 1; channels; channels--, bit <<= 1) {
        const int32_t *t = table;
        int32_t threshold = *thresholds++;
        int32_t sum = 0;
        for (uint32_t n = row_words; n; n--, t += 128) {
            uint32_t row = *rows++;
#ifdef __riscv /* no load scales its index, but it adds a constant */
#define ENTRY(group, offset)                                                                       \
    (*(const int32_t *)((const char *)(t + 16 * (group)) + ((offset) & 60)))
            sum += ENTRY(0, row << 2) + ENTRY(1, row >> 2) + ENTRY(2, row >> 6);
            sum += ENTRY(3, row >> 10) + ENTRY(4, row >> 14) + ENTRY(5, row >> 18);
            sum += ENTRY(6, row >> 22) + ENTRY(7, row >> 26);
#undef ENTRY
#else
            sum += t[row & 15] + (t + 16)[row >> 4 & 15] + (t + 32)[row >> 8 & 15];
            sum += (t + 48)[row >> 12 & 15] + (t + 64)[row >> 16 & 15];
            sum += (t + 80)[row >> 20 & 15] + (t + 96)[row >> 24 & 15] + (t + 112)[row >> 28];
#endif
        }
        int32_t low = (int16_t)sum;
        if (low >= threshold) {
            left |= bit;
        }
        if ((sum - low) >> 16 >= threshold) {
            right |= bit;
        }
    }
    bits[0] = left;
    bits[1] = right;
}

static HOT void first_bits(const int32_t *table, uint32_t row_words, const uint32_t *rows,
                           const int32_t *thresholds, uint32_t channels, uint32_t bits[2]) {
#ifdef MTJ_MVE
    if (row_words == 1) { /* the taps lie before the tables */
        mve_first_bits(table - 32, rows, thresholds, channels, bits);
        return;
    }
#endif
#ifdef __riscv
    if (row_words == 1) { /* 3x3 pixels of three channels, without a loop */
        table_bits(table, 1, rows, thresholds, channels, bits);
        return;
    }
#endif
    table_bits(table, row_words, rows, thresholds, channels, bits);
}

static NOINLINE void first_map(const mtj_layer *l, const uint8_t *model, const int8_t *image,
                               uint32_t *out, void *scratch) {
    uint32_t groups = ((uint32_t)l->fan_in + 3) >> 2; /* of four taps */
    uint32_t out_words = l->out_words;
    const uint32_t *rows = (const uint32_t *)(model + l->weights_at);
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    int32_t *taps = scratch;
    int32_t *table = taps + 32 * l->row_words;
    uint32_t pixels = l->map_height * l->map_width * out_words;
    int32_t pooled = l->pool_height * l->pool_width > 1;
    for (int32_t i = 0; i < 160 * l->row_words; i++) {
        taps[i] = 0; /* what is beyond fan_in stays so */
    }
    for (uint32_t i = 0; i < pixels; i++) {
        out[i] = 0;
    }
    /* Two sums at a time: neighbours of a pooling window, or else of the map. */
    int32_t width = pooled ? l->pool_width : l->map_width;
    int32_t windows = pooled ? l->map_width : 1, across = pooled ? 1 : l->pool_stride_x;
    for (int32_t row = 0; row < l->map_height; row++) {
        for (int32_t window = 0; window < windows; window++) {
            for (int32_t i = 0; i < l->pool_height; i++) {
                int32_t y = row * l->pool_stride_y + i, left = window * l->pool_stride_x;
                for (int32_t x = 0; x < width; x += 2) {
                    int32_t right = x + 1 < width ? x + 1 : x;
                    uint32_t *at = out + (row * l->map_width + (pooled ? window : x)) * out_words;
                    gather_pixels(l, image, y, left + x * across, left + right * across, taps);
#ifdef MTJ_MVE
                    if (l->row_words > 1)
#endif
                        fill_tables(taps, groups, table);
                    for (uint32_t word = 0; word < out_words; word++) {
                        uint32_t channels = l->out_channels - 32 * word;
                        uint32_t mask = tail_mask(channels);
                        uint32_t bits[2];
                        if (channels > 32) {
                            channels = 32;
                            mask = 0xffffffffu;
                        }
                        first_bits(table, l->row_words, rows + 32 * word * l->row_words,
                                   thresholds + 32 * word, channels, bits);
                        at[word] |= (bits[0] ^ inverted[word]) & mask;
                        if (right != x) {
                            at[(pooled ? 0 : out_words) + word] |=
                                (bits[1] ^ inverted[word]) & mask;
                        }
                    }
                }
            }
        }
    }
}

/* ---- all other layers: windows ---- */

/* The inputs of one output as the weights' rows lie, and how many products the sum has. In words,
 * with a mask where some inputs are 0; or as values, and then perhaps as eight planes of bits. */
typedef struct {
    const uint32_t *words;
    const uint32_t *mask; /* NULL: no input is 0 */
    int32_t products;     /* of planes: the sum of the values */
    const int16_t *taps;  /* NULL: words */
} window;

/* Taps beyond the map are 0, so that windows need masks. */
static SMALL int has_masks(const mtj_layer *l) { return l->padding && !l->pad_value; }

/* The inputs of output (y, x), in place or copied to `words`, with their mask behind them. */
static void gather(const mtj_layer *l, const uint32_t *cells, int32_t y, int32_t x, uint32_t *words,
                   window *into) {
    int32_t top = y * l->stride_y - l->pad_top, left = x * l->stride_x - l->pad_left;
    int32_t beyond = 0, last = l->in_words - 1;
    uint32_t fill = l->pad_value > 0 ? 0xffffffffu : 0, masks = has_masks(l);
    uint32_t *mask = words + l->row_words;
    into->words = words;
    into->mask = NULL;
    into->taps = NULL;
    if (l->kernel_height == 1 && top >= 0 && top < l->in_height && left >= 0 &&
        left + l->kernel_width <= l->in_width) {
        into->words = cells + (top * l->in_width + left) * l->in_words;
        into->products = l->fan_in;
        return;
    }
    for (int32_t iy = top; iy < top + l->kernel_height; iy++) {
        for (int32_t ix = left; ix < left + l->kernel_width; ix++) {
            int inside = iy >= 0 && iy < l->in_height && ix >= 0 && ix < l->in_width;
            const uint32_t *from = cells + (iy * l->in_width + ix) * l->in_words;
            beyond += !inside;
            for (int32_t k = 0; k <= last; k++) {
                *words++ = inside ? from[k] : k < last ? fill : fill & tail_mask(l->in_channels);
            }
            for (int32_t k = 0; masks && k <= last; k++) {
                *mask++ = inside ? 0xffffffffu : 0;
            }
        }
    }
    into->products = l->fan_in;
    if (masks && beyond) {
        into->products -= beyond * l->in_channels;
        into->mask = into->words + l->row_words;
    }
}

/* The value of an input: channel c of a pixel that lies in the map. */
static SMALL int32_t value_of(const mtj_layer *l, const void *source, int32_t pixel, int32_t c) {
    if (l->reads == MTJ_PACKED) {
        const uint32_t *run = (const uint32_t *)source + pixel * l->in_words;
        return run[c >> 5] >> (c & 31) & 1 ? 1 : -1;
    }
    if (l->reads == MTJ_NUMBERS) {
        return ((const int16_t *)source)[pixel * l->in_channels + c];
    }
    int32_t value = ((const int8_t *)source)[pixel * l->in_channels + c];
    return l->reads == MTJ_INT8 ? value : value > 0 ? 1 : l->reads == MTJ_PLUS_MINUS ? -1 : 0;
}

/* Of `n` channels those of one group. */
static SMALL int32_t of_group(const mtj_layer *l, int32_t n) {
    int32_t channels = l->groups == 1 ? n : 0;
    for (; l->groups > 1 && n > 0; n -= l->groups) {
        channels++;
    }
    return channels;
}

/* The inputs of a group's outputs (y, x) as values. Where one bit is multiplied they become words:
 * values of -1, 0 and 1 bits and a mask, others eight planes. `work`: see values_bytes. */
static SMALL void gather_values(const mtj_layer *l, const void *source, int32_t y, int32_t x,
                                int32_t group, uint32_t *work, window *into) {
    int32_t depth = of_group(l, l->in_channels), row = l->row_words, least = 0, most = 0, zeros = 0;
    int32_t top = y * l->stride_y - l->pad_top, left = x * l->stride_x - l->pad_left;
    int16_t *taps = (int16_t *)(work + 8 * row), *tap = taps;
    into->words = work;
    into->mask = work;
    into->products = 0;
    into->taps = taps;
    for (int32_t iy = top; iy < top + l->kernel_height; iy++) {
        for (int32_t ix = left; ix < left + l->kernel_width; ix++) {
            int inside = iy >= 0 && iy < l->in_height && ix >= 0 && ix < l->in_width;
            for (int32_t c = group * depth; c < (group + 1) * depth; c++) {
                int32_t v = inside ? value_of(l, source, iy * l->in_width + ix, c) : l->pad_value;
                *tap++ = v;
                into->products += v;
                zeros += !v;
                least = v < least ? v : least;
                most = v > most ? v : most;
            }
        }
    }
    if (l->cells > 1 || l->reads == MTJ_NUMBERS) {
        return;
    }
    for (int32_t k = 0; k < 8 * row; k++) {
        work[k] = 0;
    }
    if (least >= -1 && most <= 1) {
        for (int32_t k = 0; k < l->fan_in; k++) {
            work[k >> 5] |= (uint32_t)(taps[k] > 0) << (k & 31);
            work[row + (k >> 5)] |= (uint32_t)(taps[k] != 0) << (k & 31);
        }
        into->products = l->fan_in - zeros;
        into->mask = zeros ? work + row : NULL;
        into->taps = NULL;
        return;
    }
    for (int32_t k = 0; k < l->fan_in; k++) {
        for (int32_t plane = 0; plane < 8; plane++) {
            work[plane * row + (k >> 5)] |= (uint32_t)(taps[k] >> plane & 1) << (k & 31);
        }
    }
}

/* The signed sum of a window that has values. */
static SMALL int32_t value_sum(const mtj_layer *l, const window *v, const uint32_t *row) {
    int32_t sum = 0;
    const int16_t *tap = v->taps;
    if (l->cells > 1) {
        for (int32_t k = 0; k < l->fan_in; k++) {
            sum += tap[k] * ((const int8_t *)row)[k];
        }
        return sum;
    }
    if (l->reads == MTJ_NUMBERS) { /* a run for each pixel */
        for (int32_t k = l->kernel_height * l->kernel_width; k; k--, row += l->in_words) {
            for (int32_t c = 0; c < l->in_channels; c++, tap++) {
                sum += row[c >> 5] >> (c & 31) & 1 ? *tap : -*tap;
            }
        }
        return sum;
    }
    for (int32_t plane = 7; plane >= 0;
         plane--) { /* two's complement: the highest one counts -128 */
        const uint32_t *words = v->words + plane * l->row_words;
        int32_t differ = masked_mismatches(words, row, words, l->row_words);
        sum = 2 * sum + (plane == 7 ? -differ : differ);
    }
    return v->products - 2 * sum;
}

static inline __attribute__((always_inline)) int32_t sum_of(const mtj_layer *l, const window *v,
                                                            const uint32_t *row, uint32_t n) {
    if (!v->mask) {
        return v->products - 2 * (int32_t)mismatches(v->words, row, n);
    }
    return v->taps ? value_sum(l, v, row)
                   : v->products - 2 * (int32_t)masked_mismatches(v->words, row, v->mask, n);
}

/* Channels `first` to `behind` - 1 of one pixel: the OR over the windows up to `end`. With
 * `complete`, all inputs of all windows count. */
static inline __attribute__((always_inline)) void
channels_of(const mtj_layer *l, const uint8_t *model, const window *windows, const window *end,
            uint32_t first, uint32_t behind, uint32_t *out, int complete) {
    uint32_t n = l->row_words, bit = 1u << (first & 31);
    const uint32_t *row = (const uint32_t *)(model + l->weights_at) + first * n;
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at) + first;
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at) + (first >> 5);
    const int32_t *last = thresholds + (behind - first);
    out += first >> 5;
    while (thresholds < last) {
        uint32_t invert = *inverted++, word = bit > 1 ? *out : 0;
        do {
            int32_t threshold = *thresholds++;
            /* An inverted bit is 1 where S < threshold. */
            uint32_t below = invert & bit ? 1 : 0;
            for (const window *v = windows; v < end; v++) {
                int32_t sum = complete ? v->products - 2 * (int32_t)MISMATCHES(v->words, row, n)
                                       : sum_of(l, v, row, n);
                if ((sum < threshold) == below) {
                    word |= bit;
                    break;
                }
            }
            row += n;
            bit <<= 1;
        } while (bit && thresholds < last);
        *out++ = word;
        bit = 1;
    }
}

static NOINLINE void pixel(const mtj_layer *l, const uint8_t *model, const window *windows,
                           const window *end, uint32_t first, uint32_t behind, uint32_t *out) {
#if defined(MTJ_MVE) || defined(MTJ_POPCOUNT)
    const window *v = windows;
    while (v < end && !v->mask) {
        v++;
    }
    if (v == end) {
        channels_of(l, model, windows, end, first, behind, out, 1);
        return;
    }
#endif
    channels_of(l, model, windows, end, first, behind, out, 0);
}

#if defined(__thumb2__) && !defined(MTJ_MVE)
#include "binary_thumb2.h"
#else
#define short_rows(l, model, windows, end, out) 0
#endif

/* The same of one window whose inputs all count, of all channels. */
static HOT void single_window(const mtj_layer *l, const uint8_t *model, const window *v,
                              uint32_t *out) {
    const uint32_t *row = (const uint32_t *)(model + l->weights_at), *x = v->words;
    const int32_t *threshold = (const int32_t *)(model + l->thresholds_at);
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    int32_t products = v->products;
    uint32_t n = l->row_words;
    for (int32_t left = l->out_channels; left > 0; left -= 32) {
        uint32_t word = 0, bit = 1, end = left < 32 ? 1u << left : 0;
        do {
            if (products - 2 * (int32_t)MISMATCHES(x, row, n) >= *threshold++) {
                word |= bit;
            }
            row += n;
            bit <<= 1;
        } while (bit != end);
        *out++ = word ^ (*inverted++ & (end - 1));
    }
}

static SMALL int is_dense(const mtj_layer *l) {
    return l->kernel_height == l->in_height && l->kernel_width == l->in_width && !l->padding;
}

/* The bits of an output pixel (y, x), of all channels, before pooling; value by value. */
static SMALL void pixel_by_values(const mtj_layer *l, const uint8_t *model, const void *source,
                                  int32_t y, int32_t x, uint32_t *work, uint32_t *out) {
    uint32_t per_group = of_group(l, l->out_channels);
    window v;
    for (int32_t group = 0; group < l->groups; group++) {
        gather_values(l, source, y, x, group, work, &v);
        pixel(l, model, &v, &v + 1, group * per_group, (group + 1) * per_group, out);
    }
}

/* Windows that are kept at a time: pooling stops at the first one whose bit is 1. */
static SMALL uint32_t kept_windows(const mtj_layer *l) {
    uint32_t windows = l->pool_height * l->pool_width;
    return l->output == MTJ_AVERAGES || how(l) == BY_VALUES ? 1 : windows < 4 ? windows : 4;
}

/* Words of one pixel's bits that wait: of windows beyond the first ones, and of averages. */
static SMALL uint32_t waiting_words(const mtj_layer *l) {
    uint32_t windows = l->pool_height * l->pool_width;
    return windows > kept_windows(l) || l->output == MTJ_AVERAGES ? l->out_words : 0;
}

static SMALL void window_map(const mtj_layer *l, const uint8_t *model, const void *source,
                             uint32_t *out, uint32_t *scratch) {
    uint32_t kept = kept_windows(l), size = (uint32_t)l->row_words << has_masks(l);
    int32_t values = how(l) == BY_VALUES, pool = l->pool_height * l->pool_width;
    uint32_t *bits = scratch;
    window windows[4];
    scratch += waiting_words(l);
    if (!values && is_dense(l)) { /* its one window is the map itself */
        window whole = {source, NULL, l->fan_in, NULL};
        windows[0] = whole;
    }
    int16_t *average = (int16_t *)out;
    for (int32_t y = 0; y < l->map_height; y++) {
        for (int32_t x = 0; x < l->map_width; x++) {
            int32_t wy = 0, wx = 0;
            for (int32_t c = 0; l->output == MTJ_AVERAGES && c < l->out_channels; c++) {
                average[c] = -pool;
            }
            for (int32_t done = 0; done < pool;) {
                uint32_t *into = done || l->output == MTJ_AVERAGES ? bits : out;
                uint32_t k = 0;
                for (; k < kept && done < pool; k++, done++) {
                    int32_t sy = y * l->pool_stride_y + wy, sx = x * l->pool_stride_x + wx;
                    if (values) {
                        pixel_by_values(l, model, source, sy, sx, scratch, into);
                    } else if (!is_dense(l)) {
                        gather(l, source, sy, sx, scratch + k * size, &windows[k]);
                    }
                    if (++wx == l->pool_width) {
                        wx = 0;
                        wy++;
                    }
                }
                if (values || short_rows(l, model, windows, windows + k, into)) {
                    /* the bits are there */
                } else if (k == 1 && !windows[0].mask) {
                    single_window(l, model, windows, into);
                } else {
                    pixel(l, model, windows, windows + k, 0, l->out_channels, into);
                }
                if (l->output == MTJ_AVERAGES) {
                    for (int32_t c = 0; c < l->out_channels; c++) {
                        average[c] += bits[c >> 5] >> (c & 31) & 1 ? 2 : 0;
                    }
                } else if (into == bits) {
                    for (int32_t w = 0; w < l->out_words; w++) {
                        out[w] |= bits[w];
                    }
                }
            }
            average += l->out_channels;
            out += l->out_words;
        }
    }
    if (l->output == MTJ_AVERAGES && (uintptr_t)average & 2) {
        *average = 0; /* up to a whole word */
    }
}

/* Whether a layer is for binary_octets.h: a convolution of short rows, where adders save little.
 * With pooling, they spare the windows after the first 1. */
static SMALL int by_octets(const mtj_layer *l) {
    return how(l) == BY_WORDS && l->row_words <= 8 && MTJ_STORED(l->output) &&
           l->map_height * l->map_width > 3 && l->pool_height * l->pool_width == 1;
}

/* ---- the interface ---- */

size_t mtj_packed_bytes(const mtj_layer *l) {
#ifdef MTJ_AMX
    if (by_amx(l)) {
        return amx_packed_bytes(l);
    }
#endif
#ifdef MTJ_LANES
    if (has_lanes()) {
        return lanes_packed_bytes(l);
    }
#endif
#ifdef MTJ_AVX2
    if (mtj_level()) {
        return avx2_packed_bytes(l);
    }
#endif
    (void)l;
    return 0;
}

void mtj_pack(const mtj_layer *l, const uint8_t *model, uint8_t *packed) {
#ifdef MTJ_AMX
    if (l->packed_at >= 0 && by_amx(l)) {
        amx_pack(l, model, packed + l->packed_at);
        return;
    }
#endif
#ifdef MTJ_LANES
    if (l->packed_at >= 0 && has_lanes()) {
        lanes_pack(l, model, packed + l->packed_at);
        return;
    }
#endif
#ifdef MTJ_AVX2
    if (l->packed_at >= 0) {
        avx2_pack(l, model, packed + l->packed_at);
    }
#endif
    (void)l, (void)model, (void)packed;
}

SMALL size_t mtj_scratch_bytes(const mtj_layer *l) {
#ifdef MTJ_AMX
    if (by_amx(l)) {
        return amx_scratch_bytes(l, 1);
    }
#endif
#ifdef MTJ_LANES
    if (has_lanes() && usual(l)) {
        return lanes_scratch_bytes(l);
    }
#endif
#ifdef MTJ_AVX2
    if (mtj_packed_bytes(l)) {
        return avx2_scratch_bytes(l);
    }
#endif
    if (by_octets(l)) {
        return octets_bytes(l);
    }
    size_t row = 4 * (size_t)l->row_words, bits = 4 * waiting_words(l);
    switch (how(l)) {
    case BY_TABLES:
        return 160 * row; /* 8 groups of 4 taps and 16 sums */
    case BY_VALUES:
        return bits + 8 * row + 2 * (((size_t)l->fan_in + 1) & ~1);
    default:
        return is_dense(l) ? bits : bits + (row << has_masks(l)) * kept_windows(l);
    }
}

/* The map before its sign mask. */
static inline __attribute__((always_inline)) void
unsigned_map(const mtj_layer *l, const uint8_t *model, const uint8_t *packed, const void *source,
             uint32_t *out, void *scratch) {
#ifdef MTJ_AMX
    if (l->packed_at >= 0 && by_amx(l)) {
        amx_maps(l, model, packed + l->packed_at, 1, &source, &out, scratch);
        return;
    }
#endif
#ifdef MTJ_LANES
    if (l->packed_at >= 0 && has_lanes()) {
        if (l->index == 0) {
            lanes_first_map(l, model, packed + l->packed_at, source, out, scratch);
        } else {
            lanes_hidden_map(l, model, packed + l->packed_at, source, out, scratch);
        }
        return;
    }
#endif
#ifdef MTJ_AVX2
    if (l->packed_at >= 0) {
        if (l->index == 0) {
            avx2_first_map(l, model, packed + l->packed_at, source, out, scratch);
        } else {
            avx2_hidden_map(l, model, packed + l->packed_at, source, out, scratch);
        }
        return;
    }
#endif
    (void)packed;
    if (how(l) == BY_TABLES) {
        first_map(l, model, source, out, scratch);
    } else if (by_octets(l)) {
        octets_map(l, model, source, out, scratch);
    } else {
        window_map(l, model, source, out, scratch);
    }
}

static void sign_map(const mtj_layer *l, const uint8_t *model, uint32_t *out) {
    if (l->output == MTJ_SIGNED) {
        const uint32_t *signs = (const uint32_t *)(model + l->inverted_at) + l->out_words;
        for (const uint32_t *end = out + l->map_words; out < end;) {
            for (int32_t w = 0; w < l->out_words; w++) {
                *out++ ^= signs[w];
            }
        }
    }
}

void mtj_map(const mtj_layer *l, const uint8_t *model, const uint8_t *packed, const void *source,
             uint32_t *out, void *scratch) {
    unsigned_map(l, model, packed, source, out, scratch);
    sign_map(l, model, out);
}

#ifdef MTJ_AMX
size_t mtj_maps_bytes(const mtj_layer *l, uint32_t n) {
    return by_amx(l) ? amx_scratch_bytes(l, n) : mtj_scratch_bytes(l);
}

void mtj_maps(const mtj_layer *l, const uint8_t *model, const uint8_t *packed, uint32_t n,
              const void *const *sources, uint32_t *const *outs, void *scratch) {
    const int matrix = l->packed_at >= 0 && by_amx(l);
    const int dense = l->packed_at >= 0 && has_lanes() && one_pixel(l) && n == 4;
    if (n && (matrix || dense)) {
        if (matrix) {
            amx_maps(l, model, packed + l->packed_at, n, sources, outs, scratch);
        } else {
            lanes_four_maps(l, model, packed + l->packed_at, sources, outs);
        }
        for (uint32_t k = 0; k < n; k++) {
            sign_map(l, model, outs[k]);
        }
        return;
    }
    for (uint32_t k = 0; k < n; k++) {
        mtj_map(l, model, packed, sources[k], outs[k], scratch);
    }
}
#endif

void mtj_scores(const mtj_layer *l, const uint8_t *model, const uint8_t *packed, const void *source,
                int32_t *scores, void *scratch) {
    const uint32_t *row = (const uint32_t *)(model + l->weights_at);
#ifdef MTJ_LANES
    if (l->packed_at >= 0 && has_lanes()) {
        lanes_scores(l, packed + l->packed_at, source, scores);
        return;
    }
#endif
#ifdef MTJ_AVX2
    if (l->packed_at >= 0) {
        avx2_scores(l, packed + l->packed_at, source, scores, scratch);
        return;
    }
#endif
    (void)packed;
    window v = {source, NULL, l->fan_in, NULL};
    if (how(l) != BY_WORDS) {
        gather_values(l, source, 0, 0, 0, scratch, &v);
    }
    if (l->output == MTJ_CLASS_BITS) {
        uint32_t *bits = (uint32_t *)scores; /* they become scores from the last one on */
        pixel(l, model, &v, &v + 1, 0, l->out_channels, bits);
        for (int32_t c = l->out_channels - 1; c >= 0; c--) {
            scores[c] = bits[c >> 5] >> (c & 31) & 1 ? 1 : -1;
        }
        return;
    }
    for (int32_t c = 0; c < l->out_channels; c++, row += l->row_words) {
        scores[c] = sum_of(l, &v, row, l->row_words);
    }
}

/* ---- the memory, by layers ---- */

void mtj_write(const mtj_layer *l, uint32_t *cells, const uint32_t *intended, uint32_t state[32],
               const mtj_write_errors *errors, uint32_t counts[MTJ_COUNTS]) {
    mtj_write_run(cells, intended, 0, l->map_words, l->out_words, l->out_channels, state, errors,
                  counts);
}

void mtj_program(const mtj_layer *l, uint8_t *model, uint32_t state[32],
                 const mtj_write_errors *errors, uint32_t counts[MTJ_COUNTS]) {
    uint32_t *cells = (uint32_t *)(model + l->weights_at);
    mtj_write_run(cells, cells, 1, l->weight_words, l->run_words, l->run_bits, state, errors,
                  counts);
}
