/* Serial line (CMSDK UART 0) and time. */

#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"

typedef struct {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupt; /* write 1 to clear */
    volatile uint32_t divider;
} uart_t;

#define UART0 ((uart_t *)0x40004000)
#define STATE_TX_FULL (1 << 0)
#define STATE_RX_FULL (1 << 1)
#define CONTROL_TX (1 << 0)
#define CONTROL_RX (1 << 1)
#define CONTROL_RX_INTERRUPT (1 << 3)
#define INTERRUPT_RX (1 << 1)

#define NVIC_ENABLE0 (*(volatile uint32_t *)0xE000E100)
#define UART0_RX_IRQ (0)

#define COUNTER_HZ (25000000)
#define COUNTER_100HZ (*(volatile uint32_t *)0x40028014)

static uint8_t received[4096];
static ringbuf_t ring = {received, sizeof(received), 0, 0};

void mps2_uart_init(void) {
    UART0->divider = 16;
    UART0->control = CONTROL_TX | CONTROL_RX | CONTROL_RX_INTERRUPT;
    NVIC_ENABLE0 = 1 << UART0_RX_IRQ;
}

/* Move what has arrived into the ring. A full ring leaves the rest with the sender: the emulator
   hands over no byte before the last one is taken. */
static void receive(void) {
    while ((UART0->state & STATE_RX_FULL) && ringbuf_free(&ring)) {
        int c = UART0->data;
        if (c == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&ring, c);
        }
    }
}

void UART0_RX_Handler(void) {
    UART0->interrupt = INTERRUPT_RX;
    receive();
    if (!ringbuf_free(&ring)) {
        UART0->control = CONTROL_TX | CONTROL_RX; /* until the reader has made room */
    }
}

static int take(void) {
    __asm volatile("cpsid i" ::: "memory");
    int c = ringbuf_get(&ring);
    if (!(UART0->control & CONTROL_RX_INTERRUPT)) {
        UART0->control = CONTROL_TX | CONTROL_RX | CONTROL_RX_INTERRUPT;
        receive();
    }
    __asm volatile("cpsie i" ::: "memory");
    return c;
}

/* Sleep until a byte arrives, so that an idle board costs the host no time. The emulator takes
   long to wake up, so wait a while for the next byte of a message first. */
void mps2_wait_for_interrupt(void) {
    for (int i = 0; i < 20000; i++) {
        if (ringbuf_avail(&ring)) {
            return;
        }
    }
    __asm volatile("cpsid i" ::: "memory");
    if (!ringbuf_avail(&ring)) {
        __asm volatile("wfi");
    }
    __asm volatile("cpsie i" ::: "memory");
}

uintptr_t mp_hal_stdio_poll(uintptr_t poll_flags) {
    uintptr_t ready = poll_flags & MP_STREAM_POLL_WR;
    if ((poll_flags & MP_STREAM_POLL_RD) && ringbuf_avail(&ring)) {
        ready |= MP_STREAM_POLL_RD;
    }
    return ready;
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        int c = take();
        if (c >= 0) {
            return c;
        }
        mp_event_wait_indefinite();
    }
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        while (UART0->state & STATE_TX_FULL) {
        }
        UART0->data = (uint8_t)text[i];
    }
    return length;
}

/* The 25 MHz counter wraps after 171 s; the slow counter says how often it has. */
static uint64_t ticks64(void) {
    uint32_t fast = MPS2_COUNTER;
    uint64_t slow = (uint64_t)COUNTER_100HZ * (COUNTER_HZ / 100);
    return slow + (int32_t)(fast - (uint32_t)slow);
}

mp_uint_t mp_hal_ticks_us(void) { return ticks64() / (COUNTER_HZ / 1000000); }

mp_uint_t mp_hal_ticks_ms(void) { return ticks64() / (COUNTER_HZ / 1000); }

void mp_hal_delay_us(mp_uint_t us) {
    uint64_t end = ticks64() + (uint64_t)us * (COUNTER_HZ / 1000000);
    while (ticks64() < end) {
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    uint64_t end = ticks64() + (uint64_t)ms * (COUNTER_HZ / 1000);
    while (ticks64() < end) {
        mp_handle_pending(true);
    }
}
