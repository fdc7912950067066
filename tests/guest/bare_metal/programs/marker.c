/* Leaves a page of numbers in memory that only this guest can have made, says so, and stands still. */
#include "../cpu.h"
#include "../memory.h"
#include "../program.h"
#include "../report.h"

PROGRAM(marker)
{
    uint64_t *page = allocate(4096);

    for (unsigned int i = 0; i < 512; i++)
        page[i] = next_secret();
    report_seal();
    stand_still();
}
