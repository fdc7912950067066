/* Xen's PVH note: the address of the 32-bit entry (public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY). */
    .section .note.Xen, "a"
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long entry_pvh

    .section .note.GNU-stack, "", @progbits
