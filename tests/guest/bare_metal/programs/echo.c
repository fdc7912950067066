/*
 * Both directions by interrupt: takes length=N bytes as they come, and sends each back, XORed with a secret, whenever
 * the transmitter says that it is empty. The CPU sleeps in between.
 */
#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../program.h"
#include "../report.h"
#include "../uart.h"

#define VECTOR 0x44
#define BUFFER_BYTES 1024
#define FIFO_BYTES 16

static volatile uint32_t received, sent;
static uint8_t buffer[BUFFER_BYTES];
static uint32_t receive_interrupts, transmit_interrupts, other_interrupts;
static uint8_t key;

static void receive(void)
{
    receive_interrupts++;
    while (port_read8(COM1 + UART_LSR) & UART_LSR_DR) {
        buffer[received % BUFFER_BYTES] = port_read8(COM1 + UART_DATA);
        received = received + 1;
    }
    port_write8(COM1 + UART_IER, UART_IER_RDI | UART_IER_THRI);
}

static void transmit(void)
{
    transmit_interrupts++;
    for (unsigned int room = FIFO_BYTES; room > 0 && sent < received; room--) {
        port_write8(COM1 + UART_DATA, buffer[sent % BUFFER_BYTES] ^ key);
        sent = sent + 1;
    }
    if (sent == received) /* nothing left: quiet until there is */
        port_write8(COM1 + UART_IER, UART_IER_RDI);
}

static void on_uart(void)
{
    uint8_t cause;

    while (!((cause = port_read8(COM1 + UART_IIR) & UART_IIR_ID) & UART_IIR_NONE)) {
        if (cause == UART_IIR_RDI || cause == UART_IIR_TIMEOUT)
            receive();
        else if (cause == UART_IIR_THRI)
            transmit();
        else
            other_interrupts++;
    }
}

PROGRAM(echo)
{
    uint64_t length = option_number("length", 1);

    interrupts_begin();
    interrupt_handle(VECTOR, on_uart);
    io_apic_route(COM1_GSI, VECTOR);
    port_write8(COM1 + UART_FCR, UART_FCR_ENABLE | UART_FCR_TRIGGER_14); /* empties the receiver */
    key = (uint8_t)next_secret();
    report_number("key", key);
    port_write8(COM1 + UART_MCR, UART_MCR_OUT2);
    port_write8(COM1 + UART_IER, UART_IER_RDI);
    while (sent < length)
        wait_for_interrupt();
    port_write8(COM1 + UART_IER, 0);
    report_text("", "end of echo");
    report_number("received", received);
    report_number("receive-interrupts", receive_interrupts);
    report_number("transmit-interrupts", transmit_interrupts);
    report_number("other-interrupts", other_interrupts);
}
