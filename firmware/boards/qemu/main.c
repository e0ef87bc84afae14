/* MicroPython's life on the board: boot.py, main.py, the prompt, and again after a soft reset. */

#include "py/builtin.h"
#include "py/cstack.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/pyexec.h"

#define STACK_BYTES (32 * 1024)

extern uint32_t _heap, _eheap; /* the linker lays it out */

int main(void) {
    qemu_line_start();
    for (;;) {
        mp_cstack_init_with_sp_here(STACK_BYTES);
        gc_init(&_heap, &_eheap);
        mp_init();
        pyexec_frozen_module("_boot.py", false);
        int ret = pyexec_file_if_exists("boot.py");
        if (!(ret & PYEXEC_FORCED_EXIT)) {
            if (pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
                ret = pyexec_file_if_exists("main.py");
            }
            while (!(ret & PYEXEC_FORCED_EXIT)) {
                ret = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl()
                                                               : pyexec_friendly_repl();
                ret = ret ? PYEXEC_FORCED_EXIT : 0;
            }
        }
        mp_printf(&mp_plat_print, "MPY: soft reboot\n");
        gc_sweep_all();
        mp_deinit();
    }
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *value) {
    mp_printf(&mp_plat_print, "FATAL: uncaught exception %p\n", value);
    for (;;) {
    }
}
