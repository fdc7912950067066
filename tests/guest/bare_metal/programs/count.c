/* Counts without end; says where it is whenever a byte comes in, and ends at 'q'. */
#include "../cpu.h"
#include "../program.h"
#include "../report.h"
#include "../uart.h"

PROGRAM(count)
{
    uint64_t counter = 0;

    report_number("counter", counter);
    for (;;) {
        counter++;
        if (!(port_read8(COM1 + UART_LSR) & UART_LSR_DR))
            continue;
        report_number("counter", counter);
        if (port_read8(COM1 + UART_DATA) == 'q')
            return;
    }
}
