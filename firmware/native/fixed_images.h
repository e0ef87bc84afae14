/* Images through a whole fixed-point network, part of fixed.c: layer by layer, a few images at a
 * time, so that their maps stay in a cache. */
#ifndef MTJKIT_FIXED_IMAGES_H
#define MTJKIT_FIXED_IMAGES_H

#include <string.h>

#include "mtjkit.h"

enum { TOGETHER = 16 }; /* images; a multiple of ROWS, and those of a tile of a dense layer */

static inline uint32_t bytes_of_map(const mtj_matrix *l) {
    return (uint32_t)(l->rows / l->pool) * (l->cols / l->pool) * l->out * (l->bits / 8);
}

static inline uint32_t words_of_map(const mtj_matrix *l) { return (bytes_of_map(l) + 3) / 4; }

/* Where the maps of TOGETHER images lie: words from one image's row to the next one's. Rows begin
 * on a cache line, and not at the same places of a cache. */
typedef struct {
    size_t halves[2], intended;
} map_rows;

static map_rows rows_of(const mtj_matrix *layers, int count) {
    map_rows r = {{0, 0}, 0};
    for (int k = 0; k < count - 1; k++) {
        const size_t row = ((words_of_map(&layers[k]) + 15) & ~15u) + 16;
        r.halves[k & 1] = row > r.halves[k & 1] ? row : r.halves[k & 1];
        r.intended = row > r.intended ? row : r.intended;
    }
    return r;
}

static size_t images_bytes(const mtj_matrix *layers, int count) {
    const map_rows r = rows_of(layers, count);
    size_t most = 0;
    for (int k = 0; k < count; k++) {
        const size_t bytes = mtj_matrix_bytes(&layers[k], TOGETHER);
        if (!bytes) {
            return 0;
        }
        most = bytes > most ? bytes : most;
    }
    return 64 + 4 * TOGETHER * (r.halves[0] + r.halves[1] + r.intended) + most;
}

/* The first layer's maps as intended: those that were kept, or new ones, which are then kept. */
static void first_maps(const mtj_matrix *l, int n, const int8_t *images, const uint32_t *indices,
                       const mtj_first *first, uint32_t *intended, size_t row, char *scratch) {
    const size_t bytes = bytes_of_map(l);
    int known = first != NULL;
    for (int k = 0; k < n && known; k++) {
        known = indices[k] < first->count && first->there[indices[k]];
    }
    if (!known) {
        mtj_matrix_run(l, n, (const char *)images, (ptrdiff_t)l->rows * l->cols * l->channels,
                       (char *)intended, (ptrdiff_t)(4 * row), scratch);
    }
    for (int k = 0; k < n && first; k++) {
        char *kept = (char *)first->maps + indices[k] * bytes;
        if (known) {
            memcpy(intended + k * row, kept, bytes);
        } else if (indices[k] < first->count) {
            memcpy(kept, intended + k * row, bytes);
            first->there[indices[k]] = 1;
        }
    }
}

static void run_images(const mtj_matrix *layers, int count, int n, const int8_t *images,
                       const uint32_t *indices, const uint32_t key[2], const mtj_place *places,
                       const mtj_write_errors *errors, const mtj_first *first, double *scores,
                       uint32_t *counts, uint32_t *const *trace, char *work) {
    const mtj_matrix *last = &layers[count - 1];
    const map_rows r = rows_of(layers, count);
    uint32_t *halves[2] = {(uint32_t *)(((uintptr_t)work + 63) & ~(uintptr_t)63), NULL};
    halves[1] = halves[0] + TOGETHER * r.halves[0];
    uint32_t *intended = halves[1] + TOGETHER * r.halves[1], found[TOGETHER * MTJ_COUNTS];
    char *scratch = (char *)(intended + TOGETHER * r.intended);
    for (int done = 0, some; done < n; done += some) {
        some = n - done < TOGETHER ? n - done : TOGETHER;
        const char *source = (const char *)images;
        ptrdiff_t step = (ptrdiff_t)layers->rows * layers->cols * layers->channels;
        images += some * step;
        memset(halves[0], 0, (char *)intended - (char *)halves[0]); /* all cells in the P state */
        memset(counts, 0, sizeof *counts * some * MTJ_COUNTS);
        for (int k = 0; k < count - 1; k++) {
            const uint32_t words = words_of_map(&layers[k]);
            uint32_t *cells = halves[k & 1];
            const size_t row = r.halves[k & 1];
            for (int i = 0; i < some; i++) {
                intended[i * r.intended + words - 1] = 0; /* what no code fills */
            }
            if (k == 0) {
                first_maps(layers, some, (const int8_t *)source, indices, first, intended,
                           r.intended, scratch);
            } else {
                mtj_matrix_run(&layers[k], some, source, step, (char *)intended,
                               (ptrdiff_t)(4 * r.intended), scratch);
            }
            write_rows(some, places[k].run_bits, cells, (ptrdiff_t)row, intended,
                       (ptrdiff_t)r.intended, indices, key, places[k].place, &errors[k], found);
            for (int i = 0; i < some * MTJ_COUNTS; i++) {
                counts[i] += found[i];
            }
            for (int i = 0; i < some && trace; i++) {
                memcpy(trace[k] + (size_t)(done + i) * words, cells + i * row, 4 * words);
            }
            source = (const char *)cells, step = (ptrdiff_t)(4 * row);
        }
        mtj_matrix_run(last, some, source, step, (char *)scores,
                       (ptrdiff_t)sizeof(double) * last->out, scratch);
        scores += some * last->out, indices += some, counts += some * MTJ_COUNTS;
    }
}

#endif
