/*
 * 256 entries of 16 bytes, one per vector; all end in handle_interrupt(frame). The way back is written out, because
 * not every KVM emulates iretq: interrupts are taken on the interrupted stack, whose red zone nobody uses.
 */
    .text
    .balign 16
    .globl interrupt_entries
interrupt_entries:
    .set vector, 0
    .rept 256
    .balign 16
    /* The CPU pushes an error code for these (SDM volume 3, table 6-1). */
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    push $0
    .endif
    push $vector
    jmp interrupt_common
    .set vector, vector + 1
    .endr

interrupt_common:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbp
    mov %rsp, %rbp
    mov %rsp, %rdi
    and $-16, %rsp
    cld
    call handle_interrupt
    mov %rbp, %rsp
    /* What popfq and ret will take, put below where the interrupted stack ends. */
    mov 120(%rsp), %rdi         /* its rsp */
    mov 96(%rsp), %rax          /* rip */
    mov %rax, -8(%rdi)
    mov 112(%rsp), %rax         /* rflags */
    mov %rax, -16(%rdi)
    lea -16(%rdi), %rax
    mov %rax, 88(%rsp)          /* in place of the error code */
    pop %rbp
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    mov 8(%rsp), %rsp
    popfq
    ret

    .section .note.GNU-stack, "", @progbits
