/*
 * What the guest says, on COM1, by polling: lines of "name: value". Every line goes into a hash that begins with the
 * nonce of the command line; report_seal() prints it, and so shows that these lines came from this guest.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdint.h>

void report_begin(uint64_t nonce);
void report_number(const char *name, uint64_t value);
void report_text(const char *name, const char *value);
void report_seal(void);
/* What the nonce becomes when the guest, and nobody else, has had it: 64 bits, a step further with every call. */
uint64_t next_secret(void);

#endif
