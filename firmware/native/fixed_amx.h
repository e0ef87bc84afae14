/* Layers of fixed-point networks by AMX, part of fixed.c: bytes times bytes, every sum exact.
 *
 * A code of 8 bits is one digit, one of 16 or 32 bits two or four: all but the highest are unsigned
 * bytes. Products of digits whose places add up to the same one are summed together, a group, in
 * int32s.
 *
 * A tile of inputs is 16 windows, a tile of weights 16 outputs, both 64 products deep. A window is
 * three rows of three pixels, each a number of steps, or one row of a dense layer. Rows of a tile
 * lie at one distance, and on cache lines: others take four times as long. Digits lie in a map with
 * zeros around it. Where its pixels are whole lines and its rows whole tiles, tiles come from
 * there; else from windows that are laid out one after the other, a strip of the map at a time.
 */
#ifndef MTJKIT_FIXED_AMX_H
#define MTJKIT_FIXED_AMX_H

#include "amx_tiles.h"
#include "fixed_avx2.h"
#include "mtjkit.h"

enum { STRIP = 4 /* tiles that are computed together, or more where rows are longer */ };

/* Where digits lie: bytes to the next pixel, row, image, digit. */
typedef struct {
    ptrdiff_t pixel, row, image, digit;
} grid;

/* What follows from a layer's numbers. */
typedef struct {
    int inputs, weights;     /* digits of a code */
    int groups;              /* of products */
    int steps;               /* of 64 products, of a row of a window */
    int edge;                /* rows and columns of zeros around the map */
    int direct;              /* whether tiles come from the map */
    int pairs;               /* whether windows are pairs of pixels, each shared by three */
    int together;            /* images that are laid out together */
    int strip;               /* rows of outputs that are computed together */
    int most;                /* tiles of a strip's images, rounded up to four */
    grid map, windows;       /* windows: of a strip; the map itself if direct */
    ptrdiff_t step;          /* bytes from a step's inputs to the next one's */
    ptrdiff_t lead;          /* before the map, so that its first pixel begins on a cache line */
    ptrdiff_t weights_bytes; /* of 16 outputs and one digit */
} matrix_plan;

static inline int tiles_of(int pixels) { return (pixels + TILE_ROWS - 1) / TILE_ROWS; }

static matrix_plan plan_of(const mtj_matrix *l) {
    matrix_plan p;
    const int whole = tiles_of(l->rows * l->cols), rows = (STRIP * TILE_ROWS - 1) / l->cols + 1;
    p.inputs = l->input_bits / 8, p.weights = l->bits / 8;
    p.groups = p.inputs + p.weights - 1;
    p.steps = by_depth(l->taps * l->channels) / DEPTH;
    p.edge = l->taps == 3;
    p.direct = !p.edge || (l->channels % DEPTH == 0 && l->cols % TILE_ROWS == 0);
    p.pairs = p.edge && 2 * l->channels == DEPTH && l->cols % TILE_ROWS == 0;
    p.step = p.pairs ? 2 * DEPTH : DEPTH;
    p.together = whole < STRIP ? STRIP / whole : 1;
    p.strip = rows < l->rows ? (rows + l->pool - 1) / l->pool * l->pool : l->rows;
    p.most = (p.together * tiles_of(p.strip * l->cols) + 3) & ~3;
    /* Rows whose distance is a multiple of 512 bytes share few places of a cache. */
    const ptrdiff_t window = (ptrdiff_t)DEPTH * (p.steps % 8 ? p.steps : p.steps + 1);
    p.map.pixel = p.edge ? l->channels : window;
    p.lead = -p.edge * p.map.pixel & (DEPTH - 1);
    p.map.row = p.map.pixel * (l->cols + 2 * p.edge);
    p.map.image = by_depth(p.map.row * (l->rows + 2 * p.edge));
    p.map.digit =
        DEPTH + p.map.image * p.together + TILE_ROWS * window; /* a last tile is a whole one */
    p.windows = p.map;
    if (!p.direct) {
        p.windows.pixel = p.pairs ? DEPTH : window;
        p.windows.row = p.windows.pixel * (l->cols + (p.pairs ? 2 : 0));
        p.windows.image = p.windows.row * (p.strip + 2 * p.edge);
        p.windows.digit = p.windows.image * p.together + TILE_ROWS * window;
    }
    p.weights_bytes = (ptrdiff_t)l->taps * p.steps * TILE_BYTES;
    return p;
}

static size_t plan_bytes(const mtj_matrix *l) {
    const matrix_plan p = plan_of(l);
    return DEPTH + (size_t)p.groups * p.most * TILE_BYTES +
           p.inputs * (p.map.digit + (p.direct ? 0 : p.windows.digit)) + sizeof(ptrdiff_t) * p.most;
}

/* ---- inputs ---- */

/* Those of 64 elements that come before element n. */
AMX_INLINE __mmask64 before(int n) {
    return n <= 0 ? 0 : n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0;
}

/* One digit of those of 64 codes that `some` says, else 0. */
AMX_INLINE __m512i digit_of(const char *codes, __mmask64 some, int digit, const int digits) {
    if (digits == 1) {
        return _mm512_maskz_loadu_epi8(some, codes);
    }
    __m128i quarter[4];
    for (int k = 0; k < 4; k++) {
        if (digits == 2) {
            const __m256i wide =
                _mm256_maskz_loadu_epi16((__mmask16)(some >> 16 * k), codes + 32 * k);
            quarter[k] = _mm256_cvtepi16_epi8(_mm256_srli_epi16(wide, 8 * digit));
        } else {
            const __m512i wide =
                _mm512_maskz_loadu_epi32((__mmask16)(some >> 16 * k), codes + 64 * k);
            quarter[k] = _mm512_cvtepi32_epi8(_mm512_srli_epi32(wide, 8 * digit));
        }
    }
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(quarter[1], quarter[0])),
                              _mm256_set_m128i(quarter[3], quarter[2]), 1);
}

/* The digits of `count` codes, `step` bytes apart; zeros up to a whole number of steps, which what
 * comes next is written over. */
AMX_INLINE void split(const char *codes, int count, int8_t *to, ptrdiff_t step, const int digits) {
    for (int k = 0; k < count; k += DEPTH, codes += DEPTH * digits, to += DEPTH) {
        const __mmask64 some = before(count - k);
        UNROLL for (int digit = 0; digit < digits; digit++) {
            _mm512_storeu_si512(to + digit * step, digit_of(codes, some, digit, digits));
        }
    }
}

/* The map of one image, with zeros around it from before; a dense layer's images are its pixels. */
AMX_INLINE void lay_out_map(const mtj_matrix *l, const matrix_plan *p, const char *image,
                            ptrdiff_t apart, int8_t *to, const int digits) {
    const int pixels = p->edge ? l->cols : 1; /* that lie side by side */
    to += p->edge * (p->map.row + p->map.pixel);
    for (int y = 0; y < l->rows; y++, to += p->map.row) {
        for (int x = 0; x < l->cols; x += pixels, image += pixels * apart) {
            split(image, pixels * l->channels, to + x * p->map.pixel, p->map.digit, digits);
        }
    }
}

/* Rows of windows, from rows of the map; zeros up to a whole number of steps. */
AMX_INLINE void lay_out_windows(const mtj_matrix *l, const matrix_plan *p, const int8_t *map,
                                int rows, int8_t *to) {
    const int bytes = (p->pairs ? 2 : 3) * l->channels, count = l->cols + (p->pairs ? 2 : 0);
    const ptrdiff_t from_pixel = p->map.pixel, from_row = p->map.row;
    const ptrdiff_t pixel = p->windows.pixel, row = p->windows.row;
    for (int y = 0; y < rows; y++, map += from_row, to += row) {
        for (int k = 0; k < bytes; k += DEPTH) {
            const __mmask64 some = before(bytes - k);
            const int8_t *at = map + k;
            for (int8_t *into = to + k, *end = into + count * pixel; into < end; into += pixel) {
                _mm512_store_si512(into, _mm512_maskz_loadu_epi8(some, at));
                at += from_pixel;
            }
        }
    }
}

/* ---- sums ---- */

#define PRODUCTS(NAME, MULTIPLY)                                                                   \
    AMX static void NAME(const mtj_matrix *l, const matrix_plan *p, const int8_t *x,               \
                         const ptrdiff_t tiles[4], const int8_t *w) {                              \
        const ptrdiff_t pixel = p->windows.pixel, step = p->step;                                  \
        for (int tap = 0; tap < l->taps; tap++, x += p->windows.row) {                             \
            const int8_t *at = x;                                                                  \
            for (int k = 0; k < p->steps; k++, at += step, w += TILE_BYTES) {                      \
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
        (high ? high_weight ? products_ss : products_su
         : high_weight
             ? products_us
             : products_uu)(l, p, x + i * p->windows.digit, tiles, w + j * p->weights_bytes);
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
    const __m512 line_at = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(line + o),
                                           _mm512_loadu_ps(line + stride + o));
    const __m512 value = _mm512_min_ps(_mm512_set1_ps(160.0f), line_at); /* a NaN remains one */
    const __m512 apart = _mm512_abs_ps(_mm512_reduce_ps(value, 0));      /* from a whole number */
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
    UNROLL for (int g = 0; g < groups; g++) {
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
    __m256i halves[2];
    UNROLL for (int half = 0; half < 16; half += 8) {
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
        halves[half / 8] = _mm512_cvtpd_epi32(_mm512_min_pd(code, most));
        if (__builtin_expect(sure != 0xff, 0)) {
            double exact[4][8];
            int32_t found[8];
            _mm256_storeu_si256((__m256i *)found, halves[half / 8]);
            for (int k = 0; k < l->pool * l->pool; k++) {
                _mm512_storeu_pd(exact[k], totals_8(sums + places[k] + half, step, groups));
            }
            for (int k = 0; k < 8; k++) {
                if ((there >> half & ~sure) >> k & 1) {
                    found[k] = INT32_MIN;
                    for (int place = 0; place < l->pool * l->pool; place++) {
                        const int32_t code =
                            exact_code(l->norm, l->out, o + half + k, exact[place][k], l->scale,
                                       (double)(1ULL << (l->bits - 1)));
                        found[k] = code > found[k] ? code : found[k];
                    }
                }
            }
            halves[half / 8] = _mm256_loadu_si256((const __m256i *)found);
        }
    }
    const __m512i codes = _mm512_inserti64x4(_mm512_castsi256_si512(halves[0]), halves[1], 1);
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
    const int left = l->out - o, pool = l->pool, cols = l->cols, bytes = l->bits / 8;
    const __mmask16 there = (__mmask16)(left < 16 ? (1 << left) - 1 : 0xffff);
    const ptrdiff_t stride = (l->out + LANES - 1) / LANES * LANES, below = 16 * l->cols;
    const __mmask16 turned =
        groups == 1 && pool == 2
            ? _mm512_movepi32_mask(_mm512_loadu_si512((const float *)l->line + 3 * stride + o))
            : 0;
    for (int y = 0; y + pool <= rows; y += pool, sums += pool * below) {
        for (int x = 0; x + pool <= cols; x += pool, to += apart) {
            const int32_t *from = sums + 16 * x;
            if (!l->norm) {
                values_16(l, from, step, groups, there, (double *)to + o);
            } else if (groups == 1) {
                codes_8(l, from, below, o, l->line, stride, turned, there, (int8_t *)to + o);
            } else {
                codes_wide(l, from, step, groups, below, o, l->line, stride, there,
                           to + (ptrdiff_t)o * bytes);
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
    int8_t *map = (int8_t *)(sums + p.groups * step) + p.lead;
    int8_t *windows = map - p.lead + p.inputs * p.map.digit;
    ptrdiff_t *starts = (ptrdiff_t *)(p.direct ? windows : windows + p.inputs * p.windows.digit);
    memset(map - p.lead, 0, p.inputs * p.map.digit);
    shape_tiles();
    images = conv ? images : 1;
    for (int first = 0; first < images; first += p.together) {
        const int some = images - first < p.together ? images - first : p.together;
        for (int k = 0; k < some; k++) {
            const char *from = x + (first + k) * x_step;
            if (p.inputs == 1) {
                lay_out_map(l, &p, from, x_apart, map + k * p.map.image, 1);
            } else if (p.inputs == 2) {
                lay_out_map(l, &p, from, x_apart, map + k * p.map.image, 2);
            } else {
                lay_out_map(l, &p, from, x_apart, map + k * p.map.image, 4);
            }
        }
        for (int top = 0; top + l->pool <= l->rows; top += p.strip) {
            const int rows = l->rows - top < p.strip ? l->rows - top : p.strip;
            const int each = tiles_of(rows * l->cols), count = some * each;
            const int8_t *inputs = map + top * p.map.row;
            if (!p.direct) {
                for (int k = 0; k < some * p.inputs; k++) {
                    const int image = k / p.inputs, digit = k % p.inputs;
                    lay_out_windows(l, &p, inputs + image * p.map.image + digit * p.map.digit,
                                    rows + 2,
                                    windows + image * p.windows.image + digit * p.windows.digit);
                }
                inputs = windows;
            }
            for (int t = 0; t < p.most; t++) { /* the last one again where there is no other */
                const int tile = t < count ? t : count - 1, at = tile % each * TILE_ROWS;
                starts[t] = tile / each * p.windows.image + at / l->cols * p.windows.row +
                            at % l->cols * p.windows.pixel;
            }
            char *place = to + first * to_step + top / l->pool * (l->cols / l->pool) * apart;
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
                    } else if (p.groups == 7) {
                        outputs_16(l, from, step, rows, o, into, apart, 7);
                    } else { /* the first layer's */
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
