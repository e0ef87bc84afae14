/* Fixed-point networks on the host: exact sums, batch norm, pooling, rounding; and the writes of
 * their maps, each one long run of bits.
 *
 * Codes are products of int16 pieces. Inputs up to 16 bits are one piece each; of 32 bits two,
 * x = 2^16 high + (low + 2^15). Weights are pieces of 8 bits, w = sum of 2^(8 d) piece[d], each
 * in [-128, 128]. A product of two pieces is at most 2^22, so an int32 holds `chunk` pairs of
 * them; chunks are added up in int64, where every sum is exact. Faster ways for some layers and
 * processors: fixed_amx.h, winograd_avx2.h, wide_avx2.h.
 *
 * Called through ctypes by mtjkit_host.simulate.fixed_native, which lays out inputs and weights.
 * Multiplications and additions of batch norm are never next to each other, so fusing them cannot
 * change a code.
 */
#include <math.h>
#include <string.h>

#include "bits.h"
#include "mtjkit.h"

#include "simd.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { LANES = 32 }; /* int32 sums of one panel: LANES / digits outputs x digits weight pieces */

/* LANES sums each, sum_step apart = products of the windows at x, x + col_step, ... with one panel.
 */
typedef void tile_function(int32_t *sums, ptrdiff_t sum_step, const int16_t *x, ptrdiff_t row_step,
                           ptrdiff_t col_step, const int16_t *w, int taps, int pairs);

/* Keeps compilers from loading a vector of weights again for each pixel. */
#define IN_REGISTER(vector) __asm__("" : "+v"(vector))

#define TILE(NAME, TARGET, VECTOR, COUNT, PIXELS, ZERO, LOAD, PAIR, MADD, STORE)                   \
    TARGET static void NAME(int32_t *sums, ptrdiff_t sum_step, const int16_t *x,                   \
                            ptrdiff_t row_step, ptrdiff_t col_step, const int16_t *w, int taps,    \
                            int pairs) {                                                           \
        VECTOR total[PIXELS][COUNT];                                                               \
        UNROLL for (int p = 0; p < PIXELS; p++) {                                                  \
            UNROLL for (int v = 0; v < COUNT; v++) { total[p][v] = ZERO(); }                       \
        }                                                                                          \
        for (int tap = 0; tap < taps; tap++, x += row_step) {                                      \
            for (int k = 0; k < pairs; k++, w += 2 * LANES) {                                      \
                VECTOR weights[COUNT];                                                             \
                UNROLL for (int v = 0; v < COUNT; v++) {                                           \
                    weights[v] = LOAD(w + v * 2 * LANES / COUNT);                                  \
                    IN_REGISTER(weights[v]);                                                       \
                }                                                                                  \
                UNROLL for (int p = 0; p < PIXELS; p++) {                                          \
                    int32_t two;                                                                   \
                    memcpy(&two, x + p * col_step + 2 * k, sizeof two);                            \
                    VECTOR pair = PAIR(two);                                                       \
                    UNROLL for (int v = 0; v < COUNT; v++) {                                       \
                        total[p][v] = MADD(total[p][v], pair, weights[v]);                         \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        UNROLL for (int p = 0; p < PIXELS; p++) {                                                  \
            UNROLL for (int v = 0; v < COUNT; v++) {                                               \
                STORE(sums + p * sum_step + v * LANES / COUNT, total[p][v]);                       \
            }                                                                                      \
        }                                                                                          \
    }

#ifdef MTJ_AVX512
#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define LOAD16(w) _mm512_loadu_si512(w)
TILE(tile8_vnni, VNNI, __m512i, 2, 8, _mm512_setzero_si512, LOAD16, _mm512_set1_epi32,
     _mm512_dpwssd_epi32, _mm512_storeu_si512)
TILE(tile1_vnni, VNNI, __m512i, 2, 1, _mm512_setzero_si512, LOAD16, _mm512_set1_epi32,
     _mm512_dpwssd_epi32, _mm512_storeu_si512)
#endif

#ifdef MTJ_AVX2
#define LOAD8(w) _mm256_loadu_si256((const __m256i *)(w))
#define STORE8(to, v) _mm256_storeu_si256((__m256i *)(to), v)
#define MADD8(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
TILE(tile2_avx2, AVX2, __m256i, 4, 2, _mm256_setzero_si256, LOAD8, _mm256_set1_epi32, MADD8, STORE8)
TILE(tile1_avx2, AVX2, __m256i, 4, 1, _mm256_setzero_si256, LOAD8, _mm256_set1_epi32, MADD8, STORE8)
#endif

static void tile1_plain(int32_t *sums, ptrdiff_t sum_step, const int16_t *x, ptrdiff_t row_step,
                        ptrdiff_t col_step, const int16_t *w, int taps, int pairs) {
    (void)sum_step, (void)col_step;
    memset(sums, 0, LANES * sizeof *sums);
    for (int tap = 0; tap < taps; tap++, x += row_step) {
        for (int k = 0; k < pairs; k++, w += 2 * LANES) {
            for (int j = 0; j < LANES; j++) {
                sums[j] += x[2 * k] * w[2 * j] + x[2 * k + 1] * w[2 * j + 1];
            }
        }
    }
}

/* Add the pieces of a tile's sums, 2^(8 d) apart, to the outputs' sums. */
INLINE void gather(int64_t *to, const int32_t *sums, int digits) {
    for (int j = 0; j < LANES / digits; j++) {
        int64_t sum = sums[j];
        for (int d = 1; d < digits; d++) {
            sum += (int64_t)sums[d * (LANES / digits) + j] * (1 << 8 * d);
        }
        to[j] += sum;
    }
}

/* Sums of one row of outputs, [col][outputs of all panels], with one piece of the inputs. */
INLINE void row_sums(const mtj_fixed_layer *g, const int16_t *x, const int16_t *w, int64_t *sums,
                     tile_function *wide, int width, tile_function *single) {
    int per_panel = LANES / g->digits, stride = g->panels * per_panel;
    int taps = g->pairs < g->chunk ? g->chunk / g->pairs : 1;
    int pairs = g->pairs < g->chunk ? g->pairs : g->chunk;
    memset(sums, 0, sizeof *sums * g->cols * stride);
    for (int panel = 0; panel < g->panels; panel++) {
        for (int tap = 0; tap < g->taps; tap += taps) {
            int some = g->taps - tap < taps ? g->taps - tap : taps;
            for (int k = 0; k < g->pairs; k += pairs) {
                int count = g->pairs - k < pairs ? g->pairs - k : pairs;
                const int16_t *from = x + (ptrdiff_t)tap * g->row_step + 2 * k;
                const int16_t *weights =
                    w + (((ptrdiff_t)panel * g->taps + tap) * g->pairs + k) * 2 * LANES;
                for (int col = 0, done; col < g->cols; col += done) {
                    int32_t tile[8 * LANES];
                    done = g->cols - col < width ? 1 : width;
                    (done == 1 ? single : wide)(tile, LANES, from + (ptrdiff_t)col * g->col_step,
                                                g->row_step, g->col_step, weights, some, count);
                    for (int p = 0; p < done; p++) {
                        int64_t *to = sums + (ptrdiff_t)(col + p) * stride + panel * per_panel;
                        if (g->digits == 1) {
                            gather(to, tile + p * LANES, 1);
                        } else if (g->digits == 2) {
                            gather(to, tile + p * LANES, 2);
                        } else {
                            gather(to, tile + p * LANES, 4);
                        }
                    }
                }
            }
        }
    }
}

/* The double of an integer between -2^51 and 2^51, in a way that compilers make vectors of. */
INLINE double exact_double(int64_t x) {
    double value;
    x += 0x4338000000000000; /* 2^52 + 2^51 as a double */
    memcpy(&value, &x, sizeof value);
    return value - 6755399441055744.0;
}

/* a 2^32 + b with 0 <= b < 2^32, rounded once: both products are exact. */
INLINE double rounded_once(int64_t a, int64_t b) {
    return exact_double(a) * 4294967296.0 + exact_double(b);
}

/* The sums of one row in doubles: 2^16 high + low + fixed, rounded once. */
INLINE void row_totals(const mtj_fixed_layer *g, const int64_t *high, const int64_t *low,
                       const int64_t *fixed, double *totals) {
    int stride = g->panels * (LANES / g->digits);
    for (int col = 0; col < g->cols; col++) {
        for (int o = 0; o < stride; o++) {
            int at = col * stride + o;
            if (g->piece_step) {
                int64_t rest = (high[at] & 0xFFFF) * 65536 + low[at] + fixed[o];
                totals[at] = rounded_once((high[at] >> 16) + (rest >> 32), rest & 0xFFFFFFFF);
            } else {
                totals[at] = (double)high[at]; /* below 2^53: exact */
            }
        }
    }
}

/* Codes of `count` outputs from their sums, or from the four sums of each that are pooled.
 *
 * norm: [5][out]: sign of gamma, mean, gamma, std, beta. The pool takes the largest y of four,
 * which is that of the largest sum, or of the smallest where gamma is negative: every operation
 * of y is monotone, rounding included. */
INLINE void codes_from(const double *a, const double *b, const double *c, const double *d, int pool,
                       int count, int out, const double *norm, double scale, int bits, double *y,
                       char *codes) {
    const double *sign = norm, *mean = norm + out, *gamma = mean + out, *std = gamma + out;
    const double *beta = std + out, one = (double)(1ULL << (bits - 1));
    for (int o = 0; o < count; o++) {
        double sum = a[o];
        if (pool == 2) {
            double s = sign[o], one_row = s * a[o], other = s * c[o];
            one_row = one_row > s * b[o] ? one_row : s * b[o];
            other = other > s * d[o] ? other : s * d[o];
            sum = s * (one_row > other ? one_row : other);
        }
        double code = rint(((sum * scale - mean[o]) * gamma[o] / std[o] + beta[o]) * one);
        code = code < -one ? -one : code;
        y[o] = code > one - 1 ? one - 1 : code;
    }
    if (bits == 8) {
        for (int o = 0; o < count; o++) {
            ((int8_t *)codes)[o] = (int8_t)y[o];
        }
    } else if (bits == 16) {
        for (int o = 0; o < count; o++) {
            ((int16_t *)codes)[o] = (int16_t)y[o];
        }
    } else {
        for (int o = 0; o < count; o++) {
            ((int32_t *)codes)[o] = (int32_t)y[o];
        }
    }
}

/* A row of codes; totals: the sums of `pool` rows. */
INLINE void row_codes(const mtj_fixed_layer *g, const double *totals, const double *norm,
                      double scale, double *y, char *codes) {
    int stride = g->panels * (LANES / g->digits);
    for (int col = 0; col < g->cols / g->pool; col++) {
        const double *a = totals + (ptrdiff_t)col * g->pool * stride;
        const double *c = a + (ptrdiff_t)g->cols * stride;
        codes_from(a, a + stride, c, c + stride, g->pool, g->out, g->out, norm, scale, g->bits, y,
                   codes);
        codes += g->out * (g->bits / 8);
    }
}

/* Codes (images, rows, cols, out) after pooling; or without `norm` sums in values, doubles. */
INLINE void layer(const mtj_fixed_layer *g, int images, const int16_t *x, const int16_t *w,
                  const int64_t *fixed, const double *norm, double scale, char *to, int64_t *work,
                  tile_function *wide, int width, tile_function *single) {
    int stride = g->panels * (LANES / g->digits);
    ptrdiff_t row = (ptrdiff_t)g->cols * stride;
    int64_t *high = work, *low = high + row;
    double *totals = (double *)(low + row), *y = totals + 2 * row;
    for (int image = 0; image < images; image++, x += g->image_step) {
        for (int at = 0; at + g->pool <= g->rows; at += g->pool) {
            for (int r = 0; r < g->pool; r++) {
                const int16_t *from = x + (ptrdiff_t)(at + r) * g->row_step;
                row_sums(g, from, w, high, wide, width, single);
                if (g->piece_step) {
                    row_sums(g, from + g->piece_step, w, low, wide, width, single);
                }
                row_totals(g, high, low, fixed, totals + r * row);
            }
            if (norm) {
                row_codes(g, totals, norm, scale, y, to);
                to += (ptrdiff_t)(g->cols / g->pool) * g->out * (g->bits / 8);
                continue;
            }
            for (int col = 0; col < g->cols; col++) {
                for (int o = 0; o < g->out; o++, to += sizeof(double)) {
                    *(double *)to = totals[(ptrdiff_t)col * stride + o] * scale;
                }
            }
        }
    }
}

#include "rows.h"

#ifdef MTJ_AVX2
#include "wide_winograd_avx2.h"
#endif

#ifdef MTJ_AMX
#include "fixed_amx.h"
#endif

#define ARGUMENTS g, images, x, w, fixed, norm, scale, to, work
#define PARAMETERS                                                                                 \
    const mtj_fixed_layer *g, int images, const int16_t *x, const int16_t *w,                      \
        const int64_t *fixed, const double *norm, const float *line, double scale, char *to,       \
        int64_t *work

/* A layer by the tiles of one level. */
#define LEVEL(NAME, TARGET, WIDE, WIDTH, SINGLE)                                                   \
    TARGET static void NAME(PARAMETERS) {                                                          \
        if (g->bits == 8 && norm) {                                                                \
            layer8(g, images, x, w, norm, line, scale, (int8_t *)to, (int32_t *)work, WIDE, WIDTH, \
                   SINGLE);                                                                        \
        } else {                                                                                   \
            layer(ARGUMENTS, WIDE, WIDTH, SINGLE);                                                 \
        }                                                                                          \
    }
#ifdef MTJ_AVX512
LEVEL(layer_vnni, VNNI, tile8_vnni, 8, tile1_vnni)
#endif
#ifdef MTJ_AVX2
LEVEL(layer_avx2, AVX2, tile2_avx2, 2, tile1_avx2)
#endif

void mtj_fixed_run(PARAMETERS, int level) {
#ifdef MTJ_AVX512
    if (level >= 2) {
        layer_vnni(g, images, x, w, fixed, norm, line, scale, to, work);
        return;
    }
#endif
#ifdef MTJ_AVX2
    if (level == 1) {
        layer_avx2(g, images, x, w, fixed, norm, line, scale, to, work);
        return;
    }
#endif
    (void)level, (void)line;
    layer(ARGUMENTS, tile1_plain, 1, tile1_plain);
}

#define WINOGRAD                                                                                   \
    const mtj_winograd *g, int images, const char *x, const int16_t *w, const double *norm,        \
        const float *line, double scale, char *to, char *work
#define EIGHT(TILE_FUNCTION, WIDTH)                                                                \
    winograd8(g, images, x, w, norm, line, scale, (int8_t *)to, work, TILE_FUNCTION, WIDTH)
#ifdef MTJ_AVX512
VNNI static void winograd_vnni(WINOGRAD) { EIGHT(tile8_vnni, 8); }
#endif
#ifdef MTJ_AVX2
AVX2 static void winograd_avx2(WINOGRAD) { EIGHT(tile2_avx2, 2); }
#endif

int mtj_winograd_run(WINOGRAD, int level) {
#ifdef MTJ_AVX512
    if (level >= 2) {
        winograd_vnni(g, images, x, w, norm, line, scale, to, work);
        return 1;
    }
#endif
#ifdef MTJ_AVX2
    if (level == 1) {
        winograd_avx2(g, images, x, w, norm, line, scale, to, work);
        return 1;
    }
#endif
    (void)g, (void)images, (void)x, (void)w, (void)norm, (void)line, (void)scale, (void)to;
    (void)work, (void)level;
    return 0;
}

#define WIDE                                                                                       \
    const mtj_wide *g, int images, const char *x, const double *w, const double *norm,             \
        double scale, char *to, double *work
#ifdef MTJ_AVX2
FMA static void wide_avx2(WIDE) {
    if (g->input_bits == 8) {
        wide_layer(g, images, x, w, norm, scale, to, work, 8);
    } else if (g->input_bits == 16) {
        wide_layer(g, images, x, w, norm, scale, to, work, 16);
    } else {
        wide_layer(g, images, x, w, norm, scale, to, work, 32);
    }
}
#endif

int mtj_wide_run(WIDE) {
#ifdef MTJ_AVX2
    wide_avx2(g, images, x, w, norm, scale, to, work);
    return 1;
#else
    (void)g, (void)images, (void)x, (void)w, (void)norm, (void)scale, (void)to, (void)work;
    return 0;
#endif
}

#define WIDE_WINOGRAD                                                                              \
    const mtj_wide *g, int images, const char *x, const double *w, const int32_t *codes,           \
        const double *norm, const double *line, double scale, char *to, double *work
#ifdef MTJ_AVX2
FMA static void wide_winograd_avx2(WIDE_WINOGRAD) {
    if (g->bits == 16) {
        wide_winograd(g, images, x, w, codes, norm, line, scale, to, work, 16);
    } else {
        wide_winograd(g, images, x, w, codes, norm, line, scale, to, work, 32);
    }
}
#endif

int mtj_wide_winograd_run(WIDE_WINOGRAD) {
#ifdef MTJ_AVX2
    wide_winograd_avx2(g, images, x, w, codes, norm, line, scale, to, work);
    return 1;
#else
    (void)g, (void)images, (void)x, (void)w, (void)codes, (void)norm, (void)line, (void)scale;
    (void)to, (void)work;
    return 0;
#endif
}

size_t mtj_matrix_bytes(const mtj_matrix *layer, int images) {
#ifdef MTJ_AMX
    return mtj_level() == 3 ? matrix_bytes(layer, images) : 0;
#else
    (void)layer, (void)images;
    return 0;
#endif
}

void mtj_matrix_run(const mtj_matrix *layer, int images, const char *x, ptrdiff_t x_step, char *to,
                    ptrdiff_t to_step, char *work) {
#ifdef MTJ_AMX
    matrix_run(layer, images, x, x_step, to, to_step, work);
#else
    (void)layer, (void)images, (void)x, (void)x_step, (void)to, (void)to_step, (void)work;
#endif
}

const char *mtj_simd(void) {
#if defined(MTJ_NEON)
    return "NEON";
#elif defined(MTJ_AVX2)
    static const char *const names[] = {"portable", "AVX2", "AVX-512", "AMX"};
    return names[mtj_level()];
#else
    return "portable";
#endif
}

int mtj_fixed_level(void) {
#ifdef MTJ_AVX512
    const uint32_t wide = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    uint32_t a, b, c, d, kept, high;
    if (mtj_level() && __get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0)); /* registers that the system keeps */
        if ((kept & 0xe6) == 0xe6 && (b & wide) == wide && (c & bit_AVX512VNNI)) {
            return mtj_level() == 3 ? 3 : 2;
        }
    }
#endif
#ifdef MTJ_AVX2
    uint32_t families, steps, features, more;
    if (mtj_level() && __get_cpuid(1, &families, &steps, &features, &more)) {
        return (features & bit_FMA) != 0;
    }
#endif
    return 0;
}

void mtj_fixed_write(int n, int bits, uint32_t *cells, int step, const uint32_t *intended,
                     const uint32_t *images, const uint32_t key[2], uint32_t place,
                     const mtj_write_errors *errors, uint32_t *counts) {
    write_rows(n, (uint32_t)bits, cells, step, intended, (bits + 31) / 32, images, key, place,
               errors, counts);
}

#include "fixed_images.h"

size_t mtj_matrix_images_bytes(const mtj_matrix *layers, int count) {
    return images_bytes(layers, count);
}

void mtj_matrix_images(const mtj_matrix *layers, int count, int n, const int8_t *images,
                       const uint32_t *indices, const uint32_t key[2], const mtj_place *places,
                       const mtj_write_errors *errors, const mtj_first *first, double *scores,
                       uint32_t *counts, uint32_t *const *trace, char *work) {
    run_images(layers, count, n, images, indices, key, places, errors, first, scores, counts, trace,
               work);
}
