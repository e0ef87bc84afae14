/* Arm's Cortex-M on the MPS2 boards: from reset to main(), the serial line (CMSDK UART 0), the
   counters of the board's FPGA, and what happens on a fault. */

#include <stdint.h>
#include "py/mphal.h"
#include "py/runtime.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* The serial line. */
#define UART_DATA REGISTER(QEMU_SERIAL)
#define UART_STATE REGISTER(QEMU_SERIAL + 0x4)
#define UART_CONTROL REGISTER(QEMU_SERIAL + 0x8)
#define UART_INTERRUPT REGISTER(QEMU_SERIAL + 0xC) /* write 1 to clear */
#define UART_DIVIDER REGISTER(QEMU_SERIAL + 0x10)
#define STATE_TX_FULL (1 << 0)
#define STATE_RX_FULL (1 << 1)
#define CONTROL_TX (1 << 0)
#define CONTROL_RX (1 << 1)
#define CONTROL_RX_INTERRUPT (1 << 3)
#define INTERRUPT_RX (1 << 1)

/* The FPGA's free-running counter. Under QEMU's `-icount shift=10` it advances by 1024 ns with
   every instruction. */
#define COUNTER REGISTER(QEMU_CLOCK)
#define COUNTER_100HZ REGISTER(QEMU_CLOCK - 4)

#define CPACR REGISTER(0xE000ED88)
#define AIRCR REGISTER(0xE000ED0C)
#define CFSR REGISTER(0xE000ED28)
#define NVIC_ENABLE(irq) REGISTER(0xE000E100 + (irq) / 32 * 4)

extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;
extern int main(void);

void qemu_line_start(void) {
    UART_DIVIDER = 16;
    qemu_line_interrupts(true);
    NVIC_ENABLE(QEMU_SERIAL_IRQ) = 1u << QEMU_SERIAL_IRQ % 32;
}

bool qemu_line_has_byte(void) { return UART_STATE & STATE_RX_FULL; }

uint8_t qemu_line_read(void) { return UART_DATA; }

void qemu_line_write(uint8_t byte) {
    while (UART_STATE & STATE_TX_FULL) {
    }
    UART_DATA = byte;
}

void qemu_line_interrupts(bool on) {
    UART_CONTROL = CONTROL_TX | CONTROL_RX | (on ? CONTROL_RX_INTERRUPT : 0);
}

static void Line_Handler(void) {
    UART_INTERRUPT = INTERRUPT_RX;
    mp_hal_line_interrupt();
}

void qemu_interrupts(bool on) {
    if (on) {
        __asm volatile("cpsie i" ::: "memory");
    } else {
        __asm volatile("cpsid i" ::: "memory");
    }
}

void qemu_sleep(void) { __asm volatile("wfi"); }

void qemu_reset(void) {
    AIRCR = 0x05FA0004; /* system reset request */
    for (;;) {
    }
}

/* The fast counter wraps within minutes; the slow one says how often it has. */
uint64_t qemu_us(void) {
    uint32_t fast = COUNTER;
    uint64_t slow = (uint64_t)COUNTER_100HZ * (QEMU_CLOCK_HZ / 100);
    return (slow + (int32_t)(fast - (uint32_t)slow)) / (QEMU_CLOCK_HZ / 1000000);
}

uint32_t qemu_counter(void) { return COUNTER; }

static void Reset_Handler(void) {
    for (uint32_t *from = &_sidata, *to = &_sdata; to < &_edata;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_sbss; to < &_ebss;) {
        *to++ = 0;
    }
#if __ARM_FP
    CPACR |= 0xF << 20; /* the floating-point unit is open to all */
    __asm volatile("dsb\nisb");
#endif
    main();
}

static void Fault_Handler(void) {
    uint32_t *frame;
    __asm volatile("mrs %0, msp" : "=r"(frame));
    mp_printf(&mp_plat_print, "FATAL: fault, status %08x, stack %p\n", (unsigned)CFSR, frame);
    for (;;) {
    }
}

__attribute__((section(".start"), used)) const void *const isr_vector[] = {
    &_estack,
    Reset_Handler,
    Fault_Handler, /* NMI */
    Fault_Handler, /* hard fault */
    Fault_Handler, /* memory management */
    Fault_Handler, /* bus */
    Fault_Handler, /* usage */
    Fault_Handler, /* secure */
    0,
    0,
    0,
    Fault_Handler, /* SVCall */
    Fault_Handler, /* debug monitor */
    0,
    Fault_Handler, /* PendSV */
    Fault_Handler, /* SysTick */
    [16 + QEMU_SERIAL_IRQ] = Line_Handler,
};
