/* Runs cases of mtj_run that foreign.py writes, on another processor than the tests'.
 *
 * Reads cases from stdin: int32 [layers, images, words of an image's bytes, bytes of the model,
 * words of each half (2), classes, words of all maps], the layers, the model, the images, their
 * indices, the key, the errors. Writes each case's scores, counts and maps to stdout.
 */
#include <stdio.h>
#include <stdlib.h>

#include "mtjkit.h"

static void *read_all(size_t bytes) {
    void *to = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (fread(to, 1, bytes, stdin) != bytes) {
        exit(1);
    }
    return to;
}

int main(void) {
    int32_t head[8];
    while (fread(head, sizeof head, 1, stdin) == 1) {
        size_t count = head[0], n = head[1], pixels = head[2], bytes = head[3];
        uint32_t halves[2] = {head[4], head[5]};
        size_t classes = head[6], map_words = head[7], packed_bytes = 0, scratch_bytes = 0;
        mtj_layer *layers = read_all(count * sizeof *layers);
        uint8_t *model = read_all(bytes);
        int8_t *images = read_all(n * pixels);
        uint32_t *indices = read_all(4 * n), *key = read_all(8);
        mtj_write_errors *errors = read_all((count - 1) * sizeof *errors);
        for (size_t k = 0; k < count; k++) {
            size_t size = mtj_packed_bytes(&layers[k]), work = mtj_scratch_bytes(&layers[k]);
            layers[k].packed_at = size ? (int32_t)packed_bytes : -1;
            packed_bytes += (size + 63) / 64 * 64;
            scratch_bytes = work > scratch_bytes ? work : scratch_bytes;
        }
        uint8_t *packed = aligned_alloc(64, packed_bytes + 64);
        for (size_t k = 0; k < count; k++) {
            mtj_pack(&layers[k], model, packed);
        }
        size_t longer = halves[0] > halves[1] ? halves[0] : halves[1];
        uint32_t *work = malloc(4 * (halves[0] + halves[1] + longer) + scratch_bytes + 64);
        int32_t *scores = malloc(4 * n * classes);
        uint32_t *counts = malloc(4 * n * MTJ_COUNTS), *maps = malloc(4 * n * map_words + 4);
        mtj_run(layers, count, model, packed, n, images, indices, key, errors, NULL, halves, work,
                scores, counts, maps);
        fwrite(scores, 4, n * classes, stdout);
        fwrite(counts, 4, n * MTJ_COUNTS, stdout);
        fwrite(maps, 4, n * map_words, stdout);
        free(layers), free(model), free(images), free(indices), free(key), free(errors);
        free(packed), free(work), free(scores), free(counts), free(maps);
    }
    return 0;
}
