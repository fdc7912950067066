/* The guest's memory: three regions between pages that nobody may touch, one of them read-only to the device. */
#ifndef FUZZ_GUEST_H
#define FUZZ_GUEST_H

#include "fuzzed_device.h"

#define LOW_BYTES 0x10000
#define NEXT_BYTES 0x2000 /* begins where the first ends, but not in this process */
#define CONSTANT_BYTES 0x2000
#define LOW_GPA 0
#define NEXT_GPA LOW_BYTES
#define CONSTANT_GPA 0x10000000

/* What a well-behaved driver has where; the rest of the first region are its buffers. */
#define DESC_GPA 0x0000
#define AVAIL_GPA 0x1000
#define USED_GPA 0x2000
#define TABLES_GPA 0x3000  /* indirect ones, of TABLE_ENTRIES each */
#define TABLE_ENTRIES 8
#define HEADERS_GPA 0x6000 /* PLAIN_HEADER_MAX for each head, of the first HEADS */
#define STATUS_GPA 0x9000
#define BUFFERS_GPA 0xa000
#define BUFFERS_BYTES (LOW_BYTES - BUFFERS_GPA)
#define HEADS 64 /* so many descriptors are for plain requests */

struct byte_range {
    uint64_t gpa;
    uint64_t length;
};

extern struct guest_memory guest_memory;

/* Maps them once, and clears them. */
void guest_clear(void);
/* Where a number of the input points: mostly into RAM or near its edges. */
uint64_t guest_place(uint64_t number);
/* The host's address of bytes that the driver can write, or NULL. */
uint8_t *guest_bytes(uint64_t gpa, uint64_t length);

/* Remembers what is in the memory now. */
void guest_remember(void);
/* Finds the first byte from *gpa on that isn't as remembered; returns whether there is one. */
int guest_find_change(uint64_t *gpa);

#endif
