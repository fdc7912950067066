/*
 * Does what no KVM can do for it: how=jump goes to target=, where there is no memory; how=instruction compares and
 * exchanges 16 bytes there, which has to be emulated, and KVM's emulator has no such instruction.
 */
#include "../boot_info.h"
#include "../cpu.h"
#include "../program.h"
#include "../report.h"

extern const uint8_t failing_instruction[];

PROGRAM(fail)
{
    uint64_t target = option_number("target", 0);

    report_number("failing-instruction", (uint64_t)failing_instruction);
    report_seal();
    if (option_is("how", "jump"))
        ((void (*)(void))target)();
    __asm__ volatile(".globl failing_instruction\nfailing_instruction: lock cmpxchg16b (%0)"
                     :
                     : "r"(target), "a"(0ull), "b"(0ull), "c"(0ull), "d"(0ull)
                     : "memory");
    stand_still();
}
