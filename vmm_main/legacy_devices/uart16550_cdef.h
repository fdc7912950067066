/* A 16550A UART: the state that C and Python share, under one mutex. Read by cffi and included by C. */

#define UART16550_FIFO_BYTES 16
#define UART16550_BACKLOG_BYTES 4096
#define UART16550_TRANSMIT_BYTES 65536

/* Register offsets (16550D data sheet, table II). */
#define UART16550_DATA 0
#define UART16550_LSR 5

/* Bits that both languages need. */
#define UART16550_IER_RECEIVED 1
#define UART16550_IER_TRANSMITTER_EMPTY 2
#define UART16550_IER_LINE_STATUS 4
#define UART16550_IER_MODEM_STATUS 8
#define UART16550_LCR_DLAB 128
#define UART16550_MCR_LOOPBACK 16

/* Interrupt identification (IIR bits 3:0), by falling priority. */
#define UART16550_IIR_LINE_STATUS 6
#define UART16550_IIR_RECEIVED 4
#define UART16550_IIR_TIMEOUT 12
#define UART16550_IIR_TRANSMITTER_EMPTY 2
#define UART16550_IIR_MODEM_STATUS 0
#define UART16550_IIR_NONE 1

struct uart16550 {
    uint64_t mutex[8]; /* a pthread_mutex_t */

    uint8_t ier, lcr, mcr, msr, scr, dll, dlm;
    uint8_t fifo_enabled;
    uint8_t trigger_bytes;       /* receive FIFO level that raises the interrupt: 1, 4, 8 or 14 */
    uint8_t line_errors;         /* LSR bits 4:1 */
    uint8_t transmitter_pending; /* the transmitter-empty interrupt has not been taken back yet */

    /* Received bytes the guest can see, and those that wait for room there. */
    uint8_t fifo[16];
    uint32_t fifo_first, fifo_count;
    uint8_t backlog[4096];
    uint32_t backlog_first, backlog_count;
    uint8_t backlog_wanted; /* the event loop stopped filling the backlog and wants to hear of room */
    uint8_t break_waits;    /* a break comes after break_after more bytes of the backlog */
    uint32_t break_after;

    /* Bytes on their way out. What finds the ring full is dropped and counted. */
    uint8_t transmit[65536];
    uint32_t transmit_first, transmit_count;
    uint64_t transmit_dropped; /* bytes, since the start */
    uint8_t transmit_full;     /* something was dropped, and the event loop was told, since the ring last had room */
    uint8_t transmit_watched;  /* the event loop will look at the ring without being told */

    int vm_fd; /* where the interrupt line leads; -1: nowhere */
    uint32_t gsi;
    uint8_t line_level;
    int transmit_event; /* eventfd: the transmit ring has bytes, or has begun to drop them */
    int receive_event;  /* eventfd: the backlog has room */
};

void uart16550_init(struct uart16550 *uart, int transmit_event, int receive_event);
void uart16550_deinit(struct uart16550 *uart);
/* Power-on state; interrupts go to gsi of vm_fd from now on (-1: nowhere). Output under way stays. */
void uart16550_reset(struct uart16550 *uart, int vm_fd, uint32_t gsi);

/* The vCPU loop's entries. Return 1 if answered, 0 if Python must. */
int uart16550_io_read(struct uart16550 *uart, uint16_t offset, uint8_t *value);
int uart16550_io_write(struct uart16550 *uart, uint16_t offset, uint8_t value);

/* For Python's half of the registers: hold the lock, change the state, then let the line follow. */
void uart16550_lock(struct uart16550 *uart);
void uart16550_unlock(struct uart16550 *uart);
void uart16550_update_line(struct uart16550 *uart);
uint8_t uart16550_interrupt(const struct uart16550 *uart); /* IIR bits 3:0 */
void uart16550_clear_fifo(struct uart16550 *uart);
void uart16550_refill_fifo(struct uart16550 *uart);

/* For the event loop; they take the lock themselves. */
uint32_t uart16550_receive_room(struct uart16550 *uart); /* 0: receive_event will tell of room */
uint32_t uart16550_receive(struct uart16550 *uart, const uint8_t *data, uint32_t length);
void uart16550_receive_break(struct uart16550 *uart); /* behind what was received before */
uint32_t uart16550_transmit_peek(struct uart16550 *uart, uint8_t *data, uint32_t size);
void uart16550_transmit_take(struct uart16550 *uart, uint32_t length);
