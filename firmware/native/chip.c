/* On hosts only: whole images, and the memory of a chip whose cells differ, are disturbed or not
 * erased (mtjkit_core.chip_memory). On boards mtjkit_device's engine and kernels/chip.py do this.
 */
#include "bits.h"
#include "draws.h"
#include "mtjkit.h"
#include "rows.h"
#include "simd.h"

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

/* Images that are computed together, layer by layer: where each one's cells and maps lie. */
typedef struct {
    uint32_t n;
    const uint32_t *indices, *key;
    uint32_t *cells[MTJ_TOGETHER][2]; /* both halves of the buffer */
    uint32_t *room[MTJ_TOGETHER];     /* for an intended map */
    const void *source[MTJ_TOGETHER]; /* what the next layer reads */
    uint32_t *map[MTJ_TOGETHER];      /* the intended map of this layer */
    uint32_t *counts;                 /* of the first image */
} group;

/* Whether all images' maps lie at one distance. */
static int in_rows(const group *g) {
    for (uint32_t k = 2; k < g->n; k++) {
        if (g->map[k] - g->map[k - 1] != g->map[1] - g->map[0]) {
            return 0;
        }
    }
    return 1;
}

/* Write a layer's map of each image. */
static void write_maps(const group *g, const mtj_layer *l, const mtj_write_errors *errors,
                       const mtj_chip *chip, uint32_t hidden) {
    const uint32_t place = (uint32_t)l->index << 3;
    if (!chip && l->out_channels == 32 * l->out_words && in_rows(g)) { /* no bit is left out */
        uint32_t counts[MTJ_TOGETHER * MTJ_COUNTS];
        const size_t step = g->n > 1 ? g->cells[1][0] - g->cells[0][0] : 0;
        const size_t from = g->n > 1 ? g->map[1] - g->map[0] : 0;
        write_rows(g->n, 32 * l->map_words, g->cells[0][l->index & 1], step, g->map[0], from,
                   g->indices, g->key, place, errors, counts);
        for (uint32_t k = 0; k < g->n * MTJ_COUNTS; k++) {
            g->counts[k] += counts[k];
        }
        return;
    }
    for (uint32_t k = 0; k < g->n; k++) {
        uint32_t state[32];
        mtj_seed(state, g->key, g->indices[k], place);
        write_map(l, g->cells[k][l->index & 1], g->map[k], state, errors, chip, hidden,
                  g->counts + k * MTJ_COUNTS);
    }
}

size_t mtj_run_bytes(const mtj_layer *l, uint32_t together) {
#ifdef MTJ_AMX
    return mtj_maps_bytes(l, together);
#else
    (void)together;
    return mtj_scratch_bytes(l);
#endif
}

/* Compute the intended map of a layer for each image; of the first one, or take it. */
static void compute_maps(group *g, const mtj_layer *l, const uint8_t *model, const uint8_t *packed,
                         const mtj_first *first, void *scratch) {
    const void *sources[MTJ_TOGETHER];
    uint32_t *maps[MTJ_TOGETHER], n = 0;
    for (uint32_t k = 0; k < g->n; k++) {
        const uint32_t index = g->indices[k];
        const int kept = !l->index && first && index < first->count;
        g->map[k] = kept ? first->maps + (size_t)index * l->map_words : g->room[k];
        if (!kept || !first->there[index]) {
            sources[n] = g->source[k], maps[n++] = g->map[k];
        }
        if (kept) {
            first->there[index] = 1;
        }
    }
#ifdef MTJ_AMX
    mtj_maps(l, model, packed, n, sources, maps, scratch);
#else
    for (uint32_t k = 0; k < n; k++) {
        mtj_map(l, model, packed, sources[k], maps[k], scratch);
    }
#endif
}

void mtj_run(const mtj_layer *layers, uint32_t count, const uint8_t *model, const uint8_t *packed,
             uint32_t n, const int8_t *images, const uint32_t *indices, const uint32_t key[2],
             const mtj_write_errors *errors, const mtj_chip *chip, const uint32_t half_words[2],
             uint32_t together, uint32_t *work, int32_t *scores, uint32_t *counts, uint32_t *trace,
             const mtj_first *first) {
    const mtj_layer *last = &layers[count - 1];
    const size_t pixels = (size_t)layers->in_height * layers->in_width * layers->in_channels;
    const size_t both = (size_t)half_words[0] + half_words[1];
    const size_t words = both + (half_words[0] > half_words[1] ? half_words[0] : half_words[1]);
    void *scratch = work + together * words;
    size_t trace_words = 0;
    for (const mtj_layer *l = layers; l < last; l++) {
        trace_words += l->map_words;
    }
    while (n) {
        group g = {.n = n < together ? n : together, .indices = indices, .key = key};
        g.counts = counts;
        for (uint32_t k = 0; k < g.n; k++) {
            uint32_t *cells = work + k * words;
            g.cells[k][0] = cells, g.cells[k][1] = cells + half_words[0], g.room[k] = cells + both;
            g.source[k] = images + k * pixels;
            for (size_t w = 0; w < both; w++) {
                cells[w] = 0; /* all cells in the P state */
            }
            for (uint32_t half = 0; chip && chip->before && half < 2; half++) {
                fill(g.cells[k][half], half_words[half], key, indices[k], half);
            }
        }
        for (uint32_t k = 0; k < g.n * MTJ_COUNTS; k++) {
            counts[k] = 0;
        }
        uint32_t *traced = trace;
        for (const mtj_layer *l = layers; l < last; l++) {
            const uint32_t hidden = (uint32_t)(l - layers);
            compute_maps(&g, l, model, packed, first, scratch);
            if (l->output != MTJ_AVERAGES) { /* they are never in the memory */
                write_maps(&g, l, &errors[hidden], chip, hidden);
            }
            for (uint32_t k = 0; k < g.n; k++) {
                const uint32_t *stored =
                    l->output == MTJ_AVERAGES ? g.map[k] : g.cells[k][l->index & 1];
                g.source[k] = stored;
                for (int32_t w = 0; traced && w < l->map_words; w++) {
                    traced[k * trace_words + w] = stored[w];
                }
            }
            traced = traced ? traced + l->map_words : traced;
        }
        for (uint32_t k = 0; k < g.n; k++) {
            mtj_scores(last, model, packed, g.source[k], scores + k * last->out_channels, scratch);
        }
        n -= g.n, images += g.n * pixels, indices += g.n, scores += g.n * last->out_channels;
        counts += g.n * MTJ_COUNTS;
        trace = trace ? trace + g.n * trace_words : trace;
    }
}
