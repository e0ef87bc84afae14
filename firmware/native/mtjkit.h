/* mtjkit's kernels: whole layers of a packed binarized network and the emulated MTJ memory.
 *
 * The definition is mtjkit_core (reference.py, mtj_memory.py, streams.py); everything here gives the same
 * bits. Words are 32-bit little-endian, bit 0 first, 1 means +1; maps are (y, x, channel).
 * All buffers come from the caller and are 4-byte aligned; nothing is allocated.
 */
#ifndef MTJKIT_H
#define MTJKIT_H

#include <stddef.h>
#include <stdint.h>

/* One layer, filled by Python: mtjkit_core.model.Layer's attributes of the same names, in the
 * order of mtjkit_core.footprint.geometry, and two more. Offsets (.._at) are bytes. */
typedef struct {
    int32_t in_height, in_width, in_channels, in_words;
    int32_t kernel_height, kernel_width, padding, pool;
    int32_t map_height, map_width, out_channels, out_words;
    int32_t fan_in, row_words, run_words, run_bits;
    int32_t weights_at, thresholds_at, inverted_at;
    int32_t map_words, weight_words;
    int32_t index;     /* number of the layer; 0 takes int8 pixels */
    int32_t packed_at; /* where the repacked weights are; -1: they are read in place */
} mtj_layer;

/* Error process of a write: the threshold of a rate is round(rate * 2**32). */
typedef struct {
    uint32_t threshold; /* modulo 2**32 */
    uint32_t certain;   /* 1: the rate is 1; every bit fails, nothing is drawn */
    uint32_t keep;      /* 0: an error inverts the written bit; 1: it leaves the old bit */
} mtj_rate;

/* Bytes that the fast kernels of this processor want for a layer's weights repacked; 0 where
 * the weights are best read in place. */
size_t mtj_packed_bytes(const mtj_layer *layer);

/* Repack a layer's weights. To be done again after they were programmed. */
void mtj_pack(const mtj_layer *layer, const uint8_t *model, uint8_t *packed);

/* Bytes of scratch memory that a layer needs. */
size_t mtj_scratch_bytes(const mtj_layer *layer);

/* A hidden layer's intended output: packed, pooled bits. `source` is the int8 image for the
 * first layer, the input map for the others. */
void mtj_map(const mtj_layer *layer, const uint8_t *model, const uint8_t *packed,
             const void *source, uint32_t *out, void *scratch);

/* The last layer's scores: signed sums. */
void mtj_scores(const mtj_layer *layer, const uint8_t *model, const uint8_t *packed,
                const uint32_t *source, int32_t *scores, void *scratch);

/* Set the eight streams of a place (mtjkit_core.streams.place_word of stream 0): words 4s .. 4s+3
 * of `state` are stream s. key: the seed's low and high word. */
void mtj_seed(uint32_t state[32], const uint32_t key[2], uint32_t image, uint32_t place);

/* Write a hidden layer's map. counts: bits [written, toggled, wrong], added to. */
void mtj_write(const mtj_layer *layer, uint32_t *cells, const uint32_t *intended,
               uint32_t state[32], const mtj_rate *rate, uint32_t counts[3]);

/* Write a layer's weights in place, over cells that count as all 0. */
void mtj_program(const mtj_layer *layer, uint8_t *model, uint32_t state[32], const mtj_rate *rate,
                 uint32_t counts[3]);

/* Images through the whole network, for the host.
 *
 * layers: `count` of them. images: n images of int8. work: both halves of the buffer
 * (half_words), then a map as long as the longer half, then the scratch memory.
 * scores: n times the classes; counts: n times 3, set. trace: NULL, or room for every stored map
 * of every image.
 */
void mtj_run(const mtj_layer *layers, uint32_t count, const uint8_t *model, const uint8_t *packed,
             uint32_t n, const int8_t *images, const uint32_t *indices, const uint32_t key[2],
             const mtj_rate *rate, const uint32_t half_words[2], uint32_t *work, int32_t *scores,
             uint32_t *counts, uint32_t *trace);

#endif
