/*
 * The hot half of a 16550A UART: data and line status, the FIFOs, and the interrupt line. uart16550.py has the
 * registers that a driver touches once or once an interrupt.
 *
 * The transmitter is infinitely fast (a byte is in the ring at once, so the holding register is always empty), the
 * receiver takes from the host only what the guest has room for.
 */
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "uart16550_cdef.h"

#define LSR_DATA_READY 0x01
#define LSR_OVERRUN 0x02
#define LSR_BREAK 0x10
#define LSR_TRANSMITTER_EMPTY 0x60 /* holding and shift register */

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct uart16550 *)0)->mutex), "room for the mutex");

static pthread_mutex_t *mutex_of(struct uart16550 *uart)
{
    return (pthread_mutex_t *)uart->mutex;
}

void uart16550_lock(struct uart16550 *uart)
{
    pthread_mutex_lock(mutex_of(uart));
}

void uart16550_unlock(struct uart16550 *uart)
{
    pthread_mutex_unlock(mutex_of(uart));
}

static void signal_event(int fd)
{
    const uint64_t one = 1;

    /* Only a full counter can refuse, and then the reader has been told already. */
    if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
        return;
}

void uart16550_init(struct uart16550 *uart, int transmit_event, int receive_event)
{
    memset(uart, 0, sizeof(*uart));
    pthread_mutex_init(mutex_of(uart), NULL);
    uart->transmit_event = transmit_event;
    uart->receive_event = receive_event;
    uart->vm_fd = -1;
    uart16550_reset(uart, -1, 0);
}

void uart16550_deinit(struct uart16550 *uart)
{
    pthread_mutex_destroy(mutex_of(uart));
}

void uart16550_reset(struct uart16550 *uart, int vm_fd, uint32_t gsi)
{
    uart16550_lock(uart);
    uart->ier = uart->lcr = uart->scr = uart->dlm = 0;
    uart->mcr = 0;
    uart->msr = 0xb0; /* carrier, data set ready, clear to send: somebody is always at the other end */
    uart->dll = 12;   /* 9600 baud, for those who ask */
    uart->fifo_enabled = 0;
    uart->trigger_bytes = 1;
    uart->line_errors = 0;
    uart->transmitter_pending = 0;
    uart->fifo_first = uart->fifo_count = 0;
    uart->vm_fd = vm_fd;
    uart->gsi = gsi;
    uart->line_level = 0;
    uart16550_refill_fifo(uart);
    uart16550_unlock(uart);
}

uint8_t uart16550_interrupt(const struct uart16550 *uart)
{
    if ((uart->ier & UART16550_IER_LINE_STATUS) && uart->line_errors)
        return UART16550_IIR_LINE_STATUS;
    if ((uart->ier & UART16550_IER_RECEIVED) && uart->fifo_count > 0) {
        /* Below the trigger level the chip waits four character times; nothing slower than the guest sends here,
         * so the time-out is now. */
        return uart->fifo_enabled && uart->fifo_count < uart->trigger_bytes ? UART16550_IIR_TIMEOUT
                                                                              : UART16550_IIR_RECEIVED;
    }
    if ((uart->ier & UART16550_IER_TRANSMITTER_EMPTY) && uart->transmitter_pending)
        return UART16550_IIR_TRANSMITTER_EMPTY;
    if ((uart->ier & UART16550_IER_MODEM_STATUS) && (uart->msr & 0x0f))
        return UART16550_IIR_MODEM_STATUS;
    return UART16550_IIR_NONE;
}

void uart16550_update_line(struct uart16550 *uart)
{
    uint8_t level = uart16550_interrupt(uart) != UART16550_IIR_NONE;

    if (level == uart->line_level)
        return;
    uart->line_level = level;
    if (uart->vm_fd >= 0) {
        struct kvm_irq_level line = {.irq = uart->gsi, .level = level};
        /* Fails only for a VM without interrupt controllers, which main doesn't make. */
        ioctl(uart->vm_fd, KVM_IRQ_LINE, &line);
    }
}

void uart16550_clear_fifo(struct uart16550 *uart)
{
    uart->fifo_first = uart->fifo_count = 0;
}

static uint32_t fifo_capacity(const struct uart16550 *uart)
{
    return uart->fifo_enabled ? UART16550_FIFO_BYTES : 1;
}

static void fifo_push(struct uart16550 *uart, uint8_t value)
{
    uart->fifo[(uart->fifo_first + uart->fifo_count) % UART16550_FIFO_BYTES] = value;
    uart->fifo_count++;
}

void uart16550_refill_fifo(struct uart16550 *uart)
{
    if (uart->mcr & UART16550_MCR_LOOPBACK) /* the receiver hears the transmitter only */
        return;
    while (uart->backlog_count > 0 && uart->fifo_count < fifo_capacity(uart)) {
        if (uart->break_waits) {
            if (uart->break_after == 0)
                break;
            uart->break_after--;
        }
        fifo_push(uart, uart->backlog[uart->backlog_first]);
        uart->backlog_first = (uart->backlog_first + 1) % UART16550_BACKLOG_BYTES;
        uart->backlog_count--;
    }
    /* LSR shows a break while its zero byte is the next one to read: so it waits until it is alone. */
    if (uart->break_waits && uart->break_after == 0 && uart->fifo_count == 0) {
        uart->break_waits = 0;
        fifo_push(uart, 0);
        uart->line_errors |= LSR_BREAK;
    }
    if (uart->backlog_wanted && uart->backlog_count <= UART16550_BACKLOG_BYTES / 2) {
        uart->backlog_wanted = 0;
        signal_event(uart->receive_event);
    }
}

static void transmit(struct uart16550 *uart, uint8_t value)
{
    if (uart->transmit_count == UART16550_TRANSMIT_BYTES) {
        uart->transmit_dropped++;
        if (!uart->transmit_full) {
            uart->transmit_full = 1;
            signal_event(uart->transmit_event);
        }
        return;
    }
    uart->transmit[(uart->transmit_first + uart->transmit_count) % UART16550_TRANSMIT_BYTES] = value;
    uart->transmit_count++;
    if (!uart->transmit_watched) {
        uart->transmit_watched = 1;
        signal_event(uart->transmit_event);
    }
}

static void hear_itself(struct uart16550 *uart, uint8_t value)
{
    if (uart->fifo_count < fifo_capacity(uart)) {
        fifo_push(uart, value);
        return;
    }
    uart->line_errors |= LSR_OVERRUN;
    if (!uart->fifo_enabled) /* without FIFO the new byte replaces the old one; the FIFO keeps what it has */
        uart->fifo[uart->fifo_first] = value;
}

int uart16550_io_write(struct uart16550 *uart, uint16_t offset, uint8_t value)
{
    int answered = 1;

    uart16550_lock(uart);
    if (offset == UART16550_DATA && !(uart->lcr & UART16550_LCR_DLAB)) {
        if (uart->mcr & UART16550_MCR_LOOPBACK)
            hear_itself(uart, value);
        else
            transmit(uart, value);
        /* Full and empty again, in no time: an interrupt that wasn't acknowledged gets its edge once more. */
        uart->transmitter_pending = 0;
        uart16550_update_line(uart);
        uart->transmitter_pending = 1;
        uart16550_update_line(uart);
    } else if (offset != UART16550_LSR) { /* writing LSR is for factory tests: ignored */
        answered = 0;
    }
    uart16550_unlock(uart);
    return answered;
}

int uart16550_io_read(struct uart16550 *uart, uint16_t offset, uint8_t *value)
{
    int answered = 1;

    uart16550_lock(uart);
    if (offset == UART16550_DATA && !(uart->lcr & UART16550_LCR_DLAB)) {
        *value = uart->fifo[uart->fifo_first]; /* an empty receiver shows what it held last */
        if (uart->fifo_count > 0) {
            uart->fifo_first = (uart->fifo_first + 1) % UART16550_FIFO_BYTES;
            uart->fifo_count--;
            uart16550_refill_fifo(uart);
        }
        uart16550_update_line(uart);
    } else if (offset == UART16550_LSR) {
        *value = (uint8_t)(LSR_TRANSMITTER_EMPTY | uart->line_errors | (uart->fifo_count > 0 ? LSR_DATA_READY : 0));
        uart->line_errors = 0;
        uart16550_update_line(uart);
    } else {
        answered = 0;
    }
    uart16550_unlock(uart);
    return answered;
}

uint32_t uart16550_receive_room(struct uart16550 *uart)
{
    uart16550_lock(uart);
    uint32_t room = UART16550_BACKLOG_BYTES - uart->backlog_count;
    uart->backlog_wanted = room == 0;
    uart16550_unlock(uart);
    return room;
}

uint32_t uart16550_receive(struct uart16550 *uart, const uint8_t *data, uint32_t length)
{
    uint32_t taken = 0;

    uart16550_lock(uart);
    for (; taken < length && uart->backlog_count < UART16550_BACKLOG_BYTES; taken++) {
        uart->backlog[(uart->backlog_first + uart->backlog_count) % UART16550_BACKLOG_BYTES] = data[taken];
        uart->backlog_count++;
    }
    uart16550_refill_fifo(uart);
    uart16550_update_line(uart);
    uart16550_unlock(uart);
    return taken;
}

void uart16550_receive_break(struct uart16550 *uart)
{
    uart16550_lock(uart);
    uart->break_waits = 1; /* two breaks that nobody has seen are one */
    uart->break_after = uart->backlog_count;
    uart16550_refill_fifo(uart);
    uart16550_update_line(uart);
    uart16550_unlock(uart);
}

uint32_t uart16550_transmit_peek(struct uart16550 *uart, uint8_t *data, uint32_t size)
{
    uart16550_lock(uart);
    uint32_t length = uart->transmit_count < size ? uart->transmit_count : size;
    for (uint32_t i = 0; i < length; i++)
        data[i] = uart->transmit[(uart->transmit_first + i) % UART16550_TRANSMIT_BYTES];
    uart->transmit_watched = length > 0; /* an empty ring: the next byte must say so */
    uart16550_unlock(uart);
    return length;
}

void uart16550_transmit_take(struct uart16550 *uart, uint32_t length)
{
    uart16550_lock(uart);
    uart->transmit_first = (uart->transmit_first + length) % UART16550_TRANSMIT_BYTES;
    uart->transmit_count -= length;
    if (length > 0)
        uart->transmit_full = 0;
    uart16550_unlock(uart);
}
