/* mtjkit's C library, for boards and hosts: the emulated MTJ memory (memory.c), whole layers of
 * packed binarized networks (binary.c), and, on hosts, whole images (chip.c) and layers of
 * fixed-point networks (fixed.c). They call the memory; the memory calls none of them. Campaigns
 * ask which images no error reaches (spared.c), calibration asks for sums (sums.c).
 *
 * The definition is Python's, and everything here gives the same bits: mtjkit_core (reference.py,
 * mtj_memory.py, streams.py), and mtjkit_host.simulate for fixed point. Words are 32-bit
 * little-endian, bit 0 first, 1 means +1; maps are (y, x, channel). All buffers come from the
 * caller and are 4-byte aligned; nothing is allocated.
 */
#ifndef MTJKIT_H
#define MTJKIT_H

#include <stddef.h>
#include <stdint.h>

/* ---- memory.c: the emulated memory ---- */

/* Error process of a write, as mtjkit_core.write_errors.words makes it. The fail limit of a rate is
 * round(rate * 2**32): down where a 0 is written, up where a 1 is. */
typedef struct {
    uint32_t down, up;                 /* the limits modulo 2**32 */
    uint32_t down_certain, up_certain; /* 1: the rate is 1; every bit fails, nothing is drawn */
    uint32_t keep; /* 0: an error inverts the written bit; 1: it leaves the old bit */
} mtj_write_errors;

/* What a write counts, in bits: written, toggled, wrong, ones written, toggled up. */
enum { MTJ_COUNTS = 5 };

/* Set the eight streams of a place (mtjkit_core.streams.place_word of stream 0): words 4s .. 4s+3
 * of `state` are stream s. key: the seed's low and high word. */
void mtj_seed(uint32_t state[32], const uint32_t key[2], uint32_t image, uint32_t place);

/* Write `words` words of cells: runs of `run_words` words, of which `run_bits` bits exist.
 *
 * fresh: the cells count as all 0, whatever lies there. cells and intended may be the same.
 * state: of one place, word w is drawn from stream w % 8; it runs on. counts: added to. */
void mtj_write_run(uint32_t *cells, const uint32_t *intended, int fresh, uint32_t words,
                   uint32_t run_words, uint32_t run_bits, uint32_t state[32],
                   const mtj_write_errors *errors, uint32_t counts[MTJ_COUNTS]);

/* ---- binary.c: layers of binary networks ---- */

/* The values of `reads` and `output`, as in mtjkit_core.geometry. */
enum { MTJ_INT8, MTJ_ZERO_ONE, MTJ_PLUS_MINUS, MTJ_PACKED, MTJ_NUMBERS };
enum { MTJ_BITS, MTJ_SUMS, MTJ_CLASS_BITS, MTJ_AVERAGES, MTJ_SIGNED };

/* Whether an output is bits that the memory holds: mtjkit_core.geometry.STORED. */
#define MTJ_STORED(output) (!((output) & 3))

/* One layer, filled by Python: LayerShape's attributes of the same names, in the order of FIELDS
 * (mtjkit_core.geometry), and packed_at. Offsets (.._at) are bytes. */
typedef struct {
    /* FIELDS begin */
    int32_t in_height, in_width, in_channels, in_words;
    int32_t kernel_height, kernel_width, padding, pool;
    int32_t map_height, map_width, out_channels, out_words;
    int32_t fan_in, row_words, run_words, run_bits;
    int32_t weights_at, thresholds_at, inverted_at;
    int32_t map_words, weight_words;
    int32_t index;  /* number of the layer; 0 takes int8 pixels */
    int32_t source; /* number of the map that it reads; map 0 is the image */
    int32_t stride_y, stride_x, pad_top, pad_left, pad_value;
    int32_t pool_height, pool_width, pool_stride_y, pool_stride_x;
    int32_t reads;  /* how its input lies: MTJ_INT8 ... */
    int32_t cells;  /* of the weights' memory for one weight: 1, or 8 for int8 */
    int32_t output; /* MTJ_BITS ... */
    int32_t groups; /* of channels */
    /* FIELDS end */
    int32_t packed_at; /* where the repacked weights are; -1: they are read in place */
} mtj_layer;

/* Bytes that the fast kernels of this processor want for a layer's weights repacked; 0 where
 * the weights are best read in place. */
size_t mtj_packed_bytes(const mtj_layer *layer);

/* Repack a layer's weights. To be done again after they were programmed. */
void mtj_pack(const mtj_layer *layer, const uint8_t *model, uint8_t *packed);

/* Bytes of scratch memory that a layer needs. */
size_t mtj_scratch_bytes(const mtj_layer *layer);

/* A hidden layer's intended output: packed, pooled bits, or averages as int16. `source` is the int8
 * image for the first layer, the input map for the others. */
void mtj_map(const mtj_layer *layer, const uint8_t *model, const uint8_t *packed,
             const void *source, uint32_t *out, void *scratch);

/* The same of n images, up to MTJ_TOGETHER, side by side, and the bytes of scratch memory that this
 * takes. On x86-64 only, where AMX may be. */
void mtj_maps(const mtj_layer *layer, const uint8_t *model, const uint8_t *packed, uint32_t n,
              const void *const *sources, uint32_t *const *outs, void *scratch);
size_t mtj_maps_bytes(const mtj_layer *layer, uint32_t n);

/* The last layer's scores: signed sums, or 1 and -1. `source` as above. */
void mtj_scores(const mtj_layer *layer, const uint8_t *model, const uint8_t *packed,
                const void *source, int32_t *scores, void *scratch);

/* Write a hidden layer's map. counts: added to. */
void mtj_write(const mtj_layer *layer, uint32_t *cells, const uint32_t *intended,
               uint32_t state[32], const mtj_write_errors *errors, uint32_t counts[MTJ_COUNTS]);

/* Write a layer's weights in place, over cells that count as all 0. */
void mtj_program(const mtj_layer *layer, uint8_t *model, uint32_t state[32],
                 const mtj_write_errors *errors, uint32_t counts[MTJ_COUNTS]);

/* ---- chip.c: whole images, and chips whose cells differ, on hosts only ---- */

enum { MTJ_CLASSES = 4, MTJ_TOGETHER = 4 };

/* What mtjkit_core.chip_errors.ChipErrors says of maps, or of weights. */
typedef struct {
    const mtj_write_errors *classes; /* MTJ_CLASSES of each hidden layer, or layer; NULL: all cells
                                        are alike */
    const mtj_write_errors *disturb; /* one of each */
    uint32_t key[2];                 /* the chip's seed */
    uint32_t before;                 /* 1: cells of maps hold random bits before an image; or 0 */
} mtj_chip;

/* mtj_program on a chip. errors: for cells that are alike. */
void mtj_program_chip(const mtj_layer *layer, uint8_t *model, uint32_t state[32],
                      const mtj_write_errors *errors, const mtj_chip *chip,
                      uint32_t counts[MTJ_COUNTS]);

/* Maps of the first layer as intended, kept from one call to the next. */
typedef struct {
    uint32_t count; /* of images with indices 0 .. count - 1 */
    uint8_t *there; /* whether an image's map is there */
    uint32_t *maps; /* of all */
} mtj_first;

/* Bytes of scratch memory that mtj_run needs for a layer. */
size_t mtj_run_bytes(const mtj_layer *layer, uint32_t together);

/* Images through the whole network.
 *
 * layers: `count` of them. images: n images of int8. errors: one for each hidden layer.
 * chip: NULL where all cells are alike, erased before an image and not disturbed.
 * together: how many images are computed layer by layer, 1 to MTJ_TOGETHER. work: for each of them
 * both halves of the buffer (half_words) and a map as long as the longer half; then the scratch
 * memory. scores: n times the classes; counts: n times MTJ_COUNTS, set. trace: NULL, or
 * room for every stored map of every image. first: NULL, or maps that are taken if they are there,
 * and else are put there.
 */
void mtj_run(const mtj_layer *layers, uint32_t count, const uint8_t *model, const uint8_t *packed,
             uint32_t n, const int8_t *images, const uint32_t *indices, const uint32_t key[2],
             const mtj_write_errors *errors, const mtj_chip *chip, const uint32_t half_words[2],
             uint32_t together, uint32_t *work, int32_t *scores, uint32_t *counts, uint32_t *trace,
             const mtj_first *first);

/* ---- spared.c: on hosts only: images that no error reaches ---- */

/* Where a map is written: words and runs as mtj_write_run takes them, and mtj_seed's place. */
typedef struct {
    uint32_t words, run_words, run_bits, place;
} mtj_place;

/* Which of n images have no failing bit in any of `count` maps, 1 or 0: then what is stored is what
 * is intended. errors: of each map, with equal limits in both directions. */
void mtj_spared(const mtj_place *places, uint32_t count, uint32_t n, const uint32_t *indices,
                const uint32_t key[2], const mtj_write_errors *errors, uint8_t *spared);

/* ---- sums.c: on hosts only: for calibration ---- */

/* Bytes of work memory for mtj_sums; 0 where this processor or layer has none. */
size_t mtj_sums_bytes(const mtj_layer *layer);

/* What the stored bits of a hidden layer hang on: the largest sum of each pooling window, or the
 * smallest one where the channel is inverted.
 *
 * cells: n input maps, one after the other. sums: n times (pixel of the map, 32 * out_words),
 * channels beyond out_channels without meaning. work: mtj_sums_bytes. */
void mtj_sums(const mtj_layer *layer, const uint8_t *model, uint32_t n, const uint32_t *cells,
              int16_t *sums, uint8_t *work);

/* How often each sum comes with a bit of 0 and of 1, for up to 32 channels of n pixels.
 *
 * sums: channel c of pixel i at [i * stride + c], low .. low + span - 1. bits: its bit c of
 * [i * words]. counts: [channels][span][2], added to. */
void mtj_histograms(uint32_t n, uint32_t channels, const int16_t *sums, uint32_t stride,
                    const uint32_t *bits, uint32_t words, int32_t low, uint32_t span,
                    uint32_t *counts);

/* ---- fixed.c: on hosts only: fixed-point networks, and what runs ---- */

/* The vector code that memory.c and binary.c use on this processor: AVX-512, AVX2, NEON, portable.
 */
const char *mtj_simd(void);

/* One layer and how its inputs lie; see mtjkit_host.simulate.fixed_native. */
typedef struct {
    int32_t rows, cols;         /* of outputs, before pooling */
    int32_t row_step, col_step; /* int16s from one output's window to the next one's */
    int32_t image_step;         /* int16s from one image to the next */
    int32_t piece_step;         /* int16s from the inputs' high pieces to their low ones; or 0 */
    int32_t taps, pairs;        /* rows of a window, pairs of products in one */
    int32_t chunk;              /* pairs that an int32 holds */
    int32_t out, panels;        /* outputs, panels of weights */
    int32_t digits;             /* pieces of a weight: 1, 2 or 4 */
    int32_t pool, bits;         /* of the outputs */
} mtj_fixed_layer;

/* A layer's codes (images, rows, cols, out) after pooling; without `norm` its sums in values.
 *
 * x, w: inputs and weights in int16 pieces. fixed: a sum's part that follows from the weights
 * alone. norm: [5][out] doubles, sign of gamma, mean, gamma, std, beta; or NULL. line: [4][stride]
 * floats for 8 bits: factor and offset of a code as a function of its sum, how near a whole number
 * a code must be so that it is sure, all bits where gamma is negative. scale: value of a sum of 1.
 * work: 4 * cols * stride + out int64s, stride the outputs of all panels. level: see
 * mtj_fixed_level. */
void mtj_fixed_run(const mtj_fixed_layer *layer, int images, const int16_t *x, const int16_t *w,
                   const int64_t *fixed, const double *norm, const float *line, double scale,
                   char *to, int64_t *work, int level);

/* A hidden 3x3 convolution of 8 bits with zeros around its input; see winograd_avx2.h. */
typedef struct {
    int32_t rows, cols;    /* of inputs, and of outputs before pooling */
    int32_t channels, out; /* of inputs and outputs */
    int32_t chunk;         /* channels that are computed together, a multiple of 16 */
    int32_t panels;        /* of 32 outputs */
    int32_t tiles;         /* computed together, a multiple of 8 */
    int32_t pool;
} mtj_winograd;

/* A convolution's codes (images, rows, cols, out) after pooling, by Winograd's way; 0 where `level`
 * has none.
 *
 * x: codes (images, rows, cols, channels). w: transformed weights, of each chunk and panel
 * [36][pairs][32][2]. norm, line, scale: see mtj_fixed_run. work: int32s [tiles][36][32] and, of
 * more than one chunk, [panels][tiles][16][32]; int16s [36][tiles * chunk + 32]; and bytes of one
 * image with two more rows and columns than all tiles have, channels those of all chunks. */
int mtj_winograd_run(const mtj_winograd *layer, int images, const char *x, const int16_t *w,
                     const double *norm, const float *line, double scale, char *to, char *work,
                     int level);

/* A layer whose codes have 16 or 32 bits; see wide_avx2.h. */
typedef struct {
    int32_t rows, cols;       /* of outputs, before pooling; a dense layer has an image a column */
    int32_t channels, out;    /* of inputs and outputs */
    int32_t taps;             /* 3: a 3x3 convolution with zeros around its input; 1: dense */
    int32_t pool;             /* 1 or 2 */
    int32_t input_bits, bits; /* of inputs and of outputs */
    int32_t tiles;            /* computed together, a multiple of 6 */
} mtj_wide;

/* A layer's codes (images, rows, cols, out) after pooling; without `norm` its sums in values.
 * Returns 0 on processors that lack what it takes, which have mtj_fixed_level 0.
 *
 * x: codes (images, rows, cols, channels). norm, scale: see mtj_fixed_run. `parts` below are 3 for
 * inputs of 32 bits, else 1.
 *
 * w: [panels of 8][parts][taps][taps * channels][8]. work: doubles [parts] of one image, with zeros
 * around it where taps is 3, and [2 + parts][cols][outputs of all panels]. */
int mtj_wide_run(const mtj_wide *layer, int images, const char *x, const double *w,
                 const double *norm, double scale, char *to, double *work);

/* The same codes of a hidden convolution, whose inputs are as wide as its outputs, by Winograd's
 * way; see wide_winograd_avx2.h.
 *
 * w: transformed weights, [groups of 32][36][4][depth][8], depth the next multiple of 8 channels.
 * codes: weights, [out][3][3][channels]. line: [3 + places][outputs of all groups] doubles: factor
 * and offset of a code as a function of 576 times its sum; how near a whole number a code must be
 * so that it is sure if that sum is exact; and by how much nearer for each unit of a tile's length,
 * at each of a tile's places after pooling. work: doubles [tiles][36][32], [36][tiles * depth + 8]
 * and [tiles]; and bytes of one image with two more rows and columns than all tiles have, of depth
 * channels. */
int mtj_wide_winograd_run(const mtj_wide *layer, int images, const char *x, const double *w,
                          const int32_t *codes, const double *norm, const double *line,
                          double scale, char *to, double *work);

/* A layer by AMX; see fixed_amx.h. weights begin on a cache line. */
typedef struct {
    int32_t rows, cols;       /* of inputs, and of outputs before pooling; 1 of a dense layer */
    int32_t channels, out;    /* of inputs and outputs */
    int32_t taps;             /* 3: a 3x3 convolution with zeros around its input; 1: dense */
    int32_t pool;             /* 1 or 2 */
    int32_t input_bits, bits; /* of inputs and of outputs */
    const int8_t *weights;    /* [16 outputs][digits][taps][64 products][16][16 outputs][4] */
    const double *norm;       /* see mtj_fixed_run */
    const void *line;         /* of 8 bits as there; else [3][stride] doubles: factor and offset of
                                 a code, and how near a whole number it must be so that it is sure */
    double scale;             /* value of a sum of 1 */
} mtj_matrix;

/* Bytes of work memory that mtj_matrix_run wants; 0 on processors without AMX. */
size_t mtj_matrix_bytes(const mtj_matrix *layer, int images);

/* A layer's codes (images, rows, cols, out) after pooling; without `norm` its sums in values.
 * x: codes (images, rows, cols, channels), images x_step bytes apart; those of `to` to_step. */
void mtj_matrix_run(const mtj_matrix *layer, int images, const char *x, ptrdiff_t x_step, char *to,
                    ptrdiff_t to_step, char *work);

/* Bytes of work memory that mtj_matrix_images wants; 0 on processors without AMX. */
size_t mtj_matrix_images_bytes(const mtj_matrix *layers, int count);

/* Images through a whole network of `count` layers by AMX; see mtj_run.
 *
 * images: n images of int8. places, errors: one for each hidden layer. first: maps in bytes, one
 * after the other. scores: n times the classes; counts: n times MTJ_COUNTS, set. trace: NULL, or
 * for each hidden layer n rows of words for the stored maps. */
void mtj_matrix_images(const mtj_matrix *layers, int count, int n, const int8_t *images,
                       const uint32_t *indices, const uint32_t key[2], const mtj_place *places,
                       const mtj_write_errors *errors, const mtj_first *first, double *scores,
                       uint32_t *counts, uint32_t *const *trace, char *work);

/* The highest level of fixed-point layers on this processor: 3 AMX, 2 AVX-512 with VNNI, 1 AVX2
 * with FMA, 0 plain C. */
int mtj_fixed_level(void);

/* Write n rows of `bits` bits, each one run, into rows of cells that lie `step` words apart.
 * images: number of each row's image. counts: [n][MTJ_COUNTS], set. */
void mtj_fixed_write(int n, int bits, uint32_t *cells, int step, const uint32_t *intended,
                     const uint32_t *images, const uint32_t key[2], uint32_t place,
                     const mtj_write_errors *errors, uint32_t *counts);

#endif
