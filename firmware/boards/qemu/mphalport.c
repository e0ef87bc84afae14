/* Serial line and time, on what the machine gives. */

#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"

static uint8_t received[4096];
static ringbuf_t ring = {received, sizeof(received), 0, 0};
static bool listening = true;

static void listen(bool on) {
    listening = on;
    qemu_line_interrupts(on);
}

/* Move what has arrived into the ring. A full ring leaves the rest with the sender: the emulator
   hands over no byte before the last one is taken. */
static void receive(void) {
    while (qemu_line_has_byte() && ringbuf_free(&ring)) {
        int c = qemu_line_read();
        if (c == mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&ring, c);
        }
    }
}

void mp_hal_line_interrupt(void) {
    receive();
    if (!ringbuf_free(&ring)) {
        listen(false); /* until the reader has made room */
    }
}

static int take(void) {
    qemu_interrupts(false);
    int c = ringbuf_get(&ring);
    if (!listening) {
        listen(true);
        receive();
    }
    qemu_interrupts(true);
    return c;
}

/* Sleep until a byte arrives, so that an idle board costs the host no time. The emulator takes
   long to wake up, so wait a while for the next byte of a message first. */
void mp_hal_wait_for_byte(void) {
    for (int i = 0; i < 20000; i++) {
        if (ringbuf_avail(&ring)) {
            return;
        }
    }
    qemu_interrupts(false);
    if (!ringbuf_avail(&ring)) {
        qemu_sleep();
    }
    qemu_interrupts(true);
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
        qemu_line_write(text[i]);
    }
    return length;
}

mp_uint_t mp_hal_ticks_us(void) { return qemu_us(); }

mp_uint_t mp_hal_ticks_ms(void) { return qemu_us() / 1000; }

void mp_hal_delay_us(mp_uint_t us) {
    uint64_t end = qemu_us() + us;
    while (qemu_us() < end) {
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    uint64_t end = qemu_us() + (uint64_t)ms * 1000;
    while (qemu_us() < end) {
        mp_handle_pending(true);
    }
}
