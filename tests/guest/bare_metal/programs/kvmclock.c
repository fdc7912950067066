/* Says what time kvmclock has, and whether it tells of a stop, whenever a byte comes in; ends at 'q'. */
#include "../cpu.h"
#include "../kvmclock.h"
#include "../program.h"
#include "../report.h"
#include "../uart.h"

PROGRAM(kvmclock)
{
    struct kvmclock *clock = kvmclock_begin();
    uint8_t byte = 0, flags;

    while (byte != 'q') {
        flags = clock->flags;
        clock->flags = flags & (uint8_t)~KVMCLOCK_GUEST_STOPPED; /* ours to clear, as Linux does */
        report_number("time", kvmclock_read(clock));
        report_number("tsc-time", kvmclock_nanoseconds(clock, timestamp())); /* which nobody holds */
        report_number("stopped", (flags & KVMCLOCK_GUEST_STOPPED) != 0); /* the last word: a stop may follow */
        while (!(port_read8(COM1 + UART_LSR) & UART_LSR_DR))
            relax();
        byte = port_read8(COM1 + UART_DATA);
    }
}
