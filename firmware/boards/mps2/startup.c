/* From reset to main(), and what happens on a fault. */

#include <stdint.h>
#include "py/mphal.h"
#include "py/runtime.h"

extern uint32_t _estack, _sidata, _sdata, _edata, _sbss, _ebss;
extern int main(void);
void UART0_RX_Handler(void);

void Reset_Handler(void) {
    for (uint32_t *from = &_sidata, *to = &_sdata; to < &_edata;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &_sbss; to < &_ebss;) {
        *to++ = 0;
    }
#if __ARM_FP
    /* CPACR: the floating-point unit is open to all */
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20;
    __asm volatile("dsb\nisb");
#endif
    main();
}

void Fault_Handler(void) {
    uint32_t *frame;
    __asm volatile("mrs %0, msp" : "=r"(frame));
    mp_printf(&mp_plat_print, "FATAL: fault, status %08x, stack %p\n",
              (unsigned)*(volatile uint32_t *)0xE000ED28, frame);
    for (;;) {
    }
}

__attribute__((section(".isr_vector"), used)) const void *const isr_vector[] = {
    &_estack,
    Reset_Handler,
    Fault_Handler, /* NMI */
    Fault_Handler, /* hard fault */
    Fault_Handler, /* memory management */
    Fault_Handler, /* bus */
    Fault_Handler, /* usage */
    0,
    0,
    0,
    0,
    Fault_Handler, /* SVCall */
    Fault_Handler, /* debug monitor */
    0,
    Fault_Handler,    /* PendSV */
    Fault_Handler,    /* SysTick */
    UART0_RX_Handler, /* interrupt 0 */
};
