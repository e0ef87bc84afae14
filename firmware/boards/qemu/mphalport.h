/* What the emulated machines have: a serial line whose bytes arrive by interrupt, and a clock.
   cortex_m.c and riscv.c give it, each for its family of processors. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shared/runtime/interrupt_char.h"

/* The serial line. */
void qemu_line_start(void);
bool qemu_line_has_byte(void);
uint8_t qemu_line_read(void);
void qemu_line_write(uint8_t byte); /* waits until there is room */
void qemu_line_interrupts(bool on); /* whether a byte that arrives interrupts */

/* Called by the interrupt that qemu_line_interrupts() allows. */
void mp_hal_line_interrupt(void);

/* The processor. */
void qemu_interrupts(bool on);
void qemu_sleep(void); /* until an interrupt is pending, though it be not allowed */
void qemu_reset(void) __attribute__((noreturn));
uint64_t qemu_us(void);
uint32_t qemu_counter(void); /* the fastest clock that the machine can read */

void mp_hal_wait_for_byte(void);
mp_uint_t mp_hal_ticks_us(void);
mp_uint_t mp_hal_ticks_ms(void);
void mp_hal_delay_us(mp_uint_t us);
void mp_hal_delay_ms(mp_uint_t ms);

static inline mp_uint_t mp_hal_ticks_cpu(void) { return qemu_counter(); }

static inline uint64_t mp_hal_time_ns(void) { return 0; /* no clock that knows the date */ }
