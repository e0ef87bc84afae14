/* RISC-V on QEMU's machine `virt`: from reset to main(), the serial line (a 16550), the clock of
   the core-local interruptor, and what happens on a fault. */

#include <stdint.h>
#include "py/mphal.h"
#include "py/runtime.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* The serial line: registers of one byte each. */
#define UART(number) (*(volatile uint8_t *)(QEMU_SERIAL + (number)))
#define UART_DATA UART(0)
#define UART_INTERRUPTS UART(1)
#define UART_FIFO UART(2)
#define UART_FORMAT UART(3)
#define UART_STATE UART(5)
#define STATE_RX_FULL (1 << 0)
#define STATE_TX_EMPTY (1 << 5)

/* The interrupt controller: priority of a source, its bit among those allowed, the one that asks.
 */
#define PLIC_PRIORITY(irq) REGISTER(0x0C000000 + (irq) * 4)
#define PLIC_ENABLE(irq) REGISTER(0x0C002000 + (irq) / 32 * 4)
#define PLIC_CLAIM REGISTER(0x0C200004)

/* Under QEMU's `-icount shift=10` the clock advances by 1024 ns with every instruction. */
#define CLOCK_LOW REGISTER(QEMU_CLOCK)
#define CLOCK_HIGH REGISTER(QEMU_CLOCK + 4)

#define FINISHER REGISTER(0x00100000)
#define FINISHER_RESET (0x7777)

#define CAUSE_LINE (0x8000000B) /* an external interrupt */
#define MSTATUS_MIE "8"
#define MIE_EXTERNAL (1 << 11)

extern uint32_t _sidata, _sdata, _edata, _sbss, _ebss;
extern int main(void);

void qemu_line_start(void) {
    UART_FORMAT = 3; /* eight bits */
    UART_FIFO = 1;
    qemu_line_interrupts(true);
    PLIC_PRIORITY(QEMU_SERIAL_IRQ) = 1;
    PLIC_ENABLE(QEMU_SERIAL_IRQ) = 1u << QEMU_SERIAL_IRQ % 32;
    __asm volatile("csrw mie, %0" ::"r"(MIE_EXTERNAL));
    qemu_interrupts(true);
}

bool qemu_line_has_byte(void) { return UART_STATE & STATE_RX_FULL; }

uint8_t qemu_line_read(void) { return UART_DATA; }

void qemu_line_write(uint8_t byte) {
    while (!(UART_STATE & STATE_TX_EMPTY)) {
    }
    UART_DATA = byte;
}

void qemu_line_interrupts(bool on) { UART_INTERRUPTS = on; }

void qemu_interrupts(bool on) {
    if (on) {
        __asm volatile("csrsi mstatus, " MSTATUS_MIE ::: "memory");
    } else {
        __asm volatile("csrci mstatus, " MSTATUS_MIE ::: "memory");
    }
}

void qemu_sleep(void) { __asm volatile("wfi"); }

void qemu_reset(void) {
    FINISHER = FINISHER_RESET;
    for (;;) {
    }
}

static uint64_t ticks64(void) {
    uint32_t high, low;
    do {
        high = CLOCK_HIGH;
        low = CLOCK_LOW;
    } while (high != CLOCK_HIGH);
    return (uint64_t)high << 32 | low;
}

uint64_t qemu_us(void) { return ticks64() / (QEMU_CLOCK_HZ / 1000000); }

uint32_t qemu_counter(void) { return CLOCK_LOW; }

__attribute__((interrupt("machine"), aligned(4))) static void Trap_Handler(void) {
    uint32_t cause, at, value;
    __asm volatile("csrr %0, mcause" : "=r"(cause));
    if (cause == CAUSE_LINE) {
        uint32_t source = PLIC_CLAIM;
        mp_hal_line_interrupt();
        PLIC_CLAIM = source;
        return;
    }
    __asm volatile("csrr %0, mepc" : "=r"(at));
    __asm volatile("csrr %0, mtval" : "=r"(value));
    mp_printf(&mp_plat_print, "FATAL: fault, cause %08x, at %08x, value %08x\n", (unsigned)cause,
              (unsigned)at, (unsigned)value);
    for (;;) {
    }
}

__attribute__((used)) static void start(void) {
    for (uint32_t *from = &_sidata, *to = &_sdata; to < &_edata;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_sbss; to < &_ebss;) {
        *to++ = 0;
    }
    __asm volatile("csrw mtvec, %0" ::"r"(Trap_Handler));
    main();
}

__attribute__((section(".start"), used, naked)) void _start(void) {
    __asm volatile("la sp, _estack\n"
                   "j start\n");
}
