/*
 * The two ways in: Linux's 64-bit boot protocol (rsi = zero page) and Xen's PVH (32 bits, ebx = start info). Both
 * go to guest_main(entered_by, what the register held) with this image's own GDT, page tables and stack.
 */
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xC0000080
#define EFER_LME 0x100
#define CODE_64 0x10
#define DATA 0x18

    .section .text.entry, "ax"
    .code64
    .globl entry_64
entry_64:
    mov %cr0, %rax
    mov %rax, entry_cr0
    mov %cr4, %rax
    mov %rax, entry_cr4
    mov $0, %edi
    lgdt gdt_pointer
    mov $pml4, %eax
    mov %rax, %cr3
    mov $boot_stack_end, %esp
    push $CODE_64
    push $in_long_mode
    lretq

    .code32
    .globl entry_pvh
entry_pvh:
    mov %cr0, %eax
    mov %eax, entry_cr0
    mov %cr4, %eax
    mov %eax, entry_cr4
    mov %ebx, %esi
    mov $1, %edi
    lgdt gdt_pointer
    mov $pml4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    mov $boot_stack_end, %esp
    ljmp $CODE_64, $in_long_mode

    .code64
in_long_mode:
    mov $DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %esi, %esi
    call guest_main
0:  hlt
    jmp 0b

    .data
    .balign 16
    .globl gdt_pointer
gdt:
    .quad 0, 0
    .quad 0x00AF9B000000FFFF    /* 0x10: 64-bit code */
    .quad 0x00CF93000000FFFF    /* 0x18: data */
    .quad 0x00CF9B000000FFFF    /* 0x20: 32-bit code */
gdt_pointer:
    .word . - gdt - 1
    .quad gdt

    .globl entry_cr0, entry_cr4
entry_cr0: .quad 0
entry_cr4: .quad 0

/* The first 4 GiB as they are, by 2 MiB pages; map_high() adds what is above. */
    .balign 4096
    .globl pml4
pml4:
    .quad pdpt + 3
    .fill 511, 8, 0
pdpt:
    .quad directories + 0x0003, directories + 0x1003, directories + 0x2003, directories + 0x3003
    .fill 508, 8, 0
directories:
    .set page, 0x83
    .rept 2048
    .quad page
    .set page, page + 0x200000
    .endr

    .bss
    .balign 16
    .fill 16384
boot_stack_end:

    .section .note.GNU-stack, "", @progbits
