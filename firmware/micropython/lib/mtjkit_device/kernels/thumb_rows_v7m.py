"""The inner loop of hidden layers in Thumb assembler, for ARMv7-M: Cortex-M3 and later.

MicroPython's assembler names hardly any 32-bit instruction, so they stand as numbers, each with
what it says beside it. They have three operands, one of them shifted on its way, constants such
as 0xaaaaaaaa, and all registers: nine words go through one tree of carry-save adders, then three.
For 32 multiply-accumulates of a network of the shape of FINN's CNV, all of it counted, the emulated
Cortex-M3 takes 9.9 instructions so and 13.6 with thumb_rows.
"""

# ruff: noqa: F821  (registers and instructions)

import micropython
from micropython import const

# Offsets in job, in bytes: see viper_layers; from 40 on this function's own variables.
_WORDS = const(0)
_CORNERS = const(4)
_CHANNELS = const(8)
_WEIGHTS = const(12)
_INVERTED = const(16)
_OUT = const(20)
_SKIP = const(28)
_LIMIT = const(128)  # of the first window
_WINDOWS = const(40)
_NINES = const(44)  # bytes of a row in nines of words
_TAIL = const(48)  # words of a row beyond them
_FLIP = const(52)  # word of the inversion mask, shifted
_MASK = const(56)  # the channel's bit in the word
_WORD = const(60)
_CHANNEL = const(64)  # 4 * channel
_CORNER = const(68)  # offset of the window's limit in job
_LAST = const(72)
_ROW = const(76)
_FLIPS = const(80)  # where the next word of the inversion mask lies
_LIMITS = const(84)  # of a single window: where the next limit lies
_END = const(88)  # ... and where the rows of this word's channels end; else 0


@micropython.asm_thumb
def rows(r0, r1, r2, r3):  # job, windows, data, out
    """See viper_rows32.rows: the same bits.

    r0 window, r1 row, r2 .. r11 words and adders, r12 mismatches, lr where the nines end;
    the job lies on the stack. The bits of a single window are shifted into the word as they come,
    inverted; those of several are or-ed.
    """
    push({r8, r9, r10, r11})
    push({r0})
    mov(r5, r0)
    ldr(r4, [r5, _SKIP])
    add(r1, r1, r4)
    str(r1, [r5, _WINDOWS])
    data(2, 0xF8D5, 0x4080)  # ldr.w r4, [r5, #128]
    data(2, 0xEB05, 0x0484)  # add.w r4, r5, r4, lsl #2
    str(r4, [r5, _LIMITS])
    ldr(r4, [r5, _WEIGHTS])
    add(r4, r4, r2)
    str(r4, [r5, _ROW])
    ldr(r4, [r5, _INVERTED])
    add(r4, r4, r2)
    str(r4, [r5, _FLIPS])
    ldr(r4, [r5, _OUT])
    lsl(r4, r4, 2)
    add(r4, r4, r3)
    str(r4, [r5, _OUT])
    ldr(r4, [r5, _CORNERS])
    lsl(r4, r4, 2)
    add(r4, _LIMIT)
    str(r4, [r5, _LAST])
    mov(r4, 0)
    str(r4, [r5, _CHANNEL])
    str(r4, [r5, _END])
    ldr(r4, [r5, _WORDS])
    mov(r2, 9)
    udiv(r3, r4, r2)
    mul(r3, r2)
    sub(r4, r4, r3)
    str(r4, [r5, _TAIL])
    lsl(r3, r3, 2)
    str(r3, [r5, _NINES])

    label(NEXT_WORD)
    ldr(r4, [r5, _FLIPS])
    ldr(r3, [r4, 0])
    str(r3, [r5, _FLIP])
    add(r4, 4)
    str(r4, [r5, _FLIPS])
    mov(r4, 0)
    str(r4, [r5, _WORD])
    mov(r4, 1)
    str(r4, [r5, _MASK])
    ldr(r3, [r5, _CORNERS])
    cmp(r3, 1)
    bne(CHANNEL)
    ldr(r4, [r5, _CHANNEL])
    ldr(r3, [r5, _CHANNELS])
    lsl(r3, r3, 2)
    sub(r3, r3, r4)
    cmp(r3, 128)
    ble(LAST_WORD)
    mov(r3, 128)
    label(LAST_WORD)
    add(r4, r4, r3)
    str(r4, [r5, _CHANNEL])
    ldr(r4, [r5, _WORDS])
    mul(r3, r4)
    ldr(r1, [r5, _ROW])
    add(r3, r3, r1)
    str(r3, [r5, _END])
    b(SINGLE)

    label(CHANNEL)
    ldr(r0, [r5, _WINDOWS])
    mov(r4, _LIMIT)
    str(r4, [r5, _CORNER])
    label(CORNER)
    ldr(r1, [r5, _ROW])
    ldr(r4, [r5, _NINES])
    b(START)

    label(SINGLE)
    ldr(r0, [r5, _WINDOWS])
    ldr(r4, [r5, _NINES])
    label(START)
    data(2, 0xEB01, 0x0E04)  # add.w lr, r1, r4
    data(2, 0xF04F, 0x0C00)  # mov.w r12, #0
    cmp(r4, 0)
    beq_w(REST)

    label(NINE)
    # Three words at a time: x + y + z = sum + 2 carry. The sums in r2, r4, r6, then the carries.
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
    data(2, 0xC870)  # ldmia r0!, {r4, r5, r6}
    data(2, 0xE8B1, 0x0380)  # ldmia.w r1!, {r7, r8, r9}
    eor(r4, r7)
    data(2, 0xEA85, 0x0508)  # eor.w r5, r5, r8
    data(2, 0xEA86, 0x0609)  # eor.w r6, r6, r9
    data(2, 0xEA84, 0x0705)  # eor.w r7, r4, r5
    eor(r6, r5)
    eor(r4, r6)
    and_(r7, r6)
    eor(r5, r7)
    data(2, 0xE8B0, 0x01C0)  # ldmia.w r0!, {r6, r7, r8}
    data(2, 0xE8B1, 0x0E00)  # ldmia.w r1!, {r9, r10, r11}
    data(2, 0xEA86, 0x0609)  # eor.w r6, r6, r9
    data(2, 0xEA87, 0x070A)  # eor.w r7, r7, r10
    data(2, 0xEA88, 0x080B)  # eor.w r8, r8, r11
    data(2, 0xEA86, 0x0907)  # eor.w r9, r6, r7
    data(2, 0xEA88, 0x0807)  # eor.w r8, r8, r7
    data(2, 0xEA86, 0x0608)  # eor.w r6, r6, r8
    data(2, 0xEA09, 0x0908)  # and.w r9, r9, r8
    data(2, 0xEA87, 0x0709)  # eor.w r7, r7, r9
    # The sums to ones r2 and twos r4, the carries to twos r3 and fours r5.
    data(2, 0xEA82, 0x0804)  # eor.w r8, r2, r4
    eor(r6, r4)
    eor(r2, r6)
    data(2, 0xEA08, 0x0806)  # and.w r8, r8, r6
    data(2, 0xEA84, 0x0408)  # eor.w r4, r4, r8
    data(2, 0xEA83, 0x0605)  # eor.w r6, r3, r5
    eor(r7, r5)
    eor(r3, r7)
    and_(r6, r7)
    eor(r5, r6)
    # The twos to twos r3 and fours r6.
    data(2, 0xEA03, 0x0604)  # and.w r6, r3, r4
    eor(r3, r4)
    # Ones of two bits, then of four: 12 at most in r2 with r3, 8 in r5 with r6.
    data(2, 0xF002, 0x37AA)  # and.w r7, r2, #0xaaaaaaaa
    data(2, 0xEBA2, 0x0257)  # sub.w r2, r2, r7, lsr #1
    data(2, 0xF003, 0x37AA)  # and.w r7, r3, #0xaaaaaaaa
    data(2, 0xEBA3, 0x0357)  # sub.w r3, r3, r7, lsr #1
    data(2, 0xF005, 0x37AA)  # and.w r7, r5, #0xaaaaaaaa
    data(2, 0xEBA5, 0x0557)  # sub.w r5, r5, r7, lsr #1
    data(2, 0xF006, 0x37AA)  # and.w r7, r6, #0xaaaaaaaa
    data(2, 0xEBA6, 0x0657)  # sub.w r6, r6, r7, lsr #1
    data(2, 0xF002, 0x3733)  # and.w r7, r2, #0x33333333
    sub(r2, r2, r7)
    data(2, 0xEB07, 0x0292)  # add.w r2, r7, r2, lsr #2
    data(2, 0xF003, 0x3733)  # and.w r7, r3, #0x33333333
    sub(r3, r3, r7)
    data(2, 0xEB07, 0x0393)  # add.w r3, r7, r3, lsr #2
    data(2, 0xEB02, 0x0243)  # add.w r2, r2, r3, lsl #1
    data(2, 0xF005, 0x3733)  # and.w r7, r5, #0x33333333
    sub(r5, r5, r7)
    data(2, 0xEB07, 0x0595)  # add.w r5, r7, r5, lsr #2
    data(2, 0xF006, 0x3733)  # and.w r7, r6, #0x33333333
    sub(r6, r6, r7)
    data(2, 0xEB07, 0x0696)  # add.w r6, r7, r6, lsr #2
    add(r5, r5, r6)
    # Bytes, 72 at most; halves; all.
    data(2, 0xF002, 0x370F)  # and.w r7, r2, #0x0f0f0f0f
    sub(r2, r2, r7)
    data(2, 0xEB07, 0x1212)  # add.w r2, r7, r2, lsr #4
    data(2, 0xF005, 0x370F)  # and.w r7, r5, #0x0f0f0f0f
    sub(r5, r5, r7)
    data(2, 0xEB07, 0x1515)  # add.w r5, r7, r5, lsr #4
    data(2, 0xEB02, 0x0285)  # add.w r2, r2, r5, lsl #2
    data(2, 0xF002, 0x17FF)  # and.w r7, r2, #0x00ff00ff
    sub(r2, r2, r7)
    data(2, 0xEB07, 0x2212)  # add.w r2, r7, r2, lsr #8
    data(2, 0xEB02, 0x4202)  # add.w r2, r2, r2, lsl #16
    data(2, 0xEB0C, 0x4C12)  # add.w r12, r12, r2, lsr #16
    data(2, 0x4571)  # cmp r1, lr
    bne_w(NINE)

    label(REST)
    data(2, 0x9D00)  # ldr r5, [sp, #0]
    ldr(r4, [r5, _TAIL])
    cmp(r4, 0)
    beq(COMPARE)
    data(2, 0xF1B4, 0x0A03)  # subs.w r10, r4, #3
    bmi(FEW)
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
    data(2, 0xF1BA, 0x0A03)  # subs.w r10, r10, #3
    bpl(THREE)
    data(2, 0x9D00)  # ldr r5, [sp, #0]
    label(FEW)
    data(2, 0xF11A, 0x0403)  # adds.w r4, r10, #3
    beq(COMPARE)
    label(ONE)
    data(2, 0xF850, 0x2B04)  # ldr.w r2, [r0], #4
    data(2, 0xF851, 0x3B04)  # ldr.w r3, [r1], #4
    eor(r2, r3)
    data(2, 0xF002, 0x37AA)  # and.w r7, r2, #0xaaaaaaaa
    data(2, 0xEBA2, 0x0257)  # sub.w r2, r2, r7, lsr #1
    data(2, 0xF002, 0x3733)  # and.w r7, r2, #0x33333333
    sub(r2, r2, r7)
    data(2, 0xEB07, 0x0292)  # add.w r2, r7, r2, lsr #2
    data(2, 0xEB02, 0x1212)  # add.w r2, r2, r2, lsr #4
    data(2, 0xF002, 0x320F)  # and.w r2, r2, #0x0f0f0f0f
    data(2, 0xEB02, 0x2202)  # add.w r2, r2, r2, lsl #8
    data(2, 0xEB02, 0x4202)  # add.w r2, r2, r2, lsl #16
    data(2, 0xEB0C, 0x6C12)  # add.w r12, r12, r2, lsr #24
    sub(r4, 1)
    bne(ONE)

    label(COMPARE)
    ldr(r3, [r5, _END])
    cmp(r3, 0)
    beq(POOLED)
    ldr(r4, [r5, _LIMITS])
    data(2, 0xF854, 0x2B04)  # ldr.w r2, [r4], #4
    str(r4, [r5, _LIMITS])
    ldr(r4, [r5, _WORD])
    data(2, 0x4594)  # cmp r12, r2
    data(2, 0xEB44, 0x0404)  # adc.w r4, r4, r4
    str(r4, [r5, _WORD])
    cmp(r1, r3)
    bne_w(SINGLE)
    # The first channel's bit is the highest one of the word.
    mvn(r4, r4)
    data(2, 0xFA94, 0xF4A4)  # rbit r4, r4
    ldr(r2, [r5, _CHANNEL])
    data(2, 0xF1C2, 0x0380)  # rsb.w r3, r2, #128
    data(2, 0xF3C3, 0x0384)  # ubfx r3, r3, #2, #5
    data(2, 0x40DC)  # lsrs r4, r3
    ldr(r3, [r5, _FLIP])
    eor(r4, r3)
    str(r4, [r5, _WORD])
    str(r1, [r5, _ROW])
    ldr(r4, [r5, _CHANNELS])
    lsl(r4, r4, 2)
    b(WORD_FULL)

    label(POOLED)
    ldr(r3, [r5, _CORNER])
    data(2, 0xF855, 0x4003)  # ldr.w r4, [r5, r3]
    ldr(r2, [r5, _CHANNEL])
    data(2, 0xEB02, 0x0284)  # add.w r2, r2, r4, lsl #2
    data(2, 0xF855, 0x4002)  # ldr.w r4, [r5, r2]
    data(2, 0xEBAC, 0x0204)  # sub.w r2, r12, r4
    lsr(r2, r2, 31)
    ldr(r4, [r5, _FLIP])
    eor(r2, r4)
    lsl(r2, r2, 31)
    bne(SET)
    add(r3, 4)
    str(r3, [r5, _CORNER])
    ldr(r4, [r5, _LAST])
    cmp(r3, r4)
    bne_w(CORNER)
    b(CLEAR)

    label(SET)
    ldr(r2, [r5, _WORD])
    ldr(r3, [r5, _MASK])
    orr(r2, r3)
    str(r2, [r5, _WORD])
    label(CLEAR)
    str(r1, [r5, _ROW])
    ldr(r2, [r5, _FLIP])
    lsr(r2, r2, 1)
    str(r2, [r5, _FLIP])
    ldr(r2, [r5, _CHANNEL])
    add(r2, 4)
    str(r2, [r5, _CHANNEL])
    ldr(r4, [r5, _CHANNELS])
    lsl(r4, r4, 2)
    ldr(r3, [r5, _MASK])
    lsl(r3, r3, 1)
    beq(WORD_FULL)
    str(r3, [r5, _MASK])
    cmp(r2, r4)
    bne_w(CHANNEL)
    label(WORD_FULL)
    ldr(r3, [r5, _OUT])
    ldr(r0, [r5, _WORD])
    str(r0, [r3, 0])
    add(r3, 4)
    str(r3, [r5, _OUT])
    cmp(r2, r4)
    bne_w(NEXT_WORD)

    pop({r0})
    pop({r8, r9, r10, r11})
    mov(r0, 0)
