"""The write engine in RISC-V assembler: RV32IM, so any 32-bit RISC-V board."""

# ruff: noqa: F821  (registers, instructions and viper's types)

from array import array

import micropython
from micropython import const

# What `write` hands to `_write`, in words: pointers, masks, limits.
_JOB = array("I", bytes(4 * 14))

# Offsets in it, in bytes.
_CELLS = const(0)
_INTENDED = const(4)
_END = const(8)  # where the intended words end
_RUN_WORDS = const(12)
_TAIL = const(16)
_OLD = const(20)  # mask of the old bits: all, or none where the cells are erased
_STREAMS = const(24)
_FLIP = const(28)  # mask of the bits that fail without a toggle: all, or none where errors keep
_DOWN = const(32)
_UP = const(36)
_DOWN_CERTAIN = const(40)  # masks
_UP_CERTAIN = const(44)
_UNEVEN = const(48)  # not 0 where the two limits differ
_COUNTS = const(52)

# Offsets in the counts: see mtjkit_core.write_errors.COUNTS.
_TOGGLED = const(4)
_WRONG = const(8)
_ONES = const(12)
_UPS = const(16)


@micropython.viper
def write(
    cells: ptr32,
    intended: ptr32,
    words: int,
    run_words: int,
    run_bits: int,
    erased: int,
    state: ptr32,
    errors: ptr32,
    counts: ptr32,
):
    """See viper_memory.write: the same arguments, the same bits."""
    full = uint(0xFFFF)
    full |= full << 16
    j = ptr32(_JOB)
    j[0] = int(cells)
    j[1] = int(intended)
    j[2] = int(intended) + (words << 2)
    j[3] = run_words
    j[4] = int(full >> uint(-run_bits & 31))
    j[5] = erased - 1
    j[6] = int(state)
    j[7] = errors[4] - 1
    j[8] = errors[0]
    j[9] = errors[1]
    j[10] = 0 - errors[2]
    j[11] = 0 - errors[3]
    # Without branches: their labels would count as _write's (see asm_rv32).
    j[12] = (errors[0] ^ errors[1]) | (errors[2] ^ errors[3])
    j[13] = int(counts)
    counts[0] += words // run_words * run_bits
    _write(_JOB)


@micropython.asm_rv32
def _write(a0):
    """Registers.

    a0 _JOB, a1 cells, a2 intended, a3 its end, a4 the word's stream, a5 and s9 digits of the limits
    still to come, a6 counts, s0 .. s3 a stream, s4 .. s7 constants, s8 words of the
    run still to come, s10 mask of the old bits, s11 of those that fail without a toggle, t0 lanes,
    t1 failed lanes, t2 undecided lanes, t3 the intended word, t4 .. t6 scratch.
    """
    addi(sp, sp, -64)
    sw(ra, 0(sp))
    sw(s0, 4(sp))
    sw(s1, 8(sp))
    sw(s2, 12(sp))
    sw(s3, 16(sp))
    sw(s4, 20(sp))
    sw(s5, 24(sp))
    sw(s6, 28(sp))
    sw(s7, 32(sp))
    sw(s8, 36(sp))
    sw(s9, 40(sp))
    sw(s10, 44(sp))
    sw(s11, 48(sp))
    li(s4, 0x55555555)
    li(s5, 0x33333333)
    li(s6, 0x0F0F0F0F)
    li(s7, 0x01010101)
    lw(a1, _CELLS(a0))
    lw(a2, _INTENDED(a0))
    lw(a3, _END(a0))
    lw(a4, _STREAMS(a0))
    lw(a6, _COUNTS(a0))
    lw(s8, _RUN_WORDS(a0))
    lw(s10, _OLD(a0))
    lw(s11, _FLIP(a0))

    label(WORD)
    li(t0, -1)
    addi(s8, s8, -1)
    bne(s8, zero, RUN)
    lw(s8, _RUN_WORDS(a0))
    lw(t0, _TAIL(a0))
    label(RUN)
    lw(t3, 0(a2))
    mv(t2, t0)
    lw(t4, _DOWN_CERTAIN(a0))
    lw(t5, _UP_CERTAIN(a0))
    xor(t5, t5, t4)
    and_(t5, t5, t3)
    xor(t1, t4, t5)
    and_(t1, t1, t0)
    lw(a5, _DOWN(a0))
    lw(t4, _UNEVEN(a0))
    bne(t4, zero, UNEVEN)
    beq(a5, zero, STORE)  # nothing fails, or all lanes do

    lw(s0, 0(a4))
    lw(s1, 4(a4))
    lw(s2, 8(a4))
    lw(s3, 12(a4))
    label(DRAW)
    add(t4, s0, s3)
    slli(t5, t4, 7)
    srli(t4, t4, 25)
    or_(t4, t4, t5)
    add(t4, t4, s0)
    slli(t5, s1, 9)
    xor(s2, s2, s0)
    xor(s3, s3, s1)
    xor(s1, s1, s2)
    xor(s0, s0, s3)
    xor(s2, s2, t5)
    slli(t5, s3, 11)
    srli(s3, s3, 21)
    or_(s3, s3, t5)
    and_(t4, t4, t2)  # undecided lanes that drew 1; t2 those that drew 0
    xor(t2, t2, t4)
    bge(a5, zero, DIGIT_0)
    or_(t1, t1, t2)
    mv(t2, t4)
    label(DIGIT_0)
    slli(a5, a5, 1)
    beq(t2, zero, DRAWN)
    bne(a5, zero, DRAW)
    jal(zero, DRAWN)

    # Two limits. A certain one has no digits, so that its lanes are decided at once.
    label(UNEVEN)
    lw(s9, _UP(a0))
    lw(s0, 0(a4))
    lw(s1, 4(a4))
    lw(s2, 8(a4))
    lw(s3, 12(a4))
    label(DRAW_TWO)
    bne(a5, zero, DOWN_LEFT)
    and_(t2, t2, t3)
    label(DOWN_LEFT)
    bne(s9, zero, UP_LEFT)
    and_(t4, t2, t3)
    xor(t2, t2, t4)
    label(UP_LEFT)
    beq(t2, zero, DRAWN)
    add(t4, s0, s3)
    slli(t5, t4, 7)
    srli(t4, t4, 25)
    or_(t4, t4, t5)
    add(t4, t4, s0)
    slli(t5, s1, 9)
    xor(s2, s2, s0)
    xor(s3, s3, s1)
    xor(s1, s1, s2)
    xor(s0, s0, s3)
    xor(s2, s2, t5)
    slli(t5, s3, 11)
    srli(s3, s3, 21)
    or_(s3, s3, t5)
    srai(t5, a5, 31)
    srai(t6, s9, 31)
    xor(t6, t6, t5)
    and_(t6, t6, t3)
    xor(t5, t5, t6)  # the lanes' digits
    xor(t4, t4, t5)
    and_(t4, t4, t2)  # the lanes that are decided
    xor(t2, t2, t4)
    and_(t4, t4, t5)
    or_(t1, t1, t4)
    slli(a5, a5, 1)
    slli(s9, s9, 1)
    jal(zero, DRAW_TWO)

    label(DRAWN)
    sw(s0, 0(a4))
    sw(s1, 4(a4))
    sw(s2, 8(a4))
    sw(s3, 12(a4))
    addi(a4, a4, 16)
    lw(t4, _STREAMS(a0))
    addi(t5, t4, 128)
    bne(a4, t5, STORE)
    mv(a4, t4)

    # s0 the old word, s1 the bits that toggle.
    label(STORE)
    lw(s0, 0(a1))
    and_(s0, s0, s10)
    xor(s1, s0, t3)
    and_(s1, s1, t0)
    or_(t4, s1, s11)
    and_(t1, t1, t4)
    xor(t4, t3, t1)
    sw(t4, 0(a1))
    addi(a1, a1, 4)
    addi(a2, a2, 4)
    mv(t4, s1)
    jal(ra, COUNT)
    lw(t5, _TOGGLED(a6))
    add(t5, t5, t4)
    sw(t5, _TOGGLED(a6))
    beq(s0, zero, ERASED)
    and_(t4, s1, t3)
    jal(ra, COUNT)
    mv(s1, t4)
    mv(t4, t3)
    jal(ra, COUNT)
    jal(zero, ADD)
    label(ERASED)  # here only ones toggle
    mv(s1, t4)
    label(ADD)
    lw(t5, _ONES(a6))
    add(t5, t5, t4)
    sw(t5, _ONES(a6))
    lw(t5, _UPS(a6))
    add(t5, t5, s1)
    sw(t5, _UPS(a6))
    beq(t1, zero, NEXT)
    mv(t4, t1)
    jal(ra, COUNT)
    lw(t5, _WRONG(a6))
    add(t5, t5, t4)
    sw(t5, _WRONG(a6))
    label(NEXT)
    bne(a2, a3, WORD)

    lw(ra, 0(sp))
    lw(s0, 4(sp))
    lw(s1, 8(sp))
    lw(s2, 12(sp))
    lw(s3, 16(sp))
    lw(s4, 20(sp))
    lw(s5, 24(sp))
    lw(s6, 28(sp))
    lw(s7, 32(sp))
    lw(s8, 36(sp))
    lw(s9, 40(sp))
    lw(s10, 44(sp))
    lw(s11, 48(sp))
    addi(sp, sp, 64)
    li(a0, 0)
    jal(zero, END)

    # The ones of t4, into t4.
    label(COUNT)
    srli(t5, t4, 1)
    and_(t5, t5, s4)
    sub(t4, t4, t5)
    srli(t5, t4, 2)
    and_(t4, t4, s5)
    and_(t5, t5, s5)
    add(t4, t4, t5)
    srli(t5, t4, 4)
    add(t4, t4, t5)
    and_(t4, t4, s6)
    mul(t4, t4, s7)
    srli(t4, t4, 24)
    jalr(zero, ra, 0)
    label(END)
