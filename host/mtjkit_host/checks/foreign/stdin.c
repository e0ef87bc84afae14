/* A program: cases from stdin, their results to stdout. */
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"

enum { MOST = 1 << 28 };

static void write_words(const uint32_t *words, size_t count) { fwrite(words, 4, count, stdout); }

int main(void) {
    uint8_t *cases = malloc(MOST), *heap = aligned_alloc(64, MOST);
    size_t bytes = fread(cases, 1, MOST, stdin);
    run_cases(cases, cases + bytes, heap, write_words);
    return 0;
}
