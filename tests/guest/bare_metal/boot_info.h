/* What the VMM told the guest, whichever protocol it did it by. */
#ifndef BOOT_INFO_H
#define BOOT_INFO_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_RANGES 16
#define RANGE_RAM 1

struct memory_range {
    uint64_t start, size;
    uint32_t type;
};

struct boot_info {
    const char *protocol; /* "zero-page" or "pvh" */
    const char *command_line;
    uint64_t rsdp, initrd, initrd_size;
    unsigned int ranges;
    struct memory_range range[MAX_RANGES];
};

extern struct boot_info boot_info;

void boot_info_read(unsigned int entered_by, const void *told);
/* Whether the command line has name=value. */
bool option_is(const char *name, const char *value);
/* Whether the command line has name=, or the word alone. */
bool option_is_there(const char *name);
/* The number behind name=, or otherwise if it isn't there. */
uint64_t option_number(const char *name, uint64_t otherwise);
void report_memory_map(void);

#endif
