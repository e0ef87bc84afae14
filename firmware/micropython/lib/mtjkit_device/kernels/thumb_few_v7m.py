"""The inner loop of short rows in Thumb assembler, for ARMv7-M: up to eight words, one window.

See thumb_rows_v7m, whose long tree of adders leaves no register for what a channel needs besides.
Here the limits, the bits of 32 channels and the end of their rows stay in registers.
"""

# ruff: noqa: F821  (registers and instructions)

import micropython
from micropython import const

# Offsets in job, in bytes: see viper_layers; from 40 on this function's own variables.
_WORDS = const(0)
_CHANNELS = const(8)
_WEIGHTS = const(12)
_INVERTED = const(16)
_OUT = const(20)
_SKIP = const(28)
_FLIPS = const(40)  # where the next word of the inversion mask lies
_LEFT = const(44)  # channels still to come
_BITS = const(48)  # channels of this word


@micropython.asm_thumb
def few(r0, r1, r2, r3):  # job, windows, data, out
    """See viper_rows32.rows: the same bits.

    r0 window, r1 row, r2 .. r7 words and adders (r5 .. r7 constants where a row has one or two),
    r8 limits, r9 bits, r10 windows, r11 where the rows of this word's channels end, r12
    mismatches, lr words still to come less 3; the job lies on the stack.
    """
    push({r8, r9, r10, r11})
    push({r0})
    mov(r5, r0)
    ldr(r4, [r5, _SKIP])
    add(r4, r4, r1)
    mov(r10, r4)
    data(2, 0xF8D5, 0x4080)  # ldr.w r4, [r5, #128]
    data(2, 0xEB05, 0x0884)  # add.w r8, r5, r4, lsl #2
    ldr(r4, [r5, _WEIGHTS])
    add(r1, r2, r4)
    ldr(r4, [r5, _INVERTED])
    add(r4, r4, r2)
    str(r4, [r5, _FLIPS])
    ldr(r4, [r5, _OUT])
    lsl(r4, r4, 2)
    add(r4, r4, r3)
    str(r4, [r5, _OUT])
    ldr(r4, [r5, _CHANNELS])
    str(r4, [r5, _LEFT])

    label(NEXT_WORD)
    ldr(r4, [r5, _LEFT])
    cmp(r4, 32)
    ble(LAST_WORD)
    mov(r4, 32)
    label(LAST_WORD)
    str(r4, [r5, _BITS])
    ldr(r3, [r5, _WORDS])
    mul(r4, r3)
    data(2, 0xEB01, 0x0B84)  # add.w r11, r1, r4, lsl #2
    data(2, 0xF04F, 0x0900)  # mov.w r9, #0
    cmp(r3, 2)
    bgt(ROW)
    beq(TWO_WORDS)

    mov(r0, r10)
    ldr(r6, [r0, 0])
    data(2, 0xF04F, 0x3501)  # mov.w r5, #0x01010101
    label(ONE_WORD)
    data(2, 0xC904)  # ldmia r1!, {r2}
    eor(r2, r6)
    data(2, 0xF002, 0x34AA)  # and.w r4, r2, #0xaaaaaaaa
    data(2, 0xEBA2, 0x0254)  # sub.w r2, r2, r4, lsr #1
    data(2, 0xF002, 0x3433)  # and.w r4, r2, #0x33333333
    sub(r2, r2, r4)
    data(2, 0xEB04, 0x0292)  # add.w r2, r4, r2, lsr #2
    data(2, 0xEB02, 0x1212)  # add.w r2, r2, r2, lsr #4
    data(2, 0xF002, 0x320F)  # and.w r2, r2, #0x0f0f0f0f
    mul(r2, r5)
    data(2, 0xF858, 0x3B04)  # ldr.w r3, [r8], #4
    data(2, 0x0E12)  # lsrs r2, r2, #24
    cmp(r2, r3)
    data(2, 0xEB49, 0x0909)  # adc.w r9, r9, r9
    data(2, 0x4559)  # cmp r1, r11
    bne(ONE_WORD)
    b(WORD_FULL)

    label(TWO_WORDS)
    mov(r0, r10)
    ldr(r6, [r0, 0])
    ldr(r7, [r0, 4])
    data(2, 0xF04F, 0x3501)  # mov.w r5, #0x01010101
    label(PAIR)
    data(2, 0xC90C)  # ldmia r1!, {r2, r3}
    eor(r2, r6)
    eor(r3, r7)
    data(2, 0xF002, 0x34AA)  # and.w r4, r2, #0xaaaaaaaa
    data(2, 0xEBA2, 0x0254)  # sub.w r2, r2, r4, lsr #1
    data(2, 0xF003, 0x34AA)  # and.w r4, r3, #0xaaaaaaaa
    data(2, 0xEBA3, 0x0354)  # sub.w r3, r3, r4, lsr #1
    data(2, 0xF002, 0x3433)  # and.w r4, r2, #0x33333333
    sub(r2, r2, r4)
    data(2, 0xEB04, 0x0292)  # add.w r2, r4, r2, lsr #2
    data(2, 0xF003, 0x3433)  # and.w r4, r3, #0x33333333
    sub(r3, r3, r4)
    data(2, 0xEB04, 0x0393)  # add.w r3, r4, r3, lsr #2
    add(r2, r2, r3)
    data(2, 0xF002, 0x340F)  # and.w r4, r2, #0x0f0f0f0f
    sub(r2, r2, r4)
    data(2, 0xEB04, 0x1212)  # add.w r2, r4, r2, lsr #4
    mul(r2, r5)
    data(2, 0xF858, 0x3B04)  # ldr.w r3, [r8], #4
    data(2, 0x0E12)  # lsrs r2, r2, #24
    cmp(r2, r3)
    data(2, 0xEB49, 0x0909)  # adc.w r9, r9, r9
    data(2, 0x4559)  # cmp r1, r11
    bne(PAIR)
    b(WORD_FULL)

    label(ROW)
    mov(r0, r10)
    data(2, 0x9C00)  # ldr r4, [sp, #0]
    ldr(r4, [r4, _WORDS])
    data(2, 0xF1A4, 0x0E03)  # sub.w lr, r4, #3
    data(2, 0xF04F, 0x0C00)  # mov.w r12, #0
    label(THREE)
    data(2, 0xC81C)  # ldmia r0!, {r2, r3, r4}
    data(2, 0xC9E0)  # ldmia r1!, {r5, r6, r7}
    eor(r2, r5)
    eor(r3, r6)
    eor(r4, r7)
    data(2, 0xEA82, 0x0503)  # eor.w r5, r2, r3
    eor(r4, r3)
    eor(r2, r4)
    and_(r5, r4)
    eor(r3, r5)
    data(2, 0xF002, 0x37AA)  # and.w r7, r2, #0xaaaaaaaa
    data(2, 0xEBA2, 0x0257)  # sub.w r2, r2, r7, lsr #1
    data(2, 0xF003, 0x37AA)  # and.w r7, r3, #0xaaaaaaaa
    data(2, 0xEBA3, 0x0357)  # sub.w r3, r3, r7, lsr #1
    data(2, 0xF002, 0x3733)  # and.w r7, r2, #0x33333333
    sub(r2, r2, r7)
    data(2, 0xEB07, 0x0292)  # add.w r2, r7, r2, lsr #2
    data(2, 0xF003, 0x3733)  # and.w r7, r3, #0x33333333
    sub(r3, r3, r7)
    data(2, 0xEB07, 0x0393)  # add.w r3, r7, r3, lsr #2
    data(2, 0xEB02, 0x0243)  # add.w r2, r2, r3, lsl #1
    data(2, 0xF002, 0x370F)  # and.w r7, r2, #0x0f0f0f0f
    sub(r2, r2, r7)
    data(2, 0xEB07, 0x1212)  # add.w r2, r7, r2, lsr #4
    data(2, 0xEB02, 0x2202)  # add.w r2, r2, r2, lsl #8
    data(2, 0xEB02, 0x4202)  # add.w r2, r2, r2, lsl #16
    data(2, 0xEB0C, 0x6C12)  # add.w r12, r12, r2, lsr #24
    data(2, 0xF1BE, 0x0E03)  # subs.w lr, lr, #3
    bpl(THREE)
    data(2, 0xF11E, 0x0E02)  # adds.w lr, lr, #2
    bmi(COMPARE)
    beq(ONE)
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}
    data(2, 0xC930)  # ldmia r1!, {r4, r5}
    eor(r2, r4)
    eor(r3, r5)
    data(2, 0xF002, 0x34AA)  # and.w r4, r2, #0xaaaaaaaa
    data(2, 0xEBA2, 0x0254)  # sub.w r2, r2, r4, lsr #1
    data(2, 0xF003, 0x34AA)  # and.w r4, r3, #0xaaaaaaaa
    data(2, 0xEBA3, 0x0354)  # sub.w r3, r3, r4, lsr #1
    data(2, 0xF002, 0x3433)  # and.w r4, r2, #0x33333333
    sub(r2, r2, r4)
    data(2, 0xEB04, 0x0292)  # add.w r2, r4, r2, lsr #2
    data(2, 0xF003, 0x3433)  # and.w r4, r3, #0x33333333
    sub(r3, r3, r4)
    data(2, 0xEB04, 0x0393)  # add.w r3, r4, r3, lsr #2
    add(r2, r2, r3)
    b(BYTES)
    label(ONE)
    data(2, 0xC904)  # ldmia r1!, {r2}
    ldr(r3, [r0, 0])
    eor(r2, r3)
    data(2, 0xF002, 0x34AA)  # and.w r4, r2, #0xaaaaaaaa
    data(2, 0xEBA2, 0x0254)  # sub.w r2, r2, r4, lsr #1
    data(2, 0xF002, 0x3433)  # and.w r4, r2, #0x33333333
    sub(r2, r2, r4)
    data(2, 0xEB04, 0x0292)  # add.w r2, r4, r2, lsr #2
    label(BYTES)
    data(2, 0xF002, 0x340F)  # and.w r4, r2, #0x0f0f0f0f
    sub(r2, r2, r4)
    data(2, 0xEB04, 0x1212)  # add.w r2, r4, r2, lsr #4
    data(2, 0xEB02, 0x2202)  # add.w r2, r2, r2, lsl #8
    data(2, 0xEB02, 0x4202)  # add.w r2, r2, r2, lsl #16
    data(2, 0xEB0C, 0x6C12)  # add.w r12, r12, r2, lsr #24
    label(COMPARE)
    data(2, 0xF858, 0x2B04)  # ldr.w r2, [r8], #4
    data(2, 0x4594)  # cmp r12, r2
    data(2, 0xEB49, 0x0909)  # adc.w r9, r9, r9
    data(2, 0x4559)  # cmp r1, r11
    bne_w(ROW)

    # The first channel's bit is the highest one of the word; a bit is 1 where it must be 0.
    label(WORD_FULL)
    data(2, 0x9D00)  # ldr r5, [sp, #0]
    data(2, 0xEA6F, 0x0409)  # mvn.w r4, r9
    data(2, 0xFA94, 0xF4A4)  # rbit r4, r4
    ldr(r2, [r5, _BITS])
    data(2, 0xF1C2, 0x0320)  # rsb.w r3, r2, #32
    data(2, 0x40DC)  # lsrs r4, r3
    ldr(r3, [r5, _FLIPS])
    ldr(r6, [r3, 0])
    add(r3, 4)
    str(r3, [r5, _FLIPS])
    eor(r4, r6)
    ldr(r3, [r5, _OUT])
    str(r4, [r3, 0])
    add(r3, 4)
    str(r3, [r5, _OUT])
    ldr(r4, [r5, _LEFT])
    sub(r4, r4, r2)
    str(r4, [r5, _LEFT])
    bne_w(NEXT_WORD)
    pop({r0})
    pop({r8, r9, r10, r11})
    mov(r0, 0)
