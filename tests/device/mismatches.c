/* Cases of binary_thumb1.h on a Cortex-M0: exits with 0 if all counts are right. */
#include <stdint.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))
#define SMALL NOINLINE
#include "binary_thumb1.h"

enum { MOST = 600 };

static uint32_t x[MOST], w[MOST], mask[MOST], state = 1;

extern void _start(void);

/* The stack's end and the first instruction, where the processor looks for them. */
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {(void *)0x20004000,
                                                                                 (void *)_start};

static uint32_t draw(void) {
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

int main(void) {
    for (uint32_t n = 1; n <= MOST; n += n < 280 ? 1 : 37) {
        for (int kind = 0; kind < 5; kind++) { /* words that differ everywhere, nowhere, ... */
            uint32_t expected = 0, masked = 0, found;
            for (uint32_t i = 0; i < n; i++) {
                uint32_t few = draw() & draw() & draw();
                uint32_t differ[] = {0xffffffffu, 0, few, ~few, few ^ draw()};
                x[i] = draw();
                w[i] = x[i] ^ differ[kind];
                expected += (uint32_t)__builtin_popcount(differ[kind]);
            }
            found = n < 256 ? short_mismatches(x, w, n) : long_mismatches(x, w, n);
            if (found != expected) {
                exit(1);
            }
            for (uint32_t i = 0; i < n; i++) {
                mask[i] = draw() | draw();
                x[i] &= mask[i];
                masked += (uint32_t)__builtin_popcount((x[i] ^ w[i]) & mask[i]);
            }
            if (masked_mismatches(x, w, mask, n) != masked) {
                exit(2);
            }
        }
    }
    exit(0);
}
