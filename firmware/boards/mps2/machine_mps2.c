/* Included by extmod/modmachine.c. */

static void mp_machine_idle(void) { mps2_wait_for_interrupt(); }

static void mp_machine_reset(void) {
    *(volatile uint32_t *)0xE000ED0C = 0x05FA0004; /* AIRCR: system reset request */
    for (;;) {
    }
}

static mp_int_t mp_machine_reset_cause(void) {
    return 0; /* always a power-on, as far as the board can tell */
}
