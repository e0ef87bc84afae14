/* What the MPS2 boards have: a serial line whose bytes arrive by interrupt, and two counters. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shared/runtime/interrupt_char.h"

/* The FPGA's free-running counter, 25 MHz. Under QEMU's `-icount shift=10` it advances by exactly
   25.6 for each instruction. */
#define MPS2_COUNTER (*(volatile uint32_t *)0x40028018)

void mps2_uart_init(void);
void mps2_wait_for_interrupt(void);

mp_uint_t mp_hal_ticks_us(void);
mp_uint_t mp_hal_ticks_ms(void);
void mp_hal_delay_us(mp_uint_t us);
void mp_hal_delay_ms(mp_uint_t ms);

static inline mp_uint_t mp_hal_ticks_cpu(void) { return MPS2_COUNTER; }

static inline uint64_t mp_hal_time_ns(void) { return 0; /* no clock that knows the date */ }
