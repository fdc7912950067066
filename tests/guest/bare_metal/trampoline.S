/*
 * Where an application processor begins after SIPI: real mode, at the page that start_processors() copies this to.
 * It goes straight to long mode, takes the next stack, and calls processor_main(number of that stack).
 */
#include "layout.h"

    .section .rodata
    .globl trampoline_begin, trampoline_end
    .code16
trampoline_begin:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl (trampoline_gdt - trampoline_begin)
    mov $0x20, %eax             /* CR4.PAE */
    mov %eax, %cr4
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0xC0000080, %ecx       /* EFER.LME */
    mov $0x100, %eax
    xor %edx, %edx
    wrmsr
    mov $0x80000011, %eax       /* CR0: PG, ET, PE */
    mov %eax, %cr0
    ljmpl $0x10, $processor_entry
trampoline_gdt:
    .word 39
    .long gdt_pointer - 40
trampoline_end:

    .text
    .code64
processor_entry:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $1, %edi
    lock xadd %edi, processors_started
    mov %edi, %esp
    inc %esp
    imul $PROCESSOR_STACK_BYTES, %esp
    add processor_stacks, %rsp
    call processor_main
0:  cli
    hlt
    jmp 0b

    .section .note.GNU-stack, "", @progbits
