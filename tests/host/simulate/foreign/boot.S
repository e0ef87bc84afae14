/* Multiboot: from 32-bit protected mode to 64-bit mode with AVX-512 registers, then bare_main. */
.set MAGIC, 0x1badb002
.set FLAGS, 3

.section .multiboot, "a"
.align 4
.long MAGIC, FLAGS, -(MAGIC + FLAGS)

.text
.code32
.global start
start:
    cli
    mov $tables_1g, %eax            /* the first 2 GB, address for address */
    or $3, %eax
    mov %eax, tables
    movl $0x00000083, tables_1g
    movl $0x40000083, tables_1g + 8
    mov $tables, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x40620, %eax               /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    mov %eax, %cr4
    mov $0xc0000080, %ecx           /* EFER: long mode */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    and $~4, %eax                   /* no FPU emulation */
    or $0x80000003, %eax            /* paging */
    mov %eax, %cr0
    lgdt segments_at
    ljmp $8, $wide

.code64
wide:
    mov $16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    xor %ecx, %ecx                  /* XCR0: x87, SSE, AVX, AVX-512 */
    xor %edx, %edx
    mov $0xe7, %eax
    xsetbv
    mov $stack, %rsp
    call bare_main
1:  hlt
    jmp 1b

.data
.align 16
segments:
    .quad 0, 0x00af9a000000ffff, 0x00af92000000ffff
segments_at:
    .word 23
    .long segments

.bss
.align 4096
tables:
    .skip 4096
tables_1g:
    .skip 4096
    .skip 1 << 20
stack:

.section .rodata
.global cases, cases_end, expected, expected_end
.align 64
cases:
    .incbin "cases.bin"
cases_end:
.align 64
expected:
    .incbin "expected.bin"
expected_end:

.section .note.GNU-stack, "", @progbits
