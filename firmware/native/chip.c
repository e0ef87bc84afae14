/* On hosts only: whole images, and the memory of a chip whose cells differ, are disturbed or not
 * erased (mtjkit_core.chip_memory). On boards mtjkit_device's engine and kernels/chip.py do this.
 */
#include "bits.h"
#include "draws.h"
#include "mtjkit.h"

enum { BEFORE = 2, BUFFER_CLASSES, WEIGHT_CLASSES }; /* memories of mtjkit_core.chip_errors */

static uint32_t next_word(uint32_t s[4]) {
    uint32_t s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3], word;
    DRAW(word);
    s[0] = s0, s[1] = s1, s[2] = s2, s[3] = s3;
    return word;
}

/* The cells of a half as they are before an image, where they are not erased. */
static void fill(uint32_t *cells, uint32_t words, const uint32_t key[2], uint32_t image,
                 uint32_t half) {
    uint32_t streams[32];
    mtj_seed(streams, key, image, BEFORE << 16 | half << 3);
    for (uint32_t w = 0; w < words; w++) {
        cells[w] = next_word(streams + 4 * (w & 7));
    }
}

/* mtj_write_run on cells of four classes, whose streams are `streams`. */
static void write_classes(uint32_t *cells, const uint32_t *intended, int fresh, uint32_t words,
                          uint32_t run_words, uint32_t run_bits, uint32_t state[32],
                          uint32_t streams[32], const mtj_write_errors classes[MTJ_CLASSES],
                          uint32_t counts[MTJ_COUNTS]) {
    uint32_t tail = tail_mask(run_bits), in_run = run_words;
    for (uint32_t w = 0; w < words; w++) {
        uint32_t low = next_word(streams + 4 * (w & 7));
        uint32_t high = next_word(streams + 4 * (w & 7));
        uint32_t new = intended[w], old = fresh ? 0 : cells[w], lanes = 0xffffffffu, failed = 0;
        uint32_t toggled, wrong;
        if (--in_run == 0) {
            in_run = run_words;
            lanes = tail;
        }
        for (uint32_t k = 0; k < MTJ_CLASSES; k++) {
            uint32_t these = lanes & (k & 1 ? low : ~low) & (k & 2 ? high : ~high);
            failed |= draw_uneven(state + 4 * (w & 7), &classes[k], these, new);
        }
        toggled = (new ^ old) & lanes;
        wrong = classes->keep ? failed & toggled : failed;
        cells[w] = new ^ wrong;
        counts[0] += popcount(lanes);
        counts[1] += popcount(toggled);
        counts[2] += popcount(wrong);
        counts[3] += popcount(new);
        counts[4] += popcount(toggled & new);
    }
}

static void write_map(const mtj_layer *l, uint32_t *cells, const uint32_t *intended,
                      uint32_t state[32], const mtj_write_errors *errors, const mtj_chip *chip,
                      uint32_t hidden, uint32_t counts[MTJ_COUNTS]) {
    uint32_t unused[MTJ_COUNTS] = {0};
    if (chip && chip->classes) {
        uint32_t streams[32];
        mtj_seed(streams, chip->key, 0, BUFFER_CLASSES << 16 | ((uint32_t)l->index & 1) << 3);
        write_classes(cells, intended, 0, l->map_words, l->out_words, l->out_channels, state,
                      streams, chip->classes + MTJ_CLASSES * hidden, counts);
    } else {
        mtj_write(l, cells, intended, state, errors, counts);
    }
    if (chip) {
        mtj_write(l, cells, cells, state, chip->disturb + hidden, unused);
    }
}

void mtj_program_chip(const mtj_layer *l, uint8_t *model, uint32_t state[32],
                      const mtj_write_errors *errors, const mtj_chip *chip,
                      uint32_t counts[MTJ_COUNTS]) {
    uint32_t unused[MTJ_COUNTS] = {0};
    if (chip->classes) {
        uint32_t streams[32], *cells = (uint32_t *)(model + l->weights_at);
        mtj_seed(streams, chip->key, 0, WEIGHT_CLASSES << 16 | (uint32_t)l->index << 3);
        write_classes(cells, cells, 1, l->weight_words, l->run_words, l->run_bits, state, streams,
                      chip->classes + MTJ_CLASSES * l->index, counts);
    } else {
        mtj_program(l, model, state, errors, counts);
    }
    mtj_program(l, model, state, chip->disturb + l->index, unused);
}

void mtj_run(const mtj_layer *layers, uint32_t count, const uint8_t *model, const uint8_t *packed,
             uint32_t n, const int8_t *images, const uint32_t *indices, const uint32_t key[2],
             const mtj_write_errors *errors, const mtj_chip *chip, const uint32_t half_words[2],
             uint32_t *work, int32_t *scores, uint32_t *counts, uint32_t *trace,
             const mtj_first *first) {
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
        for (uint32_t half = 0; chip && chip->before && half < 2; half++) {
            fill(halves[half], half_words[half], key, *indices, half);
        }
        for (const mtj_layer *l = layers; l < last; l++) {
            uint32_t *cells = halves[l->index & 1], *map = intended;
            int known = 0;
            if (l == layers && first && *indices < first->count) {
                map = first->maps + (size_t)*indices * l->map_words;
                known = first->there[*indices];
            }
            if (!known) {
                mtj_map(l, model, packed, source, map, scratch);
            }
            if (map != intended) {
                first->there[*indices] = 1;
            }
            if (l->output == MTJ_AVERAGES) { /* never in the memory */
                cells = map;
            } else {
                mtj_seed(state, key, *indices, (uint32_t)l->index << 3);
                write_map(l, cells, map, state, &errors[l - layers], chip, (uint32_t)(l - layers),
                          counts);
            }
            for (int32_t w = 0; trace && w < l->map_words; w++) {
                *trace++ = cells[w];
            }
            source = cells;
        }
        mtj_scores(last, model, packed, source, scores, scratch);
    }
}
