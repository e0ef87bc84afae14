"""The write engine in Thumb assembler: ARMv6-M instructions, so any Cortex-M."""

# ruff: noqa: F821  (registers, instructions and viper's types)

from array import array

import micropython
from micropython import const

# What `write` hands to `_write`, in words: pointers, masks, sums.
_JOB = array("I", bytes(4 * 24))

# Offsets in it, in bytes.
_CELLS = const(0)
_INTENDED = const(4)
_WORDS = const(8)
_RUN_WORDS = const(12)
_TAIL = const(16)
_OLD = const(20)  # mask of the old bits: all, or none where the cells are erased
_STREAMS = const(24)
_STREAMS_END = const(28)
_THRESHOLD = const(32)
_CERTAIN = const(36)
_KEEP = const(40)
_TOGGLED = const(44)
_WRONG = const(48)
_M1 = const(52)
_M2 = const(56)
_M4 = const(60)
_ONES = const(64)
_STREAM = const(68)  # the word's stream
_LEFT = const(72)  # words of the run still to come
_LANES = const(76)


@micropython.viper
def write(
    cells: ptr32,
    intended: ptr32,
    words: int,
    run_words: int,
    run_bits: int,
    erased: int,
    state: ptr32,
    rate: ptr32,
    counts: ptr32,
):
    """See viper_memory.write: the same arguments, the same bits."""
    full = uint(0xFFFF)
    full |= full << 16
    j = ptr32(_JOB)
    j[0] = int(cells)
    j[1] = int(intended)
    j[2] = words
    j[3] = run_words
    j[4] = int(full >> uint(-run_bits & 31))
    j[5] = erased - 1
    j[6] = int(state)
    j[7] = int(state) + 128
    j[8] = rate[0]
    j[9] = rate[1]
    j[10] = rate[2]
    j[11] = 0
    j[12] = 0
    m = 0x5555
    j[13] = m | (m << 16)
    m = 0x3333
    j[14] = m | (m << 16)
    m = 0x0F0F
    j[15] = m | (m << 16)
    m = 0x0101
    j[16] = m | (m << 16)
    j[17] = int(state)
    j[18] = run_words
    _write(_JOB)
    counts[0] += words // run_words * run_bits
    counts[1] += j[11]
    counts[2] += j[12]


@micropython.asm_thumb
def _write(r0):
    """Registers.

    r0..r3 a stream, r4 undecided lanes, r5 word drawn, r6 r7 scratch, r8 failed lanes, r9 digits
    of the fail limit still to come, r12 _JOB.
    """
    mov(r4, r8)
    mov(r5, r9)
    push({r4, r5})
    mov(r12, r0)

    label(WORD)
    mov(r7, r12)
    mov(r5, 0)
    mov(r8, r5)
    mvn(r5, r5)
    ldr(r4, [r7, _LEFT])
    sub(r4, 1)
    bne(RUN)
    ldr(r5, [r7, _TAIL])
    ldr(r4, [r7, _RUN_WORDS])
    label(RUN)
    str(r4, [r7, _LEFT])
    str(r5, [r7, _LANES])
    ldr(r6, [r7, _CERTAIN])
    cmp(r6, 0)
    beq(MAYBE)
    mov(r8, r5)
    label(MAYBE)
    ldr(r6, [r7, _THRESHOLD])
    cmp(r6, 0)
    beq(STORE)
    mov(r9, r6)
    mov(r4, r5)
    ldr(r5, [r7, _STREAM])
    ldr(r0, [r5, 0])
    ldr(r1, [r5, 4])
    ldr(r2, [r5, 8])
    ldr(r3, [r5, 12])

    label(DRAW)
    add(r5, r0, r3)
    mov(r6, 25)
    ror(r5, r6)
    add(r5, r5, r0)
    lsl(r6, r1, 9)
    eor(r2, r0)
    eor(r3, r1)
    eor(r1, r2)
    eor(r0, r3)
    eor(r2, r6)
    mov(r6, 21)
    ror(r3, r6)
    mov(r6, r9)
    lsl(r6, r6, 1)  # the digit goes to the carry flag
    mov(r9, r6)
    bcs(DIGIT_1)
    bic(r4, r5)
    b(DECIDED)
    label(DIGIT_1)
    mov(r7, r4)
    bic(r7, r5)
    and_(r4, r5)
    mov(r5, r8)
    orr(r5, r7)
    mov(r8, r5)
    label(DECIDED)
    cmp(r4, 0)
    beq(DRAWN)
    cmp(r6, 0)
    bne(DRAW)
    label(DRAWN)
    mov(r7, r12)
    ldr(r5, [r7, _STREAM])
    str(r0, [r5, 0])
    str(r1, [r5, 4])
    str(r2, [r5, 8])
    str(r3, [r5, 12])
    add(r5, 16)
    ldr(r6, [r7, _STREAMS_END])
    cmp(r5, r6)
    bne(SAME_ROUND)
    ldr(r5, [r7, _STREAMS])
    label(SAME_ROUND)
    str(r5, [r7, _STREAM])

    label(STORE)
    ldr(r0, [r7, _INTENDED])
    ldr(r1, [r0, 0])
    add(r0, 4)
    str(r0, [r7, _INTENDED])
    ldr(r2, [r7, _CELLS])
    ldr(r3, [r2, 0])
    ldr(r4, [r7, _OLD])
    and_(r3, r4)
    eor(r3, r1)
    ldr(r4, [r7, _LANES])
    and_(r3, r4)
    mov(r4, r8)
    ldr(r5, [r7, _KEEP])
    cmp(r5, 0)
    beq(FLIP)
    and_(r4, r3)
    label(FLIP)
    eor(r1, r4)
    str(r1, [r2, 0])
    add(r2, 4)
    str(r2, [r7, _CELLS])

    # Count r3, toggled, and r4, wrong.
    ldr(r5, [r7, _M1])
    lsr(r6, r3, 1)
    and_(r6, r5)
    sub(r3, r3, r6)
    lsr(r6, r4, 1)
    and_(r6, r5)
    sub(r4, r4, r6)
    ldr(r5, [r7, _M2])
    lsr(r6, r3, 2)
    and_(r6, r5)
    and_(r3, r5)
    add(r3, r3, r6)
    lsr(r6, r4, 2)
    and_(r6, r5)
    and_(r4, r5)
    add(r4, r4, r6)
    ldr(r5, [r7, _M4])
    lsr(r6, r3, 4)
    add(r3, r3, r6)
    and_(r3, r5)
    lsr(r6, r4, 4)
    add(r4, r4, r6)
    and_(r4, r5)
    ldr(r5, [r7, _ONES])
    mul(r3, r5)
    lsr(r3, r3, 24)
    mul(r4, r5)
    lsr(r4, r4, 24)
    ldr(r5, [r7, _TOGGLED])
    add(r5, r5, r3)
    str(r5, [r7, _TOGGLED])
    ldr(r5, [r7, _WRONG])
    add(r5, r5, r4)
    str(r5, [r7, _WRONG])
    ldr(r5, [r7, _WORDS])
    sub(r5, 1)
    str(r5, [r7, _WORDS])
    beq(DONE)
    b(WORD)

    label(DONE)
    mov(r0, 0)
    pop({r4, r5})
    mov(r8, r4)
    mov(r9, r5)
