/* What Linux's 8250 driver does to find out what a UART is (drivers/tty/serial/8250/8250_port.c, autoconfig()). */
#include "../uart.h"

#include "../cpu.h"
#include "../program.h"
#include "../report.h"

static uint8_t in(unsigned int offset)
{
    return port_read8((uint16_t)(COM1 + offset));
}

static void out(unsigned int offset, uint8_t value)
{
    port_write8((uint16_t)(COM1 + offset), value);
}

/* In loopback, and while DLAB is set, nothing can be said: what was found is noted, and told afterwards. */
static struct {
    const char *name;
    uint64_t value;
} notes[32];
static unsigned int noted;

static void note(const char *name, uint64_t value)
{
    notes[noted].name = name;
    notes[noted].value = value;
    noted++;
}

static void tell(void)
{
    for (unsigned int i = 0; i < noted; i++)
        report_number(notes[i].name, notes[i].value);
    noted = 0;
}

/* size_fifo()'s and autoconfig_16550a()'s question: does bit 5 of FCR make it a 16750? */
static void try_fifo_size(void)
{
    uint8_t small, large;

    out(UART_LCR, 0);
    out(UART_FCR, UART_FCR_ENABLE | UART_FCR_64_BYTES);
    small = in(UART_IIR) >> 5;
    out(UART_FCR, 0);
    out(UART_LCR, UART_LCR_CONF_MODE_B);
    out(UART_FCR, UART_FCR_ENABLE | UART_FCR_64_BYTES);
    large = in(UART_IIR) >> 5;
    out(UART_FCR, 0);
    out(UART_LCR, 0);
    note("fifo-small", small);
    note("fifo-large", large);
}

static void try_divisor(void)
{
    out(UART_LCR, UART_LCR_DLAB | UART_LCR_8N1);
    out(UART_DLL, 0xfe);
    out(UART_DLM, 0xca);
    note("divisor", (uint64_t)in(UART_DLM) << 8 | in(UART_DLL));
    out(UART_DLL, 1);
    out(UART_DLM, 0);
    out(UART_LCR, UART_LCR_8N1);
    note("ier-beside-divisor", in(UART_IER));
}

/* 17 bytes into a FIFO of 16, all in the chip: the interrupts' causes on the way, and the order that comes out. */
static void try_loopback(void)
{
    uint8_t wrong = 0, key = (uint8_t)next_secret();

    out(UART_FCR, UART_FCR_ENABLE | UART_FCR_CLEAR_RECEIVER | UART_FCR_TRIGGER_14);
    out(UART_MCR, UART_MCR_LOOP | UART_MCR_RTS | UART_MCR_OUT2);
    note("loopback-msr", in(UART_MSR) & 0xf0);
    out(UART_IER, UART_IER_RDI | UART_IER_RLSI | UART_IER_MSI);
    in(UART_MSR);
    note("iir-quiet", in(UART_IIR));
    out(UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2);
    note("iir-modem", in(UART_IIR) & UART_IIR_ID);
    note("msr-delta", in(UART_MSR) & 0x0f);
    out(UART_DATA, key);
    note("iir-one-byte", in(UART_IIR) & UART_IIR_ID);
    for (unsigned int i = 1; i < 14; i++)
        out(UART_DATA, (uint8_t)(key + i));
    note("iir-trigger", in(UART_IIR) & UART_IIR_ID);
    for (unsigned int i = 14; i < 17; i++)
        out(UART_DATA, (uint8_t)(key + i));
    note("iir-overrun", in(UART_IIR) & UART_IIR_ID);
    note("lsr-overrun", in(UART_LSR));
    note("lsr-after", in(UART_LSR));
    for (unsigned int i = 0; i < 16; i++)
        wrong |= (uint8_t)(in(UART_DATA) ^ (key + i));
    note("wrong-bytes", wrong);
    note("lsr-empty", in(UART_LSR));
    out(UART_IER, UART_IER_THRI);
    note("iir-transmitter", in(UART_IIR) & UART_IIR_ID);
    note("iir-taken-back", in(UART_IIR) & UART_IIR_ID);
    out(UART_IER, 0);
    out(UART_MCR, 0);
}

PROGRAM(uart)
{
    uint8_t mcr, excr;

    out(UART_IER, 0);
    note("ier-cleared", in(UART_IER) & 15);
    out(UART_IER, 15);
    note("ier-set", in(UART_IER) & 15);
    out(UART_IER, 0);
    out(UART_IER, 0x40);
    note("ier-uue", in(UART_IER) & 0x40);
    out(UART_IER, 0);
    out(UART_LCR, UART_LCR_CONF_MODE_B);
    out(UART_EFR, 0);
    out(UART_LCR, 0);
    out(UART_FCR, UART_FCR_ENABLE);
    note("iir-fifo", in(UART_IIR) >> 6);
    out(UART_LCR, UART_LCR_CONF_MODE_B);
    excr = in(UART_EFR);
    out(UART_LCR, 0);
    note("efr-is-zero", excr == 0);
    /* National Semiconductor's bank 2 would show MCR's loopback bit here. */
    mcr = in(UART_MCR);
    out(UART_MCR, mcr ^ UART_MCR_LOOP);
    out(UART_LCR, 0xe0);
    excr = in(2);
    out(UART_LCR, 0);
    out(UART_MCR, mcr);
    note("national-bank-2", (excr & UART_MCR_LOOP) != (mcr & UART_MCR_LOOP));
    try_fifo_size();
    try_divisor();
    out(UART_SCR, 0xa5);
    note("scratch", in(UART_SCR));
    tell();
    try_loopback();
    note("msr", in(UART_MSR) & 0xf0);
    tell();
}
