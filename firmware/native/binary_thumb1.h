/* Counting mismatches on ARMv6-M, for binary.c: Harley-Seal as there, in assembler.
 *
 * The compiler keeps planes where only copies reach them: of what it makes of the same steps a
 * quarter copies registers. Here words and one full adder are in the low registers, planes that
 * wait in the high ones, and words come by twos and threes.
 */
#ifndef MTJKIT_BINARY_THUMB1_H
#define MTJKIT_BINARY_THUMB1_H

/* Full adder on 32 lanes: `sum` += a + b, the carry in a. */
#define FULL(sum, a, b, free)                                                                      \
    "eors " sum ", " a "\n\t"                                                                      \
    "movs " free ", " a "\n\t"                                                                     \
    "eors " free ", " b "\n\t"                                                                     \
    "ands " free ", " sum "\n\t"                                                                   \
    "eors " a ", " free "\n\t"                                                                     \
    "eors " sum ", " b "\n\t"

/* Half adder: `sum` += a, the carry in `carry`. */
#define HALF(carry, sum, a)                                                                        \
    "movs " carry ", " sum "\n\t"                                                                  \
    "ands " carry ", " a "\n\t"                                                                    \
    "eors " sum ", " a "\n\t"

/* Where the next two words differ. */
#define DIFFER(ascending, first, second)                                                           \
    "ldmia r0!, {" ascending "}\n\t"                                                               \
    "ldmia r1!, {r5, r6}\n\t"                                                                      \
    "eors " first ", r5\n\t"                                                                       \
    "eors " second ", r6\n\t"
#define DIFFER_R3 DIFFER("r3, r4", "r3", "r4")
#define DIFFER_R7 DIFFER("r4, r7", "r4", "r7")

/* Two words into the ones, r2; the carry in r3, or r7. */
#define TWO_R3 DIFFER_R3 FULL("r2", "r3", "r4", "r5")
#define TWO_R7 DIFFER_R7 FULL("r2", "r7", "r4", "r5")

/* Four words into the ones and the twos, r12; the carry in r7. */
#define FOUR TWO_R7 TWO_R3 "mov r4, r12\n\t" FULL("r4", "r7", "r3", "r5") "mov r12, r4\n\t"

/* The first seven words: the ones in r2, the twos in r12, a four in r7. */
#define SEVEN                                                                                      \
    "ldmia r0!, {r3, r4, r7}\n\t"                                                                  \
    "ldmia r1!, {r2, r5, r6}\n\t"                                                                  \
    "eors r2, r3\n\t"                                                                              \
    "eors r4, r5\n\t"                                                                              \
    "eors r7, r6\n\t" FULL("r2", "r7", "r4", "r5") TWO_R3                                          \
        "mov r12, r7\n\t" TWO_R7 "mov r4, r12\n\t" FULL("r4", "r7", "r3", "r5") "mov r12, r4\n\t"

/* Ones of two bits, of four. */
#define PAIRS(v, mask, free)                                                                       \
    "lsrs " free ", " v ", #1\n\t"                                                                 \
    "ands " free ", " mask "\n\t"                                                                  \
    "subs " v ", " v ", " free "\n\t"
#define SPLIT(v, shift, mask, free)                                                                \
    "lsrs " free ", " v ", #" shift "\n\t"                                                         \
    "ands " free ", " mask "\n\t"                                                                  \
    "ands " v ", " mask "\n\t"                                                                     \
    "adds " v ", " v ", " free "\n\t"

/* Popcount of (x ^ w) over n words, 0 < n < 256. Rows of 9 and 18 words, 3x3 taps of 32 and 64
 * channels, have code of their own, without loops.
 *
 * In the end the ones are in r2, the twos in r4, the fours in r6, the eights in r5; r0 holds what
 * is counted already, in halves. */
/* One instruction a line. */
/* clang-format off */
static __attribute__((naked, noinline)) uint32_t short_mismatches(const uint32_t *x,
                                                                  const uint32_t *w, uint32_t n) {
    __asm__ volatile(
        ".syntax unified\n\t"
        "push {r4, r5, r6, r7, lr}\n\t"
        "mov r4, r8\n\t"
        "push {r4}\n\t"
        "cmp r2, #18\n\t"
        "bne 0f\n\t"
        "b 18f\n"
        "0: cmp r2, #9\n\t"
        "bne 1f\n\t"
        "b 9f\n"
        /* Eights are counted byte by byte, in r10, 31 at most. */
        "1: mov r3, r9\n\t"
        "mov r4, r10\n\t"
        "push {r3, r4}\n\t"
        /* Below r9, eight words are left. */
        "lsls r2, r2, #2\n\t"
        "adds r2, r2, r0\n\t"
        "subs r2, #31\n\t"
        "mov r9, r2\n\t"
        "movs r2, #0\n\t"
        "mov r12, r2\n\t"
        "mov lr, r2\n\t"
        "mov r8, r2\n\t"
        "mov r10, r2\n\t"
        "b 3f\n"
        "2: " FOUR
        "mov r8, r7\n\t"
        FOUR
        "mov r4, lr\n\t"
        "mov r3, r8\n\t"
        FULL("r4", "r7", "r3", "r5")
        "mov lr, r4\n\t"
        "ldr r3, 21f\n\t"
        PAIRS("r7", "r3", "r4")
        "ldr r3, 22f\n\t"
        SPLIT("r7", "2", "r3", "r4")
        "ldr r3, 23f\n\t"
        "lsrs r4, r7, #4\n\t"
        "adds r7, r7, r4\n\t"
        "ands r7, r3\n\t"
        "add r10, r7\n"
        "3: cmp r0, r9\n\t"
        "blo 2b\n\t"
        /* What is left; one lane's carries into the eights, r8, are one at most: 7 + 7 < 16. */
        "movs r3, #0\n\t"
        "mov r8, r3\n\t"
        "movs r3, #31\n\t"
        "add r9, r3\n\t"
        "mov r7, r9\n\t"
        "subs r7, r7, r0\n\t"
        "cmp r7, #16\n\t"
        "blo 4f\n\t"
        FOUR
        "mov r4, lr\n\t"
        HALF("r3", "r4", "r7")
        "mov lr, r4\n\t"
        "mov r8, r3\n"
        "4: mov r7, r9\n\t"
        "subs r7, r7, r0\n\t"
        "cmp r7, #4\n\t"
        "blo 7f\n\t"
        "beq 5f\n\t"
        TWO_R3
        "b 6f\n"
        "5: ldmia r0!, {r4}\n\t"
        "ldmia r1!, {r5}\n\t"
        "eors r4, r5\n\t"
        HALF("r3", "r2", "r4")
        "6: mov r4, r12\n\t"
        HALF("r5", "r4", "r3")
        "mov r12, r4\n\t"
        "mov r4, lr\n\t"
        HALF("r3", "r4", "r5")
        "mov lr, r4\n\t"
        "mov r4, r8\n\t"
        "orrs r4, r3\n\t"
        "mov r8, r4\n\t"
        "b 4b\n"
        "7: mov r0, r10\n\t"
        "pop {r3, r4}\n\t"
        "mov r9, r3\n\t"
        "mov r10, r4\n\t"
        "mov r4, r12\n\t"
        "mov r6, lr\n\t"
        "mov r5, r8\n"
        "8: ldr r7, 24f\n\t"
        SPLIT("r0", "8", "r7", "r3")
        "lsls r0, r0, #3\n\t"
        "b 20f\n"
        "9: " SEVEN
        TWO_R3
        "mov r4, r12\n\t"
        HALF("r5", "r4", "r3")
        "movs r6, r7\n\t"
        HALF("r3", "r6", "r5")
        "movs r5, r3\n\t"
        "b 19f\n"
        "18: " SEVEN
        "mov lr, r7\n\t"
        FOUR
        "mov r8, r7\n\t"
        FOUR
        "mov r4, lr\n\t"
        "mov r3, r8\n\t"
        FULL("r4", "r7", "r3", "r5")
        "mov lr, r4\n\t"
        "mov r8, r7\n\t"
        TWO_R3
        "ldr r7, [r0]\n\t"
        "ldr r4, [r1]\n\t"
        "eors r7, r4\n\t"
        HALF("r5", "r2", "r7")
        "mov r4, r12\n\t"
        FULL("r4", "r5", "r3", "r6")
        "mov r6, lr\n\t"
        HALF("r7", "r6", "r5")
        "mov r5, r8\n\t"
        HALF("r0", "r5", "r7")
        /* Sixteens: where sixteen of the eighteen words differ in a lane. */
        "cmp r0, #0\n\t"
        "beq 20f\n\t"
        "ldr r7, 21f\n\t"
        PAIRS("r0", "r7", "r3")
        "ldr r7, 22f\n\t"
        SPLIT("r0", "2", "r7", "r3")
        "ldr r7, 23f\n\t"
        SPLIT("r0", "4", "r7", "r3")
        "lsls r0, r0, #1\n\t"
        "b 8b\n"
        "19: movs r0, #0\n"
        "20: ldr r7, 21f\n\t"
        PAIRS("r2", "r7", "r3")
        PAIRS("r4", "r7", "r3")
        PAIRS("r6", "r7", "r3")
        PAIRS("r5", "r7", "r3")
        "ldr r7, 22f\n\t"
        SPLIT("r2", "2", "r7", "r3")
        SPLIT("r4", "2", "r7", "r3")
        SPLIT("r6", "2", "r7", "r3")
        SPLIT("r5", "2", "r7", "r3")
        "lsls r4, r4, #1\n\t"
        "adds r2, r2, r4\n\t"
        "lsls r5, r5, #1\n\t"
        "adds r6, r6, r5\n\t"
        "ldr r7, 23f\n\t"
        SPLIT("r2", "4", "r7", "r3")
        SPLIT("r6", "4", "r7", "r3")
        "lsls r6, r6, #2\n\t"
        "adds r2, r2, r6\n\t"
        "ldr r7, 24f\n\t"
        SPLIT("r2", "8", "r7", "r3")
        "adds r0, r0, r2\n\t"
        "lsrs r2, r0, #16\n\t"
        "adds r0, r0, r2\n\t"
        "uxth r0, r0\n\t"
        "pop {r3}\n\t"
        "mov r8, r3\n\t"
        "pop {r4, r5, r6, r7, pc}\n\t"
        ".balign 4\n"
        "21: .word 0x55555555\n"
        "22: .word 0x33333333\n"
        "23: .word 0x0f0f0f0f\n"
        "24: .word 0x00ff00ff\n");
}

/* clang-format on */

/* Longer rows, in parts. */
static SMALL uint32_t long_mismatches(const uint32_t *x, const uint32_t *w, uint32_t n) {
    enum { PART = 240 };
    uint32_t total = 0;
    for (; n > PART; n -= PART, x += PART, w += PART) {
        total += short_mismatches(x, w, PART);
    }
    return total + short_mismatches(x, w, n);
}

/* Popcount of (x ^ w) & mask; x has no ones beyond the mask. */
static NOINLINE uint32_t masked_mismatches(const uint32_t *x, const uint32_t *w,
                                           const uint32_t *mask, uint32_t n) {
    enum { PART = 72 }; /* 3x3 taps of 256 channels; on the stack */
    uint32_t kept[PART], total = 0;
    while (n) {
        uint32_t words = n < PART ? n : PART;
        for (uint32_t i = 0; i < words; i++) {
            kept[i] = w[i] & mask[i];
        }
        total += short_mismatches(x, kept, words);
        n -= words, x += words, w += words, mask += words;
    }
    return total;
}

#endif
