/*
 * Resets itself how=acpi|keyboard|triple times=N times, counting in memory that the image doesn't touch, then powers
 * off. Each time it says what it found and leaves everything changed that a reset must put back. With ask=1 it waits
 * for a byte before it goes on.
 */
#include "../acpi.h"
#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../power.h"
#include "../processors.h"
#include "../program.h"
#include "../report.h"
#include "../uart.h"

#define COUNTER_GPA 0x4000000ull
#define COUNTER_VALID 0x626f6f74636f756eull
#define VECTOR 0x40
#define IO_APIC_COM1 (0x10 + 2 * COM1_GSI)
#define XAPIC_SPURIOUS 0xfee000f0ull
#define CR4_OSFXSR 0x200ull

extern uint64_t entry_cr0, entry_cr4;

static uint64_t in_data = 0x1234;
static uint64_t in_bss;

static void report_state(void)
{
    report_number("in-data", in_data);
    report_number("in-bss", in_bss);
    report_number("cr0", entry_cr0);
    report_number("cr4", entry_cr4);
    report_number("apic-base", msr_read(MSR_APIC_BASE));
    report_number("apic-spurious", mmio_read32(XAPIC_SPURIOUS));
    report_number("io-apic-com1", io_apic_read(IO_APIC_COM1));
    report_number("uart-ier", port_read8(COM1 + UART_IER));
    report_number("uart-lcr", port_read8(COM1 + UART_LCR));
    report_number("uart-mcr", port_read8(COM1 + UART_MCR));
    report_number("uart-scr", port_read8(COM1 + UART_SCR));
    report_number("uart-iir", port_read8(COM1 + UART_IIR));
    report_number("madt-sum", acpi_sum(acpi_madt(), acpi_madt()->header.length));
    report_memory_map();
}

static void change_state(unsigned int cpus)
{
    in_data = in_bss = next_secret();
    interrupts_begin();
    msr_write(MSR_TSC_DEADLINE, 0);
    io_apic_route(COM1_GSI, VECTOR);
    if (cpus > 1)
        start_processors(cpus - 1);
    report_number("cpus", cpus);
    report_seal();
    port_write8(COM1 + UART_FCR, UART_FCR_ENABLE);
    port_write8(COM1 + UART_IER, UART_IER_RDI | UART_IER_RLSI);
    port_write8(COM1 + UART_LCR, UART_LCR_8N1);
    port_write8(COM1 + UART_MCR, UART_MCR_OUT2);
    port_write8(COM1 + UART_SCR, 0x5a);
    __asm__ volatile("mov %0, %%cr4" : : "r"(entry_cr4 | 0x20 | CR4_OSFXSR));
}

PROGRAM(reset)
{
    volatile uint64_t *counter = (volatile uint64_t *)COUNTER_GPA;
    uint64_t boots = counter[0] == (COUNTER_VALID ^ option_number("nonce", 0)) ? counter[1] : 0;

    report_number("boot", boots);
    if (option_number("ask", 0)) {
        while (!(port_read8(COM1 + UART_LSR) & UART_LSR_DR))
            relax();
        port_read8(COM1 + UART_DATA);
    }
    report_state();
    counter[0] = COUNTER_VALID ^ option_number("nonce", 0);
    counter[1] = boots + 1;
    change_state((unsigned int)option_number("cpus", 1));
    if (boots == option_number("times", 1))
        power_off();
    if (option_is("how", "acpi"))
        reset_by_acpi();
    if (option_is("how", "keyboard"))
        reset_by_keyboard_controller();
    reset_by_triple_fault();
}
