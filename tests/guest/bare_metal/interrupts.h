/* IDT, local APIC (x2APIC mode) and I/O APIC. */
#ifndef INTERRUPTS_H
#define INTERRUPTS_H

#include <stdint.h>

#define MSR_APIC_BASE 0x1b
#define APIC_BASE_X2APIC 0x400
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_ID 0x802
#define MSR_X2APIC_EOI 0x80b
#define MSR_X2APIC_SPURIOUS 0x80f
#define MSR_X2APIC_ICR 0x830
#define MSR_X2APIC_LVT_TIMER 0x832
#define LVT_TIMER_TSC_DEADLINE 0x40000
#define IO_APIC_GPA 0xfec00000ull
#define IO_APIC_MASKED 0x10000u

/* Called with interrupts off; the end of the interrupt is signalled afterwards. */
typedef void interrupt_handler(void);

/* Loads the IDT and switches this CPU's local APIC on, in x2APIC mode. */
void interrupts_begin(void);
void interrupt_handle(uint8_t vector, interrupt_handler *handler);
/* Leads a GSI to vector on CPU 0: edge, active high. */
void io_apic_route(unsigned int gsi, uint8_t vector);
uint32_t io_apic_read(unsigned int index);
void x2apic_enable(void);

#endif
