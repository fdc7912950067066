/* Stands still for good, interrupts off. */
#include "../cpu.h"
#include "../program.h"
#include "../report.h"

PROGRAM(halt)
{
    report_seal();
    stand_still();
}
