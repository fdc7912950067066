/* Waits for the power button: the GED's interrupt, and its event selector read as the DSDT's _EVT does. */
#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../program.h"
#include "../report.h"

#define VECTOR 0x50

static volatile uint32_t interrupts, events;
static uint16_t selector;

static void on_event(void)
{
    events |= port_read32(selector);
    interrupts = interrupts + 1;
}

PROGRAM(button)
{
    uint64_t wanted = option_number("presses", 1);

    selector = (uint16_t)option_number("selector", 0);
    interrupts_begin();
    interrupt_handle(VECTOR, on_event);
    io_apic_route((unsigned int)option_number("gsi", 0), VECTOR);
    report_number("events-before", port_read32(selector));
    for (uint64_t press = 0; press < wanted; press++) {
        report_number("waiting", press);
        while (interrupts == press)
            wait_for_interrupt();
        report_number("events", events);
        events = 0;
        report_number("events-left", port_read32(selector));
    }
    report_number("interrupts", interrupts);
}
