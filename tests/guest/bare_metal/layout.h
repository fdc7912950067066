/* Numbers that C and assembly share. Memory below 1 MiB that the VMM leaves to the guest's own use. */
#ifndef LAYOUT_H
#define LAYOUT_H

#define TRAMPOLINE_GPA 0x90000 /* behind the longest command line, below the end of conventional memory */
#define PROCESSOR_STACK_BYTES 1024

#endif
