/* Included by extmod/modmachine.c. */

static void mp_machine_idle(void) { mp_hal_wait_for_byte(); }

static void mp_machine_reset(void) { qemu_reset(); }

static mp_int_t mp_machine_reset_cause(void) {
    return 0; /* always a power-on, as far as the board can tell */
}
