/* Cases of mtj_run for a processor other than this one. */
#ifndef CASES_H
#define CASES_H

#include <stddef.h>
#include <stdint.h>

/* Run the cases from `at` to `end`, as case_bytes of bench_neon.py writes them, in the memory at
 * `heap`:
 *
 * int32 [layers, images, bytes of an image, bytes of the model, words of each half (2), classes,
 * words of all maps], the layers, the model, the images, their indices, the key, the errors.
 *
 * take: called with each case's scores, counts and maps, as words. */
void run_cases(const uint8_t *at, const uint8_t *end, uint8_t *heap,
               void (*take)(const uint32_t *words, size_t count));

#endif
