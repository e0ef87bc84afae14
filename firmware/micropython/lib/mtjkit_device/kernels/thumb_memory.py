"""The write engine in Thumb assembler: ARMv6-M instructions, so any Cortex-M."""

# ruff: noqa: F821  (registers, instructions and viper's types)

from array import array

import micropython
from micropython import const

# What `write` hands to `_write`, in words: pointers, masks, sums.
_JOB = array("I", bytes(4 * 25))

# Offsets in it, in bytes.
_CELLS = const(0)
_INTENDED = const(4)
_WORDS = const(8)
_RUN_WORDS = const(12)
_TAIL = const(16)
_OLD = const(20)  # mask of the old bits: all, or none where the cells are erased
_STREAMS = const(24)
_STREAMS_END = const(28)
_DOWN = const(32)
_UP = const(36)
_DOWN_CERTAIN = const(40)
_UP_CERTAIN = const(44)
_KEEP = const(48)
_UNEVEN = const(52)  # 1 where the two limits differ
_TOGGLED = const(56)  # four sums, in the order in which they are counted
_ONES = const(64)
_M1 = const(72)
_M2 = const(76)
_M4 = const(80)
_BYTES = const(84)
_STREAM = const(88)  # the word's stream
_LEFT = const(92)  # words of the run still to come
_LANES = const(96)


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
    j[2] = words
    j[3] = run_words
    j[4] = int(full >> uint(-run_bits & 31))
    j[5] = erased - 1
    j[6] = int(state)
    j[7] = int(state) + 128
    i = 0
    while i < 5:
        j[8 + i] = errors[i]
        j[13 + i] = 0
        i += 1
    if errors[0] != errors[1]:
        j[13] = 1
    if errors[2] != errors[3]:
        j[13] = 1
    m = 0x5555
    j[18] = m | (m << 16)
    m = 0x3333
    j[19] = m | (m << 16)
    m = 0x0F0F
    j[20] = m | (m << 16)
    m = 0x0101
    j[21] = m | (m << 16)
    j[22] = int(state)
    j[23] = run_words
    _write(_JOB)
    counts[0] += words // run_words * run_bits
    i = 0
    while i < 4:
        counts[1 + i] += j[14 + i]
        i += 1


@micropython.asm_thumb
def _write(r0):
    """Registers.

    r0..r3 a stream, r4 undecided lanes, r5 word drawn, r6 r7 scratch, r8 failed lanes, r9 digits
    of the fail limit still to come, r10 those of the limit up, r11 the intended word, r12 _JOB.
    """
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r4, r5, r6, r7})
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
    ldr(r6, [r7, _UNEVEN])
    cmp(r6, 0)
    bne(UNEVEN)
    ldr(r6, [r7, _DOWN_CERTAIN])
    cmp(r6, 0)
    beq(MAYBE)
    mov(r8, r5)
    label(MAYBE)
    ldr(r6, [r7, _DOWN])
    cmp(r6, 0)
    bne(SOME)
    b(STORE)
    label(SOME)
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
    beq(EVEN_DRAWN)
    cmp(r6, 0)
    bne(DRAW)
    label(EVEN_DRAWN)
    b(DRAWN)

    # Two limits: r5 lanes, r7 _JOB.
    label(UNEVEN)
    ldr(r6, [r7, _INTENDED])
    ldr(r6, [r6, 0])
    mov(r11, r6)
    mov(r4, r5)
    ldr(r0, [r7, _DOWN_CERTAIN])
    cmp(r0, 0)
    beq(DOWN_MAYBE)
    bic(r5, r6)
    mov(r8, r5)
    and_(r4, r6)
    label(DOWN_MAYBE)
    ldr(r0, [r7, _UP_CERTAIN])
    cmp(r0, 0)
    beq(UP_MAYBE)
    mov(r0, r4)
    and_(r0, r6)
    mov(r5, r8)
    orr(r5, r0)
    mov(r8, r5)
    bic(r4, r6)
    label(UP_MAYBE)
    ldr(r0, [r7, _DOWN])
    mov(r9, r0)
    ldr(r0, [r7, _UP])
    mov(r10, r0)
    ldr(r5, [r7, _STREAM])
    ldr(r0, [r5, 0])
    ldr(r1, [r5, 4])
    ldr(r2, [r5, 8])
    ldr(r3, [r5, 12])
    label(DRAW_TWO)
    mov(r5, r11)
    mov(r6, r9)
    cmp(r6, 0)
    bne(DOWN_LEFT)
    and_(r4, r5)
    label(DOWN_LEFT)
    mov(r7, r10)
    cmp(r7, 0)
    bne(UP_LEFT)
    bic(r4, r5)
    label(UP_LEFT)
    cmp(r4, 0)
    beq(DRAWN)
    lsl(r6, r6, 1)
    mov(r9, r6)
    sbc(r6, r6)  # 0 for a digit 1, else all ones
    lsl(r7, r7, 1)
    mov(r10, r7)
    sbc(r7, r7)
    eor(r7, r6)
    and_(r7, r5)
    eor(r7, r6)  # the lanes whose digit is 0
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
    mov(r6, r4)
    bic(r6, r7)
    bic(r6, r5)
    eor(r7, r5)
    and_(r4, r7)
    mov(r5, r8)
    orr(r5, r6)
    mov(r8, r5)
    b(DRAW_TWO)

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
    mov(r9, r3)
    mov(r11, r1)
    eor(r3, r1)
    ldr(r4, [r7, _LANES])
    and_(r3, r4)
    mov(r4, r8)
    ldr(r5, [r7, _KEEP])
    cmp(r5, 0)
    beq(FLIP)
    and_(r4, r3)
    label(FLIP)
    mov(r10, r3)
    eor(r1, r4)
    str(r1, [r2, 0])
    add(r2, 4)
    str(r2, [r7, _CELLS])

    # Count r3, toggled, and r4, wrong; then, over old bits, the ones written and toggled.
    mov(r2, _TOGGLED)
    add(r2, r2, r7)
    label(COUNT)
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
    ldr(r5, [r7, _BYTES])
    mul(r3, r5)
    lsr(r3, r3, 24)
    mul(r4, r5)
    lsr(r4, r4, 24)
    ldr(r5, [r2, 0])
    add(r5, r5, r3)
    str(r5, [r2, 0])
    ldr(r5, [r2, 4])
    add(r5, r5, r4)
    str(r5, [r2, 4])
    sub(r5, r2, r7)
    cmp(r5, _TOGGLED)
    bne(COUNTED)
    mov(r0, r9)
    cmp(r0, 0)
    beq(ERASED)
    mov(r3, r11)
    mov(r4, r10)
    and_(r4, r3)
    add(r2, 8)
    b(COUNT)
    label(ERASED)  # here only ones toggle
    ldr(r5, [r2, 8])
    add(r5, r5, r3)
    str(r5, [r2, 8])
    ldr(r5, [r2, 12])
    add(r5, r5, r3)
    str(r5, [r2, 12])
    label(COUNTED)
    ldr(r5, [r7, _WORDS])
    sub(r5, 1)
    str(r5, [r7, _WORDS])
    beq(DONE)
    b(WORD)

    label(DONE)
    mov(r0, 0)
    pop({r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
