/*
 * Writes to the first and the last page of each range of RAM, then reads all of them back: pages that are one behind
 * the guest's back show. The page at 0 and this image's own are left out. What isn't RAM must read as all ones.
 */
#include "../boot_info.h"
#include "../cpu.h"
#include "../memory.h"
#include "../program.h"
#include "../report.h"

#define PAGE 4096ull
#define HIGH 0x100000000ull
#define MAX_PAGES (2 * MAX_RANGES)

static uint64_t pages[MAX_PAGES], values[MAX_PAGES];
static unsigned int count;

static void touch(uint64_t gpa)
{
    if (gpa == 0)
        gpa += PAGE;
    if (gpa >= HIGH)
        map_high(gpa);
    pages[count] = gpa;
    values[count] = next_secret();
    *(volatile uint64_t *)gpa = values[count];
    *(volatile uint64_t *)(gpa + PAGE - 8) = ~values[count];
    count++;
}

PROGRAM(touch)
{
    uint64_t hole = option_number("hole", 0);

    for (unsigned int i = 0; i < boot_info.ranges; i++) {
        if (boot_info.range[i].type != RANGE_RAM)
            continue;
        touch(boot_info.range[i].start);
        touch(boot_info.range[i].start + boot_info.range[i].size - PAGE);
    }
    for (unsigned int i = 0; i < count; i++) {
        uint64_t first = *(volatile uint64_t *)pages[i];
        uint64_t last = *(volatile uint64_t *)(pages[i] + PAGE - 8);
        report_number("page", pages[i]);
        report_number("kept", first == values[i] && last == ~values[i]);
    }
    if (hole >= HIGH)
        map_high(hole);
    if (hole != 0) {
        mmio_write32(hole, 0);
        report_number("hole", mmio_read32(hole));
    }
}
