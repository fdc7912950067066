#include "processors.h"

#include "cpu.h"
#include "interrupts.h"
#include "layout.h"
#include "memory.h"

/* ICR: INIT or start-up, assert, to all excluding self (SDM volume 3, figure 11-12). */
#define ICR_INIT_OTHERS 0xc4500ull
#define ICR_SIPI_OTHERS 0xc4600ull

extern const uint8_t trampoline_begin[], trampoline_end[];
extern uint32_t processors_started;
extern uint64_t processor_stacks;
void processor_main(unsigned int number);

uint32_t processors_started;
uint64_t processor_stacks;
static struct processor *processors;
static uint32_t arrived;

void processor_main(unsigned int number)
{
    x2apic_enable();
    processors[number].id_by_cpuid = cpuid(0xb, 0).edx;
    processors[number].id_by_msr = (uint32_t)msr_read(MSR_X2APIC_ID);
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    stand_still();
}

const struct processor *start_processors(unsigned int others)
{
    uint8_t *trampoline = (uint8_t *)TRAMPOLINE_GPA;

    for (int64_t i = 0; i < trampoline_end - trampoline_begin; i++)
        trampoline[i] = trampoline_begin[i];
    processor_stacks = (uint64_t)allocate((uint64_t)PROCESSOR_STACK_BYTES * (others + 1));
    processors = allocate(sizeof(*processors) * (others + 1));
    msr_write(MSR_X2APIC_ICR, ICR_INIT_OTHERS);
    msr_write(MSR_X2APIC_ICR, ICR_SIPI_OTHERS | TRAMPOLINE_GPA >> 12);
    while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < others)
        relax();
    return processors;
}
