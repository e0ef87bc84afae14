#include "cases.h"

#include "mtjkit.h"

static uint8_t *next_free;

static void *room(size_t bytes) {
    void *here = next_free;
    next_free += (bytes + 127) / 64 * 64;
    return here;
}

static void *copied(const uint8_t **from, size_t bytes) {
    uint8_t *to = room(bytes);
    for (size_t i = 0; i < bytes; i++) {
        to[i] = *(*from)++;
    }
    return to;
}

void run_cases(const uint8_t *at, const uint8_t *end, uint8_t *heap,
               void (*take)(const uint32_t *words, size_t count)) {
    while (at < end) {
        next_free = heap;
        const int32_t *head = copied(&at, 32);
        size_t count = head[0], n = head[1];
        uint32_t halves[2] = {head[4], head[5]};
        size_t classes = head[6], map_words = head[7], packed_bytes = 0, scratch_bytes = 0;
        mtj_layer *layers = copied(&at, count * sizeof *layers);
        uint8_t *model = copied(&at, head[3]);
        int8_t *images = copied(&at, n * head[2]);
        uint32_t *indices = copied(&at, 4 * n), *key = copied(&at, 8);
        mtj_write_errors *errors = copied(&at, (count - 1) * sizeof *errors);
        for (size_t k = 0; k < count; k++) {
            size_t size = mtj_packed_bytes(&layers[k]), work = mtj_scratch_bytes(&layers[k]);
            layers[k].packed_at = size ? (int32_t)packed_bytes : -1;
            packed_bytes += (size + 63) / 64 * 64;
            scratch_bytes = work > scratch_bytes ? work : scratch_bytes;
        }
        uint8_t *packed = room(packed_bytes);
        for (size_t k = 0; k < count; k++) {
            mtj_pack(&layers[k], model, packed);
        }
        size_t longer = halves[0] > halves[1] ? halves[0] : halves[1];
        uint32_t *work = room(4 * (halves[0] + halves[1] + longer) + scratch_bytes);
        int32_t *scores = room(4 * n * classes);
        uint32_t *counts = room(4 * n * MTJ_COUNTS), *maps = room(4 * n * map_words);
        mtj_run(layers, count, model, packed, n, images, indices, key, errors, NULL, halves, 1, work,
                scores, counts, maps, NULL);
        take((const uint32_t *)scores, n * classes);
        take(counts, n * MTJ_COUNTS);
        take(maps, n * map_words);
    }
}
