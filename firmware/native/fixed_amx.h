/* Layers of fixed-point networks by AMX, part of fixed.c: bytes times bytes, every sum exact.
 *
 * A code of 8 bits is one digit, one of 16 or 32 bits two or four: all but the highest are unsigned
 * bytes. Products of digits whose places add up to the same one are summed together, a group, in
 * int32s.
 *
 * A tile of inputs is 16 windows, a tile of weights 16 outputs, both 64 products deep. Each column
 * of a row of the map holds three columns of inputs, so windows lie at one distance, and a window
 * is three such rows, or one of a dense layer. All of them begin on a cache line: tiles of rows
 * that do not take four times as long.
 */
#ifndef MTJKIT_FIXED_AMX_H
#define MTJKIT_FIXED_AMX_H

#include "amx_tiles.h"
#include "fixed_avx2.h"
#include "mtjkit.h"

enum { GROUPS = 7, STRIP = 16 /* tiles whose sums are kept together, at most, of one group */ };

/* What follows from a layer's numbers. */
typedef struct {
    int inputs, weights;     /* digits of a code */
    int groups;              /* of products */
    int steps;               /* of 64 products, of a row of a window */
    int edge;                /* rows of zeros above the map, and below */
    int together;            /* images whose inputs are laid out together */
    int strip;               /* rows of outputs that are computed together */
    int most;                /* tiles of a strip's images, rounded up to four */
    ptrdiff_t pixel, row;    /* bytes from a window to the next one, to the one below */
    ptrdiff_t image, digit;  /* bytes from an image to the next one, from a digit's inputs */
    ptrdiff_t weights_bytes; /* of 16 outputs and one digit */
} matrix_plan;

static inline int tiles_of(int pixels) { return (pixels + TILE_ROWS - 1) / TILE_ROWS; }

static matrix_plan plan_of(const mtj_matrix *l) {
    matrix_plan p;
    p.inputs = l->input_bits / 8, p.weights = l->bits / 8;
    p.groups = p.inputs + p.weights - 1;
    p.steps = by_depth(l->taps * l->channels) / DEPTH;
    p.edge = l->taps == 3;
    const int most = p.groups == 1 ? STRIP : STRIP / 4, whole = tiles_of(l->rows * l->cols);
    p.strip = l->rows, p.together = whole < most ? most / whole : 1;
    if (whole > most) {
        p.strip = most * TILE_ROWS / l->cols / l->pool * l->pool;
        p.strip = p.strip < l->pool ? l->pool : p.strip;
    }
    p.most = (p.together * tiles_of(p.strip * l->cols) + 3) & ~3;
    /* Rows whose distance is a multiple of 512 bytes share few places of a cache. */
    p.pixel = (ptrdiff_t)DEPTH * (p.steps % 8 ? p.steps : p.steps + 1);
    p.row = p.pixel * l->cols;
    p.image = p.row * (l->rows + 2 * p.edge);
    p.digit = p.image * p.together + TILE_ROWS * p.pixel; /* a last tile is a whole one */
    p.weights_bytes = (ptrdiff_t)l->taps * p.steps * TILE_BYTES;
    return p;
}

/* Zeros before a row of a map, and a row of one digit with zeros before and behind it; of a dense
 * layer one image. */
static inline ptrdiff_t lead(const mtj_matrix *l) {
    return l->taps == 3 ? by_depth(l->channels) : 0;
}

static inline ptrdiff_t line_bytes(const mtj_matrix *l) {
    return lead(l) + by_depth((l->taps == 3 ? l->cols + 1 : 1) * l->channels);
}

static size_t plan_bytes(const mtj_matrix *l) {
    const matrix_plan p = plan_of(l);
    return DEPTH + (size_t)p.groups * p.most * TILE_BYTES + p.inputs * (p.digit + line_bytes(l)) +
           sizeof(ptrdiff_t) * p.most;
}

/* ---- inputs ---- */

/* The digits of `count` codes, `step` bytes apart. */
AMX_INLINE void digits_of(const char *codes, int digits, int count, int8_t *to, ptrdiff_t step) {
    if (digits == 1) {
        memcpy(to, codes, count);
    } else if (digits == 2) {
        for (int k = 0; k < count; k++) {
            const int16_t code = ((const int16_t *)codes)[k];
            to[k] = (int8_t)code, to[step + k] = (int8_t)(code >> 8);
        }
    } else {
        for (int k = 0; k < count; k++) {
            const int32_t code = ((const int32_t *)codes)[k];
            to[k] = (int8_t)code, to[step + k] = (int8_t)(code >> 8);
            to[2 * step + k] = (int8_t)(code >> 16), to[3 * step + k] = (int8_t)(code >> 24);
        }
    }
}

/* `bytes` bytes, and zeros up to a whole number of steps. */
AMX_INLINE void copy_steps(int8_t *to, const int8_t *from, int bytes) {
    for (; bytes > 0; bytes -= DEPTH, from += DEPTH, to += DEPTH) {
        const __mmask64 some = bytes < DEPTH ? ((uint64_t)1 << bytes) - 1 : ~(uint64_t)0;
        _mm512_store_si512(to, _mm512_maskz_loadu_epi8(some, from));
    }
}

/* A row of windows. from: codes whose digits are laid out first, in `line`; of a dense layer
 * windows lie `apart` bytes from each other. */
AMX_INLINE void lay_out(const mtj_matrix *l, const matrix_plan *p, const char *from,
                        ptrdiff_t apart, int8_t *to, int8_t *line) {
    const int depth = l->channels, conv = l->taps == 3;
    const ptrdiff_t step = line_bytes(l);
    if (conv) {
        digits_of(from, p->inputs, l->cols * depth, line + lead(l), step);
    }
    for (int x = 0; x < l->cols; x++, to += p->pixel, from += apart) {
        if (!conv) {
            digits_of(from, p->inputs, depth, line, step);
        }
        const int8_t *window = conv ? line + lead(l) + (x - 1) * depth : line;
        for (int digit = 0; digit < p->inputs; digit++) {
            copy_steps(to + digit * p->digit, window + digit * step, l->taps * depth);
        }
    }
}

/* ---- sums ---- */

#define PRODUCTS(NAME, MULTIPLY)                                                                   \
    AMX static void NAME(const int8_t *x, const ptrdiff_t tiles[4], ptrdiff_t pixel,               \
                         ptrdiff_t row, int taps, int steps, const int8_t *w) {                    \
        for (int tap = 0; tap < taps; tap++, x += row) {                                           \
            const int8_t *at = x;                                                                  \
            for (int k = 0; k < steps; k++, at += DEPTH, w += TILE_BYTES) {                        \
                _tile_loadd(7, w, DEPTH);                                                          \
                _tile_loadd(4, at + tiles[0], pixel);                                              \
                _tile_loadd(5, at + tiles[1], pixel);                                              \
                MULTIPLY(0, 4, 7);                                                                 \
                _tile_loadd(6, at + tiles[2], pixel);                                              \
                MULTIPLY(1, 5, 7);                                                                 \
                _tile_loadd(4, at + tiles[3], pixel);                                              \
                MULTIPLY(2, 6, 7);                                                                 \
                MULTIPLY(3, 4, 7);                                                                 \
            }                                                                                      \
        }                                                                                          \
    }
PRODUCTS(products_ss, _tile_dpbssd)
PRODUCTS(products_su, _tile_dpbsud)
PRODUCTS(products_us, _tile_dpbusd)
PRODUCTS(products_uu, _tile_dpbuud)

/* Sums of one group of digits: of four tiles, which begin at these bytes, with 16 outputs. */
AMX_INLINE void sum_group(const mtj_matrix *l, const matrix_plan *p, int group, const int8_t *x,
                          const ptrdiff_t tiles[4], const int8_t *w, int32_t *sums) {
    __asm__ volatile("" ::: "memory"); /* the instructions do not say what they read and write */
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    const int first = group < p->weights ? 0 : group - p->weights + 1;
    for (int i = first; i < p->inputs && i <= group; i++) {
        const int j = group - i, high = i == p->inputs - 1, high_weight = j == p->weights - 1;
        (high          ? high_weight ? products_ss : products_su
         : high_weight ? products_us
                       : products_uu)(x + i * p->digit, tiles, p->pixel, p->row, l->taps, p->steps,
                                      w + j * p->weights_bytes);
    }
    _tile_stored(0, sums, DEPTH);
    _tile_stored(1, sums + 256, DEPTH);
    _tile_stored(2, sums + 512, DEPTH);
    _tile_stored(3, sums + 768, DEPTH);
    __asm__ volatile("" ::: "memory");
}

/* ---- codes of 16 outputs; sums: [groups][windows][16], groups `step` int32s apart ---- */

/* The largest of sums, or the smallest where `turned`. */
AMX_INLINE __m512i outer(__m512i a, __m512i b, __mmask16 turned) {
    return _mm512_mask_min_epi32(_mm512_max_epi32(a, b), turned, a, b);
}

/* Of 8 bits: see codes_of in fixed_avx2.h. */
AMX_INLINE void codes_8(const mtj_matrix *l, const int32_t *sums, ptrdiff_t below, int o,
                        const float *line, ptrdiff_t stride, __mmask16 turned, __mmask16 there,
                        int8_t *to) {
    __m512i sum = _mm512_load_si512(sums);
    if (l->pool == 2) {
        sum = outer(
            outer(sum, _mm512_load_si512(sums + 16), turned),
            outer(_mm512_load_si512(sums + below), _mm512_load_si512(sums + below + 16), turned),
            turned);
    }
    const __m512 value =
        _mm512_min_ps(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(line + o),
                                      _mm512_loadu_ps(line + stride + o)),
                      _mm512_set1_ps(160.0f));
    const __m512 apart = _mm512_abs_ps(_mm512_reduce_ps(value, 0)); /* from a whole number */
    const __mmask16 sure =
        _mm512_cmp_ps_mask(apart, _mm512_loadu_ps(line + 2 * stride + o), _CMP_LT_OQ);
    __m512i codes = _mm512_cvtps_epi32(value);
    if (__builtin_expect(sure != 0xffff, 0)) {
        int32_t some[16], found[16];
        _mm512_storeu_si512(some, sum);
        _mm512_storeu_si512(found, codes);
        for (int k = 0; k < 16; k++) {
            if ((there & ~sure) >> k & 1) {
                found[k] = exact_code(l->norm, l->out, o + k, some[k], l->scale, 128);
            }
        }
        codes = _mm512_loadu_si512(found);
    }
    _mm_mask_storeu_epi8(to, there, _mm512_cvtsepi32_epi8(codes));
}

/* 8 sums, rounded once; those of up to four groups are below 2^53. */
AMX_INLINE __m512d totals_8(const int32_t *sums, ptrdiff_t step, int groups) {
    if (groups <= 4) {
        const __m512d digit = _mm512_set1_pd(256);
        __m512d total = _mm512_setzero_pd();
        for (int g = groups - 1; g >= 0; g--) {
            total = _mm512_fmadd_pd(
                total, digit,
                _mm512_cvtepi32_pd(_mm256_load_si256((const __m256i *)(sums + g * step))));
        }
        return total;
    }
    __m512i half[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()}; /* 2^32 apart */
    for (int g = 0; g < groups; g++) {
        const __m512i one =
            _mm512_cvtepi32_epi64(_mm256_load_si256((const __m256i *)(sums + g * step)));
        half[g / 4] = _mm512_add_epi64(half[g / 4], _mm512_slli_epi64(one, 8 * (g % 4)));
    }
    const __m512i high = _mm512_add_epi64(half[1], _mm512_srai_epi64(half[0], 32));
    const __m512i low = _mm512_and_si512(half[0], _mm512_set1_epi64(0xffffffff));
    return _mm512_fmadd_pd(_mm512_cvtepi64_pd(high), _mm512_set1_pd(4294967296.0),
                           _mm512_cvtepi64_pd(low));
}

/* Of 16 and 32 bits. line: [3][stride] doubles: factor and offset of a code as a function of its
 * sum, and how near a whole number a code must be so that it is sure. */
AMX_INLINE void codes_wide(const mtj_matrix *l, const int32_t *sums, ptrdiff_t step, int groups,
                           ptrdiff_t below, int o, const double *line, ptrdiff_t stride,
                           __mmask16 there, char *to) {
    const __m512d one = _mm512_set1_pd((double)(1ULL << (l->bits - 1)));
    const __m512d least = _mm512_sub_pd(_mm512_setzero_pd(), one);
    const __m512d most = _mm512_sub_pd(one, _mm512_set1_pd(1));
    const ptrdiff_t places[4] = {0, 16, below, below + 16};
    int32_t found[16] __attribute__((aligned(64)));
    for (int half = 0; half < 16; half += 8) {
        const __m512d factor = _mm512_loadu_pd(line + o + half);
        const __m512d offset = _mm512_loadu_pd(line + stride + o + half);
        __m512d value = _mm512_fmadd_pd(totals_8(sums + half, step, groups), factor, offset);
        for (int k = 1; k < l->pool * l->pool; k++) {
            const __m512d other = totals_8(sums + places[k] + half, step, groups);
            value = _mm512_max_pd(value, _mm512_fmadd_pd(other, factor, offset));
        }
        /* What lies beyond the codes has no tie; a NaN remains one. */
        value = _mm512_max_pd(least, _mm512_min_pd(one, value));
        const __m512d code =
            _mm512_roundscale_pd(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        const __mmask8 sure =
            _mm512_cmp_pd_mask(_mm512_abs_pd(_mm512_sub_pd(value, code)),
                               _mm512_loadu_pd(line + 2 * stride + o + half), _CMP_LT_OQ);
        _mm256_store_si256((__m256i *)(found + half),
                           _mm512_cvtpd_epi32(_mm512_min_pd(code, most)));
        if (__builtin_expect(sure != 0xff, 0)) {
            double exact[4][8];
            for (int k = 0; k < l->pool * l->pool; k++) {
                _mm512_storeu_pd(exact[k], totals_8(sums + places[k] + half, step, groups));
            }
            for (int k = 0; k < 8; k++) {
                if ((there >> half & ~sure) >> k & 1) {
                    found[half + k] = INT32_MIN;
                    for (int place = 0; place < l->pool * l->pool; place++) {
                        const int32_t code =
                            exact_code(l->norm, l->out, o + half + k, exact[place][k], l->scale,
                                       (double)(1ULL << (l->bits - 1)));
                        found[half + k] = code > found[half + k] ? code : found[half + k];
                    }
                }
            }
        }
    }
    const __m512i codes = _mm512_load_si512(found);
    if (l->bits == 16) {
        _mm256_mask_storeu_epi16(to, there, _mm512_cvtepi32_epi16(codes));
    } else {
        _mm512_mask_storeu_epi32(to, there, codes);
    }
}

AMX_INLINE void values_16(const mtj_matrix *l, const int32_t *sums, ptrdiff_t step, int groups,
                          __mmask16 there, double *to) {
    const __m512d scale = _mm512_set1_pd(l->scale);
    for (int half = 0; half < 16; half += 8) {
        _mm512_mask_storeu_pd(to + half, (__mmask8)(there >> half),
                              _mm512_mul_pd(totals_8(sums + half, step, groups), scale));
    }
}

/* 16 outputs of one image's strip of `rows` rows; what they become lies `apart` bytes apart. */
AMX_INLINE void outputs_16(const mtj_matrix *l, const int32_t *sums, ptrdiff_t step, int rows,
                           int o, char *to, ptrdiff_t apart, const int groups) {
    const int left = l->out - o, pool = l->pool;
    const __mmask16 there = (__mmask16)(left < 16 ? (1 << left) - 1 : 0xffff);
    const ptrdiff_t stride = (l->out + LANES - 1) / LANES * LANES, below = 16 * l->cols;
    const __mmask16 turned =
        groups == 1 && pool == 2
            ? _mm512_movepi32_mask(_mm512_loadu_si512((const float *)l->line + 3 * stride + o))
            : 0;
    for (int y = 0; y + pool <= rows; y += pool, sums += pool * below) {
        for (int x = 0; x + pool <= l->cols; x += pool, to += apart) {
            if (!l->norm) {
                values_16(l, sums + 16 * x, step, groups, there, (double *)to + o);
            } else if (groups == 1) {
                codes_8(l, sums + 16 * x, below, o, l->line, stride, turned, there,
                        (int8_t *)to + o);
            } else {
                codes_wide(l, sums + 16 * x, step, groups, below, o, l->line, stride, there,
                           to + (ptrdiff_t)o * (l->bits / 8));
            }
        }
    }
}

/* ---- a layer: see mtj_matrix_run ---- */

/* A dense layer's images are the columns of one. */
static mtj_matrix as_columns(const mtj_matrix *layer, int images) {
    mtj_matrix l = *layer;
    l.cols = l.taps == 1 ? images : l.cols;
    return l;
}

AMX static void matrix_run(const mtj_matrix *layer, int images, const char *x, ptrdiff_t x_step,
                           char *to, ptrdiff_t to_step, char *work) {
    const mtj_matrix columns = as_columns(layer, images), *l = &columns;
    const matrix_plan p = plan_of(l);
    const int conv = l->taps == 3;
    const ptrdiff_t step = (ptrdiff_t)p.most * 256; /* of sums, from a group to the next */
    const ptrdiff_t element = l->norm ? l->bits / 8 : (ptrdiff_t)sizeof(double);
    const ptrdiff_t x_apart = conv ? (ptrdiff_t)l->channels * p.inputs : x_step;
    const ptrdiff_t apart = conv ? l->out * element : to_step;
    int32_t *sums = (int32_t *)(((uintptr_t)work + DEPTH - 1) & ~(uintptr_t)(DEPTH - 1));
    int8_t *inputs = (int8_t *)(sums + p.groups * step), *line = inputs + p.inputs * p.digit;
    ptrdiff_t *starts = (ptrdiff_t *)(line + p.inputs * line_bytes(l));
    memset(line, 0, p.inputs * line_bytes(l));
    for (int k = 0; p.edge && k < p.inputs * p.together; k++) {
        int8_t *image = inputs + k / p.together * p.digit + k % p.together * p.image;
        memset(image, 0, p.row);
        memset(image + p.image - p.row, 0, p.row);
    }
    shape_tiles();
    images = conv ? images : 1;
    for (int first = 0; first < images; first += p.together) {
        const int some = images - first < p.together ? images - first : p.together;
        for (int k = 0; k < some * l->rows; k++) {
            const int image = k / l->rows, y = k % l->rows;
            lay_out(l, &p, x + (first + image) * x_step + y * l->cols * x_apart, x_apart,
                    inputs + image * p.image + (y + p.edge) * p.row, line);
        }
        for (int top = 0; top + l->pool <= l->rows; top += p.strip) {
            const int rows = l->rows - top < p.strip ? l->rows - top : p.strip;
            const int each = tiles_of(rows * l->cols), count = some * each;
            char *place = to + first * to_step + top / l->pool * (l->cols / l->pool) * apart;
            for (int t = 0; t < p.most; t++) { /* the last one again where there is no other */
                const int tile = t < count ? t : count - 1;
                starts[t] = tile / each * p.image + top * p.row +
                            (ptrdiff_t)(tile % each) * TILE_ROWS * p.pixel;
            }
            for (int o = 0; o < l->out; o += 16) {
                const int8_t *weights = l->weights + o / 16 * p.weights * p.weights_bytes;
                for (int group = 0; group < p.groups; group++) {
                    for (int t = 0; t < count; t += 4) {
                        sum_group(l, &p, group, inputs, starts + t, weights,
                                  sums + group * step + 256 * t);
                    }
                }
                for (int k = 0; k < some; k++) {
                    const int32_t *from = sums + (ptrdiff_t)k * each * 256;
                    char *into = place + k * to_step;
                    if (p.groups == 1) {
                        outputs_16(l, from, step, rows, o, into, apart, 1);
                    } else if (p.groups == 3) {
                        outputs_16(l, from, step, rows, o, into, apart, 3);
                    } else {
                        outputs_16(l, from, step, rows, o, into, apart, p.groups);
                    }
                }
            }
        }
    }
    _tile_release();
}

static size_t matrix_bytes(const mtj_matrix *layer, int images) {
    const mtj_matrix columns = as_columns(layer, images);
    return plan_bytes(&columns);
}

#endif
