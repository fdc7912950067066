#include "report.h"

#include "cpu.h"
#include "uart.h"

#define FNV_PRIME 0x100000001b3ull
#define SECRET_STEP 0x9e3779b97f4a7c15ull

static uint64_t hash;
static uint64_t secret;

static void say(const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * FNV_PRIME;
        while (!(port_read8(COM1 + UART_LSR) & UART_LSR_THRE))
            relax();
        port_write8(COM1 + UART_DATA, (uint8_t)*text);
    }
}

void report_begin(uint64_t nonce)
{
    hash = secret = nonce;
}

void report_text(const char *name, const char *value)
{
    say(name);
    say(": ");
    say(value);
    say("\n");
}

void report_number(const char *name, uint64_t value)
{
    char digits[19] = "0x";
    unsigned int count = 0, position = 2;

    for (uint64_t rest = value; rest >> 4; rest >>= 4)
        count++;
    for (int shift = (int)count * 4; shift >= 0; shift -= 4)
        digits[position++] = "0123456789abcdef"[value >> shift & 15];
    digits[position] = '\0';
    report_text(name, digits);
}

void report_seal(void)
{
    report_number("seal", hash);
}

uint64_t next_secret(void)
{
    secret = (secret << 23 | secret >> 41) * SECRET_STEP + 1;
    return secret;
}
