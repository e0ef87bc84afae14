/* The layers of binary networks in portable C99, for microcontrollers and as the fallback
 * elsewhere.
 *
 * Hidden layers count mismatches with carry-save adders (Harley-Seal): eight words cost seven
 * full adders of five logical operations, and one popcount. A pooled bit is an OR, so the sums
 * after the first 1 are not computed. No division, 64-bit arithmetic or library call is used:
 * native .mpy modules have none on small cores.
 */
#include "mtjkit.h"

#include "avx2.h"
#include "bits.h"

#ifdef MTJ_AVX2
#include "binary_avx2.h"
#endif

#define NOINLINE __attribute__((noinline))

/* ---- counting ---- */

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
#define DIFFER(i) (mask ? (x[i] ^ w[i]) & mask[i] : x[i] ^ w[i])
#define ADVANCE(k) (n -= (k), x += (k), w += (k), mask = mask ? mask + (k) : mask)
#define ADD4(carry) /* four words; the carry counts fours */                                       \
    do {                                                                                           \
        uint32_t t0_, t1_;                                                                         \
        ADD2(t0_, ones, DIFFER(0), DIFFER(1));                                                     \
        ADD2(t1_, ones, DIFFER(2), DIFFER(3));                                                     \
        ADD2(carry, twos, t0_, t1_);                                                               \
        ADVANCE(4);                                                                                \
    } while (0)
    uint32_t ones = 0, twos = 0, fours = 0, eights = 0, sixteens = 0, total = 0;
    uint32_t carry, f0, f1;
    if (n >= 32) {
        /* Long rows: the eights are counted byte by byte as they come. */
        while (n >= 8) {
            uint32_t blocks = n >> 3 < 31 ? n >> 3 : 31; /* a byte counts to 31 * 8 */
            uint32_t bytes = 0;
            do {
                ADD4(f0);
                ADD4(f1);
                ADD2(carry, fours, f0, f1);
                bytes += byte_counts(carry);
            } while (--blocks);
            total += sum_bytes(bytes) << 3;
        }
    } else if (n >= 8) {
        ADD4(f0);
        ADD4(f1);
        ADD2(eights, fours, f0, f1);
        while (n >= 8) {
            ADD4(f0);
            ADD4(f1);
            ADD2(carry, fours, f0, f1);
            ADD1(f0, eights, carry);
            sixteens |= f0; /* fewer than 32 words: one carry at most */
        }
    }
    /* Of what is left, one lane's carries into the eights are one at most: 7 + 7 < 16. */
    if (n) {
        uint32_t last = 0;
        if (n & 4) {
            ADD4(f0);
            ADD1(last, fours, f0);
        }
        if (n & 2) {
            ADD2(f0, ones, DIFFER(0), DIFFER(1));
            ADD1(f1, twos, f0);
            ADD1(carry, fours, f1);
            last |= carry;
            ADVANCE(2);
        }
        if (n & 1) {
            ADD1(f0, ones, DIFFER(0));
            ADD1(f1, twos, f0);
            ADD1(carry, fours, f1);
            last |= carry;
        }
        ADD1(carry, eights, last);
        sixteens |= carry;
    }
#undef DIFFER
#undef ADVANCE
#undef ADD4
    /* Pairs of planes in nibbles (12 at most), then all in bytes (248 at most). */
    ones -= ones >> 1 & 0x55555555u;
    twos -= twos >> 1 & 0x55555555u;
    fours -= fours >> 1 & 0x55555555u;
    eights -= eights >> 1 & 0x55555555u;
    ones = (ones & 0x33333333u) + (ones >> 2 & 0x33333333u);
    twos = (twos & 0x33333333u) + (twos >> 2 & 0x33333333u);
    fours = (fours & 0x33333333u) + (fours >> 2 & 0x33333333u);
    eights = (eights & 0x33333333u) + (eights >> 2 & 0x33333333u);
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

static NOINLINE uint32_t mismatches(const uint32_t *x, const uint32_t *w, uint32_t n) {
    /* The shortest rows, 3x3 taps of 32 or 64 channels, without loops and tests. */
    return n == 9 ? count(x, w, NULL, 9) : n == 18 ? count(x, w, NULL, 18) : count(x, w, NULL, n);
}

static NOINLINE uint32_t masked_mismatches(const uint32_t *x, const uint32_t *w,
                                           const uint32_t *mask, uint32_t n) {
    return count(x, w, mask, n);
}

/* ---- first layer: int8 pixels ---- */

/* Tables of partial sums: entry i of a group is the signed sum of its four taps with the signs
 * of i's four bits. Every entry carries two sums, of two neighbouring outputs, as low + 65536 *
 * high: |sum| <= 144 * 128 fits 16 bits. */
static NOINLINE void fill_tables(const int32_t *taps, uint32_t groups, int32_t *table) {
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
static NOINLINE void gather_pixels(const mtj_layer *l, const int8_t *image, int32_t y, int32_t x,
                                   int32_t right, int32_t *taps) {
    int32_t depth = l->in_channels, step = (right - x) * depth;
    int32_t left = x - l->padding;
    for (int32_t iy = y - l->padding; iy < y - l->padding + 3; iy++) {
        const int8_t *at = image + (iy * l->in_width + left) * depth;
        int inside = iy >= 0 && iy < l->in_height;
        if (inside && left >= 0 && right - l->padding + 3 <= l->in_width) {
            for (int32_t n = 3 * depth; n; n--, at++) {
                *taps++ = at[0] + at[step] * 65536;
            }
            continue;
        }
        for (int32_t ix = left; ix < left + 3; ix++) {
            int32_t other = ix + right - x;
            int has_low = inside && ix >= 0 && ix < l->in_width;
            int has_high = inside && other >= 0 && other < l->in_width;
            for (int32_t n = depth; n; n--, at++) {
                *taps++ = (has_low ? at[0] : 0) + (has_high ? at[step] : 0) * 65536;
            }
        }
    }
}

/* Bits of 32 or fewer channels of two neighbouring outputs, before inversion. */
static NOINLINE void first_bits(const int32_t *table, uint32_t row_words, const uint32_t *rows,
                                const int32_t *thresholds, uint32_t channels, uint32_t bits[2]) {
    uint32_t left = 0, right = 0;
    for (uint32_t bit = 1; channels; channels--, bit <<= 1) {
        const int32_t *t = table;
        int32_t threshold = *thresholds++;
        int32_t sum = 0;
        for (uint32_t n = row_words; n; n--, t += 128) {
            uint32_t row = *rows++;
            sum += t[row & 15] + (t + 16)[row >> 4 & 15] + (t + 32)[row >> 8 & 15];
            sum += (t + 48)[row >> 12 & 15] + (t + 64)[row >> 16 & 15];
            sum += (t + 80)[row >> 20 & 15] + (t + 96)[row >> 24 & 15] + (t + 112)[row >> 28];
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

static void first_map(const mtj_layer *l, const uint8_t *model, const int8_t *image, uint32_t *out,
                      void *scratch) {
    uint32_t groups = ((uint32_t)l->fan_in + 3) >> 2; /* of four taps */
    uint32_t out_words = l->out_words;
    const uint32_t *rows = (const uint32_t *)(model + l->weights_at);
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    int32_t *taps = scratch;
    int32_t *table = taps + 32 * l->row_words;
    int32_t height = l->map_height << l->pool;
    int32_t width = l->map_width << l->pool;
    for (int32_t i = 0; i < 160 * l->row_words; i++) {
        taps[i] = 0; /* what is beyond fan_in stays so */
    }
    for (int32_t y = 0; y < height; y++) {
        for (int32_t x = 0; x < width; x += 2) {
            int32_t right = x + 1 < width ? x + 1 : x;
            uint32_t *at = out + ((y >> l->pool) * l->map_width + (x >> l->pool)) * out_words;
            gather_pixels(l, image, y, x, right, taps);
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
                bits[0] = (bits[0] ^ inverted[word]) & mask;
                bits[1] = (bits[1] ^ inverted[word]) & mask;
                if (l->pool) {
                    at[word] = (y & 1 ? at[word] : 0) | bits[0] | bits[1];
                } else {
                    at[word] = bits[0];
                    if (right != x) {
                        at[out_words + word] = bits[1];
                    }
                }
            }
        }
    }
}

/* ---- hidden layers: packed maps ---- */

/* One output's inputs as the weights' rows lie: words of the map (and a mask where some taps
 * are padding), and how many products the sum has. */
typedef struct {
    const uint32_t *words;
    const uint32_t *mask; /* NULL: all taps lie inside the map */
    int32_t products;
} window;

/* Copy the inputs of output (y, x) to `words`, and with padding their mask behind them. */
static void gather(const mtj_layer *l, const uint32_t *cells, int32_t y, int32_t x, uint32_t *words,
                   window *into) {
    int32_t taps = 0;
    uint32_t *mask = words + l->row_words;
    into->words = words;
    into->mask = mask;
    for (int32_t iy = y - l->padding; iy < y - l->padding + 3; iy++) {
        for (int32_t ix = x - l->padding; ix < x - l->padding + 3; ix++) {
            int inside = iy >= 0 && iy < l->in_height && ix >= 0 && ix < l->in_width;
            const uint32_t *from = cells + (iy * l->in_width + ix) * l->in_words;
            taps += inside;
            for (int32_t k = 0; k < l->in_words; k++) {
                *words++ = inside ? from[k] : 0;
            }
            for (int32_t k = 0; l->padding && k < l->in_words; k++) {
                *mask++ = inside ? 0xffffffffu : 0;
            }
        }
    }
    into->products = taps * l->in_channels;
    if (taps == 9) {
        into->mask = NULL;
    }
}

/* All channels of one stored pixel: the OR over the windows up to `end`. */
static void hidden_pixel(const mtj_layer *l, const uint8_t *model, const window *windows,
                         const window *end, uint32_t *out) {
    const uint32_t *row = (const uint32_t *)(model + l->weights_at);
    const int32_t *thresholds = (const int32_t *)(model + l->thresholds_at);
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    const int32_t *last = thresholds + l->out_channels;
    uint32_t n = l->row_words;
    while (thresholds < last) {
        uint32_t invert = *inverted++, word = 0, bit = 1;
        do {
            int32_t threshold = *thresholds++;
            /* An inverted bit is 1 where S < threshold. */
            uint32_t below = invert & bit ? 1 : 0;
            for (const window *v = windows; v < end; v++) {
                uint32_t differ = v->mask ? masked_mismatches(v->words, row, v->mask, n)
                                          : mismatches(v->words, row, n);
                if ((v->products - 2 * (int32_t)differ < threshold) == below) {
                    word |= bit;
                    break;
                }
            }
            row += n;
            bit <<= 1;
        } while (bit && thresholds < last);
        *out++ = word;
    }
}

static int is_dense(const mtj_layer *l) {
    return l->kernel_height == l->in_height && l->kernel_width == l->in_width && !l->padding;
}

static void hidden_map(const mtj_layer *l, const uint8_t *model, const uint32_t *cells,
                       uint32_t *out, uint32_t *scratch) {
    uint32_t corners = l->pool ? 4 : 1;
    uint32_t size = (uint32_t)l->row_words << l->padding; /* of a window and its mask */
    window windows[4];
    if (is_dense(l)) { /* its one window is the map itself */
        windows[0].words = cells;
        windows[0].mask = NULL;
        windows[0].products = l->fan_in;
        hidden_pixel(l, model, windows, windows + 1, out);
        return;
    }
    for (int32_t y = 0; y < l->map_height; y++) {
        for (int32_t x = 0; x < l->map_width; x++) {
            for (uint32_t k = 0; k < corners; k++) {
                gather(l, cells, (y << l->pool) + (int32_t)(k >> 1),
                       (x << l->pool) + (int32_t)(k & 1), scratch + k * size, &windows[k]);
            }
            hidden_pixel(l, model, windows, windows + corners, out);
            out += l->out_words;
        }
    }
}

/* ---- the interface ---- */

size_t mtj_packed_bytes(const mtj_layer *l) {
#ifdef MTJ_AVX2
    if (mtj_has_avx2()) {
        return avx2_packed_bytes(l);
    }
#endif
    (void)l;
    return 0;
}

void mtj_pack(const mtj_layer *l, const uint8_t *model, uint8_t *packed) {
#ifdef MTJ_AVX2
    if (l->packed_at >= 0) {
        avx2_pack(l, model, packed + l->packed_at);
    }
#endif
    (void)l, (void)model, (void)packed;
}

size_t mtj_scratch_bytes(const mtj_layer *l) {
#ifdef MTJ_AVX2
    if (mtj_packed_bytes(l)) {
        return avx2_scratch_bytes(l);
    }
#endif
    if (l->index == 0) {
        return 640 * (size_t)l->row_words; /* 8 groups of 4 taps and 16 sums */
    }
    return is_dense(l) ? 0 : (size_t)l->row_words << (2 + l->padding + 2 * l->pool);
}

void mtj_map(const mtj_layer *l, const uint8_t *model, const uint8_t *packed, const void *source,
             uint32_t *out, void *scratch) {
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
    if (l->index == 0) {
        first_map(l, model, source, out, scratch);
    } else {
        hidden_map(l, model, source, out, scratch);
    }
}

void mtj_scores(const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                const uint32_t *source, int32_t *scores, void *scratch) {
    const uint32_t *row = (const uint32_t *)(model + l->weights_at);
#ifdef MTJ_AVX2
    if (l->packed_at >= 0) {
        avx2_scores(l, packed + l->packed_at, source, scores, scratch);
        return;
    }
#endif
    (void)packed, (void)scratch;
    for (int32_t c = 0; c < l->out_channels; c++, row += l->row_words) {
        scores[c] = l->fan_in - 2 * (int32_t)mismatches(source, row, l->row_words);
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

/* ---- whole images ---- */

void mtj_run(const mtj_layer *layers, uint32_t count, const uint8_t *model, const uint8_t *packed,
             uint32_t n, const int8_t *images, const uint32_t *indices, const uint32_t key[2],
             const mtj_write_errors *errors, const uint32_t half_words[2], uint32_t *work,
             int32_t *scores, uint32_t *counts, uint32_t *trace) {
    const mtj_layer *last = &layers[count - 1];
    uint32_t *halves[2] = {work, work + half_words[0]};
    uint32_t *intended = halves[1] + half_words[1];
    void *scratch = intended + (half_words[0] > half_words[1] ? half_words[0] : half_words[1]);
    uint32_t state[32];
    for (; n; n--, indices++, counts += MTJ_COUNTS, scores += last->out_channels) {
        const void *source = images;
        images += layers->in_height * layers->in_width * layers->in_channels;
        for (int k = 0; k < MTJ_COUNTS; k++) {
            counts[k] = 0;
        }
        for (uint32_t *cell = work; cell < intended; cell++) {
            *cell = 0; /* all cells in the P state */
        }
        for (const mtj_layer *l = layers; l < last; l++) {
            uint32_t *cells = halves[l->index & 1];
            mtj_map(l, model, packed, source, intended, scratch);
            mtj_seed(state, key, *indices, (uint32_t)l->index << 3);
            mtj_write(l, cells, intended, state, &errors[l - layers], counts);
            for (int32_t w = 0; trace && w < l->map_words; w++) {
                *trace++ = cells[w];
            }
            source = cells;
        }
        mtj_scores(last, model, packed, source, scores, scratch);
    }
}
