/*
 * Takes length=N bytes of input by interrupt, a FIFO's trigger level at a time, and says what they add up to. It
 * begins late and reads slower than a pipe delivers: what it hasn't taken must wait outside.
 */
#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../memory.h"
#include "../program.h"
#include "../report.h"
#include "../uart.h"

#define VECTOR 0x45
#define TRIGGER_BYTES 14
#define LATE_TURNS 20000
#define SUM_STEP 0x9e3779b97f4a7c15ull

static uint8_t *buffer;
static volatile uint64_t received;
static uint64_t length, line_errors, interrupts;

static void on_uart(void)
{
    uint8_t cause;

    interrupts++;
    while (!((cause = port_read8(COM1 + UART_IIR) & UART_IIR_ID) & UART_IIR_NONE)) {
        if (cause == UART_IIR_RDI) {
            port_read_string8(COM1 + UART_DATA, buffer + received, TRIGGER_BYTES);
            received = received + TRIGGER_BYTES;
            continue;
        }
        for (;;) { /* fewer than that are there */
            uint8_t status = port_read8(COM1 + UART_LSR);
            line_errors |= status & UART_LSR_OE;
            if (!(status & UART_LSR_DR))
                break;
            buffer[received] = port_read8(COM1 + UART_DATA);
            received = received + 1;
        }
    }
}

PROGRAM(input)
{
    uint64_t sum = option_number("nonce", 0);

    length = option_number("length", 1);
    buffer = allocate(length + 4096);
    interrupts_begin();
    interrupt_handle(VECTOR, on_uart);
    io_apic_route(COM1_GSI, VECTOR);
    port_write8(COM1 + UART_FCR, UART_FCR_ENABLE | UART_FCR_TRIGGER_14); /* empties the receiver */
    report_number("waiting", length);
    for (unsigned int i = 0; i < LATE_TURNS; i++)
        relax();
    port_write8(COM1 + UART_IER, UART_IER_RDI | UART_IER_RLSI);
    while (received < length)
        wait_for_interrupt();
    port_write8(COM1 + UART_IER, 0);
    for (const uint64_t *word = (const uint64_t *)buffer; (const uint8_t *)word < buffer + length; word++)
        sum = (sum ^ *word) * SUM_STEP;
    report_number("received", received);
    report_number("sum", sum);
    report_number("line-errors", line_errors);
    report_number("interrupted", interrupts > 0);
}
