"""The inner loop of hidden layers in RISC-V assembler, for processors with the extension Zbb.

Its instruction cpop counts a word's ones; it crashes a processor that lacks it. So `flash` brings
this module only to boards that are known to have Zbb, and neither mip nor a frozen manifest brings
it by itself. MicroPython's assembler does not name cpop, so it stands as a number.
"""

# ruff: noqa: F821  (registers and instructions)

import micropython
from micropython import const

# Offsets in job, in bytes: see viper_layers.
_WORDS = const(0)
_CORNERS = const(4)
_CHANNELS = const(8)
_WEIGHTS = const(12)
_INVERTED = const(16)
_OUT = const(20)
_SKIP = const(28)
_LIMIT = const(128)  # of the first window

# On the stack, above the registers that the caller wants back.
_CHANNEL = const(24)  # 4 * channel
_LAST = const(28)  # 4 * channels
_CORNER_END = const(32)  # where job's windows end
_FLIPS = const(36)  # where the next word of the inversion mask lies


@micropython.asm_rv32
def rows(a0, a1, a2, a3):  # job, windows, data, out
    """See viper_rows32.rows: the same bits.

    a0 job, a1 windows, a2 row, a3 out, a4 and a5 walk through window and row, a6 where the nines
    of words end, a7 bytes of a row in nines, s0 bytes beyond them, s8 mismatches, s9 bits, s10 the
    channel's bit, s11 inversion mask, ra the window's limit in job, t0 .. t3 words.
    """
    addi(sp, sp, -48)
    sw(ra, 0(sp))
    sw(s0, 4(sp))
    sw(s8, 8(sp))
    sw(s9, 12(sp))
    sw(s10, 16(sp))
    sw(s11, 20(sp))
    lw(t0, _SKIP(a0))
    add(a1, a1, t0)
    lw(t0, _INVERTED(a0))
    add(t0, t0, a2)
    sw(t0, _FLIPS(sp))
    lw(t0, _WEIGHTS(a0))
    add(a2, a2, t0)
    lw(t0, _OUT(a0))
    slli(t0, t0, 2)
    add(a3, a3, t0)
    lw(t0, _WORDS(a0))
    li(t1, 9)
    rem(s0, t0, t1)
    sub(t0, t0, s0)
    slli(a7, t0, 2)
    slli(s0, s0, 2)
    sw(zero, _CHANNEL(sp))
    lw(t0, _CHANNELS(a0))
    slli(t0, t0, 2)
    sw(t0, _LAST(sp))
    lw(t0, _CORNERS(a0))
    slli(t0, t0, 2)
    add(t0, t0, a0)
    addi(t0, t0, _LIMIT)
    sw(t0, _CORNER_END(sp))

    label(NEXT_WORD)
    lw(t0, _FLIPS(sp))
    lw(s11, 0(t0))
    addi(t0, t0, 4)
    sw(t0, _FLIPS(sp))
    li(s9, 0)
    li(s10, 1)

    label(CHANNEL)
    mv(a4, a1)
    addi(ra, a0, _LIMIT)

    label(CORNER)
    mv(a5, a2)
    li(s8, 0)
    add(a6, a2, a7)
    beq(a7, zero, REST)
    label(NINE)
    lw(t0, 0(a4))
    lw(t1, 0(a5))
    xor(t0, t0, t1)
    data(4, 0x60229293)  # cpop t0, t0
    add(s8, s8, t0)
    lw(t2, 4(a4))
    lw(t3, 4(a5))
    xor(t2, t2, t3)
    data(4, 0x60239393)  # cpop t2, t2
    add(s8, s8, t2)
    lw(t0, 8(a4))
    lw(t1, 8(a5))
    xor(t0, t0, t1)
    data(4, 0x60229293)  # cpop t0, t0
    add(s8, s8, t0)
    lw(t2, 12(a4))
    lw(t3, 12(a5))
    xor(t2, t2, t3)
    data(4, 0x60239393)  # cpop t2, t2
    add(s8, s8, t2)
    lw(t0, 16(a4))
    lw(t1, 16(a5))
    xor(t0, t0, t1)
    data(4, 0x60229293)  # cpop t0, t0
    add(s8, s8, t0)
    lw(t2, 20(a4))
    lw(t3, 20(a5))
    xor(t2, t2, t3)
    data(4, 0x60239393)  # cpop t2, t2
    add(s8, s8, t2)
    lw(t0, 24(a4))
    lw(t1, 24(a5))
    xor(t0, t0, t1)
    data(4, 0x60229293)  # cpop t0, t0
    add(s8, s8, t0)
    lw(t2, 28(a4))
    lw(t3, 28(a5))
    xor(t2, t2, t3)
    data(4, 0x60239393)  # cpop t2, t2
    add(s8, s8, t2)
    lw(t0, 32(a4))
    lw(t1, 32(a5))
    xor(t0, t0, t1)
    data(4, 0x60229293)  # cpop t0, t0
    add(s8, s8, t0)
    addi(a4, a4, 36)
    addi(a5, a5, 36)
    bne(a5, a6, NINE)
    label(REST)
    beq(s0, zero, COMPARE)
    add(a6, a5, s0)
    label(ONE)
    lw(t0, 0(a4))
    lw(t1, 0(a5))
    addi(a4, a4, 4)
    addi(a5, a5, 4)
    xor(t0, t0, t1)
    data(4, 0x60229293)  # cpop t0, t0
    add(s8, s8, t0)
    bne(a5, a6, ONE)

    label(COMPARE)
    lw(t0, 0(ra))
    lw(t1, _CHANNEL(sp))
    slli(t0, t0, 2)
    add(t0, t0, a0)
    add(t0, t0, t1)
    lw(t0, 0(t0))
    slt(t0, s8, t0)
    xor(t0, t0, s11)
    andi(t0, t0, 1)
    sub(t0, zero, t0)
    and_(t0, t0, s10)
    or_(s9, s9, t0)
    bne(t0, zero, NEXT_CHANNEL)
    addi(ra, ra, 4)
    lw(t0, _CORNER_END(sp))
    bne(ra, t0, CORNER)
    label(NEXT_CHANNEL)
    mv(a2, a5)
    srli(s11, s11, 1)
    slli(s10, s10, 1)
    addi(t1, t1, 4)
    sw(t1, _CHANNEL(sp))
    lw(t0, _LAST(sp))
    beq(t1, t0, WORD_FULL)
    bne(s10, zero, CHANNEL)
    label(WORD_FULL)
    sw(s9, 0(a3))
    addi(a3, a3, 4)
    bne(t1, t0, NEXT_WORD)

    lw(ra, 0(sp))
    lw(s0, 4(sp))
    lw(s8, 8(sp))
    lw(s9, 12(sp))
    lw(s10, 16(sp))
    lw(s11, 20(sp))
    addi(sp, sp, 48)
    li(a0, 0)
