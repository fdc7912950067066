#include "memory.h"

#define PAGE 4096ull
#define ENTRIES 512
#define PRESENT_WRITABLE 3
#define LARGE 0x80
#define ADDRESS (~0xfffull)

extern uint64_t pml4[ENTRIES];
extern uint8_t image_end[];

static uint64_t allocated;

void *allocate(uint64_t bytes)
{
    void *start = image_end + allocated;

    allocated += (bytes + PAGE - 1) & -PAGE;
    return start;
}

static uint64_t *table_below(uint64_t *entry)
{
    if (*entry == 0) {
        uint64_t *table = allocate(PAGE);
        for (unsigned int i = 0; i < ENTRIES; i++)
            table[i] = 0;
        *entry = (uint64_t)table | PRESENT_WRITABLE;
    }
    return (uint64_t *)(*entry & ADDRESS);
}

void map_high(uint64_t gpa)
{
    uint64_t *pdpt = table_below(&pml4[gpa >> 39 & (ENTRIES - 1)]);
    uint64_t *directory = table_below(&pdpt[gpa >> 30 & (ENTRIES - 1)]);

    directory[gpa >> 21 & (ENTRIES - 1)] = (gpa & ~0x1fffffull) | LARGE | PRESENT_WRITABLE;
}
