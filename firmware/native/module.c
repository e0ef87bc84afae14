/* The kernels as a native MicroPython module, mtjkit_native (see mtjkit_device/kernels/native.py).
 *
 * Arguments are buffers: `g` is a layer's geometry, array('i') as mtj_layer. Sizes are the
 * caller's to get right; the address of every buffer of words is checked here, since small cores
 * cannot read an unaligned word.
 */
#include "py/dynruntime.h"

#include "mtjkit.h"

static void *words_of(mp_obj_t object, int flags) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(object, &info, flags);
    if ((uintptr_t)info.buf & 3) {
        mp_raise_ValueError(MP_ERROR_TEXT("a buffer of words is not aligned to 4 bytes"));
    }
    return info.buf;
}

static void *readable(mp_obj_t object) { return words_of(object, MP_BUFFER_READ); }

static void *writable(mp_obj_t object) { return words_of(object, MP_BUFFER_WRITE); }

static const mtj_layer *layer_of(mp_obj_t object) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(object, &info, MP_BUFFER_READ);
    if (info.len < sizeof(mtj_layer)) {
        mp_raise_ValueError(MP_ERROR_TEXT("a layer's geometry is too short"));
    }
    return info.buf;
}

/* packed_bytes(g): bytes of repacked weights that this processor wants */
static mp_obj_t packed_bytes(mp_obj_t g) { return mp_obj_new_int(mtj_packed_bytes(layer_of(g))); }

static MP_DEFINE_CONST_FUN_OBJ_1(packed_bytes_obj, packed_bytes);

/* scratch_bytes(g): bytes of scratch memory that the layer needs */
static mp_obj_t scratch_bytes(mp_obj_t g) { return mp_obj_new_int(mtj_scratch_bytes(layer_of(g))); }

static MP_DEFINE_CONST_FUN_OBJ_1(scratch_bytes_obj, scratch_bytes);

/* pack(g, model, packed) */
static mp_obj_t pack(mp_obj_t g, mp_obj_t model, mp_obj_t packed) {
    mtj_pack(layer_of(g), readable(model), writable(packed));
    return mp_const_none;
}

static MP_DEFINE_CONST_FUN_OBJ_3(pack_obj, pack);

static mp_obj_t compute(size_t n_args, size_t n_kw, const mp_obj_t *args, int scores) {
    mp_arg_check_num(n_args, n_kw, 6, 6, false);
    const mtj_layer *layer = layer_of(args[0]);
    const uint8_t *model = readable(args[1]), *packed = readable(args[2]);
    void *out = writable(args[4]), *scratch = writable(args[5]);
    mp_buffer_info_t image;
    mp_get_buffer_raise(args[3], &image, MP_BUFFER_READ);
    const void *source = layer->index ? readable(args[3]) : image.buf;
    if (scores) {
        mtj_scores(layer, model, packed, source, out, scratch);
    } else {
        mtj_map(layer, model, packed, source, out, scratch);
    }
    return mp_const_none;
}

/* layer_map(g, model, packed, source, out, scratch) */
static mp_obj_t layer_map(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    (void)self;
    return compute(n_args, n_kw, args, 0);
}

/* layer_scores(g, model, packed, source, scores, scratch) */
static mp_obj_t layer_scores(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    (void)self;
    return compute(n_args, n_kw, args, 1);
}

/* seed(state, key, image, place) */
static mp_obj_t seed(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    (void)self;
    mp_arg_check_num(n_args, n_kw, 4, 4, false);
    mtj_seed(writable(args[0]), readable(args[1]), mp_obj_get_int_truncated(args[2]),
             mp_obj_get_int(args[3]));
    return mp_const_none;
}

/* write(g, cells, intended, state, errors, counts) */
static mp_obj_t write(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    (void)self;
    mp_arg_check_num(n_args, n_kw, 6, 6, false);
    mtj_write(layer_of(args[0]), writable(args[1]), readable(args[2]), writable(args[3]),
              readable(args[4]), writable(args[5]));
    return mp_const_none;
}

/* program(g, model, state, errors, counts) */
static mp_obj_t program(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    (void)self;
    mp_arg_check_num(n_args, n_kw, 5, 5, false);
    mtj_program(layer_of(args[0]), writable(args[1]), writable(args[2]), readable(args[3]),
                writable(args[4]));
    return mp_const_none;
}

/* erase(cells) */
static mp_obj_t erase(mp_obj_t cells) {
    mp_buffer_info_t info;
    uint32_t *word = writable(cells);
    mp_get_buffer_raise(cells, &info, MP_BUFFER_WRITE);
    for (size_t n = info.len >> 2; n; n--) {
        *word++ = 0;
    }
    return mp_const_none;
}

static MP_DEFINE_CONST_FUN_OBJ_1(erase_obj, erase);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY(void) n_args, (void)n_kw, (void)args;
    mp_store_global(MP_QSTR_packed_bytes, MP_OBJ_FROM_PTR(&packed_bytes_obj));
    mp_store_global(MP_QSTR_scratch_bytes, MP_OBJ_FROM_PTR(&scratch_bytes_obj));
    mp_store_global(MP_QSTR_pack, MP_OBJ_FROM_PTR(&pack_obj));
    mp_store_global(MP_QSTR_erase, MP_OBJ_FROM_PTR(&erase_obj));
    mp_store_global(MP_QSTR_layer_map, MP_DYNRUNTIME_MAKE_FUNCTION(layer_map));
    mp_store_global(MP_QSTR_layer_scores, MP_DYNRUNTIME_MAKE_FUNCTION(layer_scores));
    mp_store_global(MP_QSTR_seed, MP_DYNRUNTIME_MAKE_FUNCTION(seed));
    mp_store_global(MP_QSTR_write, MP_DYNRUNTIME_MAKE_FUNCTION(write));
    mp_store_global(MP_QSTR_program, MP_DYNRUNTIME_MAKE_FUNCTION(program));
    MP_DYNRUNTIME_INIT_EXIT
}
