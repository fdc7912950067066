/* The 16550A's registers (National Semiconductor PC16550D, table II), named as Linux does. */
#ifndef UART_H
#define UART_H

#define COM1 0x3f8
#define COM1_GSI 4

#define UART_DATA 0
#define UART_DLL 0
#define UART_IER 1
#define UART_DLM 1
#define UART_IIR 2
#define UART_FCR 2
#define UART_EFR 2 /* of later chips, while LCR is 0xbf */
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5
#define UART_MSR 6
#define UART_SCR 7

#define UART_IER_RDI 1
#define UART_IER_THRI 2
#define UART_IER_RLSI 4
#define UART_IER_MSI 8
#define UART_IIR_ID 15
#define UART_IIR_NONE 1
#define UART_IIR_MSI 0
#define UART_IIR_THRI 2
#define UART_IIR_RDI 4
#define UART_IIR_RLSI 6
#define UART_IIR_TIMEOUT 12
#define UART_FCR_ENABLE 1
#define UART_FCR_CLEAR_RECEIVER 2
#define UART_FCR_64_BYTES 0x20
#define UART_FCR_TRIGGER_14 0xc0
#define UART_LCR_8N1 3
#define UART_LCR_DLAB 0x80
#define UART_LCR_CONF_MODE_B 0xbf
#define UART_MCR_RTS 2
#define UART_MCR_OUT2 8
#define UART_MCR_LOOP 0x10
#define UART_LSR_DR 1
#define UART_LSR_OE 2
#define UART_LSR_THRE 0x20

#endif
