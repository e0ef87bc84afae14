/* Short rows of weights on ARMv7-M, for binary.c.
 *
 * Planes of full adders cost more to finish than a few words save. Here the ones of two words are
 * counted at a time, in bytes, and nothing leaves the registers before a channel is decided.
 */
#ifndef MTJKIT_BINARY_THUMB2_H
#define MTJKIT_BINARY_THUMB2_H

/* The next channel's threshold becomes `limit`: S < threshold where limit + mismatches >= 0. Sums
 * have fewer than 15 bits. */
#define NEXT_CHANNEL                                                                               \
    "1: ldr %[limit], [%[threshold]], #4\n\t"                                                      \
    "ldr %[a], %[products]\n\t"                                                                    \
    "ssat %[limit], #15, %[limit]\n\t"                                                             \
    "subs %[limit], %[a]\n\t"                                                                      \
    "asrs %[limit], %[limit], #1\n\t"                                                              \
    "ldr %[v], %[windows]\n\t"

/* The ones of a and b: in each byte of d those of the low nibble, in c 16 times the high one's. */
#define COUNT_PAIR                                                                                 \
    "and %[c], %[a], #0xaaaaaaaa\n\t"                                                              \
    "sub %[a], %[a], %[c], lsr #1\n\t"                                                             \
    "and %[d], %[b], #0xaaaaaaaa\n\t"                                                              \
    "sub %[b], %[b], %[d], lsr #1\n\t"                                                             \
    "and %[c], %[a], #0x33333333\n\t"                                                              \
    "subs %[a], %[c]\n\t"                                                                          \
    "and %[d], %[b], #0x33333333\n\t"                                                              \
    "subs %[b], %[d]\n\t"                                                                          \
    "add %[c], %[d]\n\t"                                                                           \
    "add %[c], %[c], %[a], lsr #2\n\t"                                                             \
    "add %[c], %[c], %[b], lsr #2\n\t"                                                             \
    "and %[d], %[c], #0x0f0f0f0f\n\t"                                                              \
    "subs %[c], %[d]\n\t"

#define ADD_PAIR                                                                                   \
    COUNT_PAIR "add %[sum], %[d]\n\t"                                                              \
               "add %[sum], %[sum], %[c], lsr #4\n\t"

/* The sign of c, or its opposite where the channel is inverted, is the window's bit. The next
 * window follows unless it is 1; then the bit enters the word, from which the last channel shifts
 * a 1. */
#define DECIDE(more_windows)                                                                       \
    "eors %[c], %[inverted]\n\t"                                                                   \
    "bmi 5f\n\t" more_windows "bne 2b\n"                                                           \
    "5: ror %[inverted], %[inverted], #1\n\t"                                                      \
    "lsls %[c], %[c], #1\n\t"                                                                      \
    "rrxs %[word], %[word]\n\t"                                                                    \
    "bcc 1b"

/* The bits of one pixel, of all channels: the OR over the windows up to `end`. Whether it takes
 * them: all inputs must count. */
static HOT int rows_of_2_to_8(const mtj_layer *l, const uint8_t *model, const window *windows,
                              const window *end, uint32_t *out) {
    for (const window *v = windows; v != end; v++) {
        if (v->mask) {
            return 0;
        }
    }
    const uint32_t *row = (const uint32_t *)(model + l->weights_at);
    const int32_t *threshold = (const int32_t *)(model + l->thresholds_at);
    const uint32_t *inverted = (const uint32_t *)(model + l->inverted_at);
    int32_t products = l->fan_in + 1, limit;
    const window *v;
    uint32_t a, b, c, d, but_one = 4 * l->row_words - 4; /* bytes of a row but for one word */
    for (int32_t left = l->out_channels; left > 0; left -= 32) {
        uint32_t spare = left < 32 ? 32 - left : 0, word = 0x80000000u >> spare;
        uint32_t invert = *inverted >> 1 | *inverted << 31;
        inverted++;
        if (but_one == 4) {
            uint32_t w0, w1;
            __asm__ volatile(
                NEXT_CHANNEL "ldrd %[w0], %[w1], [%[row]], #8\n"
                             "2: ldr %[a], [%[v]], %[next]\n\t"
                             "ldrd %[a], %[b], [%[a]]\n\t"
                             "eors %[a], %[w0]\n\t"
                             "eors %[b], %[w1]\n\t" COUNT_PAIR "add %[c], %[d], %[c], lsr #4\n\t"
                             "mov %[d], #0x01010101\n\t"
                             "mul %[c], %[c], %[d]\n\t"
                             "add %[c], %[limit], %[c], lsr #24\n\t" DECIDE("cmp %[v], %[end]\n\t")
                : [a] "=&l"(a), [b] "=&l"(b), [c] "=&l"(c), [d] "=&l"(d), [w0] "=&r"(w0),
                  [w1] "=&r"(w1), [v] "=&r"(v), [limit] "=&l"(limit), [row] "+r"(row),
                  [threshold] "+r"(threshold), [word] "+r"(word), [inverted] "+r"(invert)
                : [end] "r"(end), [products] "m"(products), [windows] "m"(windows),
                  [next] "i"(sizeof(window))
                : "cc", "memory");
        } else {
            const uint32_t *x, *last;
            uint32_t sum;
            __asm__ volatile(NEXT_CHANNEL "lsls %[limit], %[limit], #16\n\t"
                                          "ldr %[a], %[but_one]\n\t"
                                          "add %[last], %[row], %[a]\n"
                                          "2: ldr %[a], %[but_one]\n\t"
                                          "sub %[row], %[last], %[a]\n\t"
                                          "ldr %[x], [%[v]], %[next]\n\t"
                                          "movs %[sum], #0\n"
                                          "3: ldrd %[a], %[b], [%[x]], #8\n\t"
                                          "ldrd %[c], %[d], [%[row]], #8\n\t"
                                          "eors %[a], %[c]\n\t"
                                          "eors %[b], %[d]\n\t" ADD_PAIR "cmp %[row], %[last]\n\t"
                                          "blo 3b\n\t"
                                          "bhi 4f\n\t" /* else one more word */
                                          "ldr %[a], [%[x]]\n\t"
                                          "ldr %[c], [%[row]], #4\n\t"
                                          "movs %[b], #0\n\t"
                                          "eors %[a], %[c]\n\t" ADD_PAIR
                                          "4: and %[c], %[sum], #0x00ff00ff\n\t"
                                          "subs %[sum], %[c]\n\t"
                                          "add %[c], %[c], %[sum], lsr #8\n\t"
                                          "add %[c], %[c], %[c], lsr #16\n\t"
                                          "add %[c], %[limit], %[c], lsl #16\n\t" DECIDE(
                                              "ldr %[a], %[end]\n\tcmp %[v], %[a]\n\t")
                             : [a] "=&l"(a), [b] "=&l"(b), [c] "=&l"(c), [d] "=&l"(d), [x] "=&r"(x),
                               [last] "=&r"(last), [sum] "=&l"(sum), [v] "=&r"(v),
                               [limit] "=&l"(limit), [row] "+r"(row), [threshold] "+r"(threshold),
                               [word] "+r"(word), [inverted] "+r"(invert)
                             : [end] "m"(end), [products] "m"(products), [windows] "m"(windows),
                               [but_one] "m"(but_one), [next] "i"(sizeof(window))
                             : "cc", "memory");
        }
        *out++ = word >> spare;
    }
    return 1;
}

static inline int short_rows(const mtj_layer *l, const uint8_t *model, const window *windows,
                             const window *end, uint32_t *out) {
    return l->row_words >= 2 && l->row_words <= 8 && rows_of_2_to_8(l, model, windows, end, out);
}

#endif
