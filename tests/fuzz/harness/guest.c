/* Guest memory with guard pages: a byte beside it is a fault, and a byte in it that has changed can be found. */
#include <string.h>
#include <sys/mman.h>

#include "guest.h"

#define PAGE_BYTES 4096
#define UNTOUCHED 0x5a

struct guest_memory guest_memory;

static const struct {
    uint64_t gpa, bytes;
    uint32_t writable;
} layout[] = {{LOW_GPA, LOW_BYTES, 1}, {NEXT_GPA, NEXT_BYTES, 1}, {CONSTANT_GPA, CONSTANT_BYTES, 0}};
#define REGIONS (sizeof(layout) / sizeof(layout[0]))

static uint8_t remembered[LOW_BYTES + NEXT_BYTES];

static uint8_t *map_between_guards(uint64_t bytes, int writable)
{
    uint8_t *whole = mmap(NULL, bytes + 2 * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(whole != MAP_FAILED);
    CHECK(mprotect(whole + PAGE_BYTES, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0);
    return whole + PAGE_BYTES;
}

void guest_clear(void)
{
    if (guest_memory.count == 0) {
        for (size_t i = 0; i < REGIONS; i++)
            guest_memory.regions[i] =
                (struct guest_memory_region){.gpa = layout[i].gpa,
                                             .size = layout[i].bytes,
                                             .host = map_between_guards(layout[i].bytes, (int)layout[i].writable),
                                             .writable = layout[i].writable};
        guest_memory.count = REGIONS;
    }
    memset(guest_memory.regions[0].host, 0, BUFFERS_GPA);
    /* Not zeros, so that zeros written to them are a change. */
    memset(guest_memory.regions[0].host + BUFFERS_GPA, UNTOUCHED, BUFFERS_BYTES);
    memset(guest_memory.regions[1].host, UNTOUCHED, NEXT_BYTES);
}

uint64_t guest_place(uint64_t number)
{
    static const uint64_t bases[] = {DESC_GPA,    AVAIL_GPA,   USED_GPA,      TABLES_GPA,
                                     HEADERS_GPA, STATUS_GPA,  BUFFERS_GPA,   BUFFERS_GPA + 0x3000,
                                     NEXT_GPA,    NEXT_GPA - 8, CONSTANT_GPA, CONSTANT_GPA + CONSTANT_BYTES - 8,
                                     NEXT_GPA + NEXT_BYTES - 8};
    uint8_t base = (uint8_t)(number >> 56);

    if (base < 0xf0)
        return bases[base % (sizeof(bases) / sizeof(bases[0]))] + (number & 0xfff);
    return base == 0xff ? number : number & 0x00ffffffffffffff; /* near the end of all addresses, or anywhere */
}

uint8_t *guest_bytes(uint64_t gpa, uint64_t length)
{
    for (uint32_t i = 0; i < 2; i++) {
        const struct guest_memory_region *region = &guest_memory.regions[i];

        if (gpa >= region->gpa && gpa - region->gpa < region->size && length <= region->size - (gpa - region->gpa))
            return region->host + (gpa - region->gpa);
    }
    return NULL;
}

void guest_remember(void)
{
    memcpy(remembered, guest_memory.regions[0].host, LOW_BYTES);
    memcpy(remembered + LOW_BYTES, guest_memory.regions[1].host, NEXT_BYTES);
}

/* Both regions, which lie side by side in the guest. */
static const uint8_t *host_of(uint64_t gpa)
{
    return gpa < NEXT_GPA ? guest_memory.regions[0].host + gpa : guest_memory.regions[1].host + (gpa - NEXT_GPA);
}

int guest_find_change(uint64_t *gpa)
{
    const uint64_t end = LOW_BYTES + NEXT_BYTES;

    for (uint64_t at = *gpa; at < end;) {
        if (at % 256 == 0 && memcmp(remembered + at, host_of(at), 256) == 0) {
            at += 256;
        } else if (remembered[at] == *host_of(at)) {
            at++;
        } else {
            *gpa = at;
            return 1;
        }
    }
    return 0;
}
