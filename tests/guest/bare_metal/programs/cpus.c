/* Brings up cpus=N CPUs by INIT and SIPI and has each say its x2APIC id, as CPUID and as its APIC have it. */
#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../processors.h"
#include "../program.h"
#include "../report.h"

PROGRAM(cpus)
{
    unsigned int others = (unsigned int)option_number("cpus", 1) - 1;
    const struct processor *processors;

    interrupts_begin();
    report_number("leaf-1-apic-id", cpuid(1, 0).ebx >> 24);
    report_number("leaf-1-processors", cpuid(1, 0).ebx >> 16 & 0xff);
    report_number("smt-processors", cpuid(0xb, 0).ebx);
    report_number("core-shift", cpuid(0xb, 1).eax);
    report_number("core-processors", cpuid(0xb, 1).ebx);
    report_number("id-by-cpuid", cpuid(0xb, 0).edx);
    report_number("id-by-msr", msr_read(MSR_X2APIC_ID));
    if (others > 0) {
        processors = start_processors(others);
        for (unsigned int i = 0; i < others; i++) {
            report_number("id-by-cpuid", processors[i].id_by_cpuid);
            report_number("id-by-msr", processors[i].id_by_msr);
        }
    }
}
