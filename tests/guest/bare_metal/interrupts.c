#include "interrupts.h"

#include <stddef.h>

#include "cpu.h"
#include "power.h"
#include "report.h"

#define VECTORS 256
#define ENTRY_BYTES 16
#define FIRST_INTERRUPT 32
#define SPURIOUS_VECTOR 255
#define APIC_ENABLED 0x100
#define GATE_INTERRUPT 0x8e00 /* present, 64-bit interrupt gate */
#define CODE_64 0x10
#define IO_APIC_REDIRECTION 0x10

struct gate {
    uint16_t offset_low, selector, type, offset_middle;
    uint32_t offset_high, reserved;
};

/* As interrupt_entry.S leaves it. */
struct frame {
    uint64_t rbp, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

extern const uint8_t interrupt_entries[VECTORS][ENTRY_BYTES];
void handle_interrupt(struct frame *frame);

static struct gate gates[VECTORS];
static interrupt_handler *handlers[VECTORS];

void handle_interrupt(struct frame *frame)
{
    uint8_t vector = (uint8_t)frame->vector;

    if (vector == SPURIOUS_VECTOR)
        return;
    if (handlers[vector] == NULL) {
        report_number("unexpected-vector", vector);
        report_number("unexpected-at", frame->rip);
        report_number("unexpected-error", frame->error);
        power_off();
    }
    handlers[vector]();
    if (vector >= FIRST_INTERRUPT)
        msr_write(MSR_X2APIC_EOI, 0);
}

void interrupt_handle(uint8_t vector, interrupt_handler *handler)
{
    handlers[vector] = handler;
}

void x2apic_enable(void)
{
    msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    msr_write(MSR_X2APIC_SPURIOUS, APIC_ENABLED | SPURIOUS_VECTOR);
}

void interrupts_begin(void)
{
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {sizeof(gates) - 1, (uint64_t)gates};

    for (unsigned int vector = 0; vector < VECTORS; vector++) {
        uint64_t entry = (uint64_t)interrupt_entries[vector];
        gates[vector] = (struct gate){(uint16_t)entry, CODE_64, GATE_INTERRUPT, (uint16_t)(entry >> 16), 0, 0};
    }
    __asm__ volatile("lidt %0" : : "m"(table));
    x2apic_enable();
}

static void io_apic_write(unsigned int index, uint32_t value)
{
    mmio_write32(IO_APIC_GPA, index);
    mmio_write32(IO_APIC_GPA + 0x10, value);
}

uint32_t io_apic_read(unsigned int index)
{
    mmio_write32(IO_APIC_GPA, index);
    return mmio_read32(IO_APIC_GPA + 0x10);
}

void io_apic_route(unsigned int gsi, uint8_t vector)
{
    io_apic_write(IO_APIC_REDIRECTION + 2 * gsi + 1, 0);
    io_apic_write(IO_APIC_REDIRECTION + 2 * gsi, vector);
}
