/* What tells the time: the RTC, kvmclock, and the local APIC's TSC-deadline timer. */
#include "../cpu.h"
#include "../interrupts.h"
#include "../kvmclock.h"
#include "../program.h"
#include "../report.h"

#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define RTC_UPDATE_IN_PROGRESS 0x80
#define LEAF_1_ECX_TSC_DEADLINE (1u << 24)
/* <asm/kvm_para.h> */
#define KVM_LEAF 0x40000000
#define KVM_FEATURE_CLOCKSOURCE2 (1u << 3)
#define KVM_FEATURE_CLOCKSOURCE_STABLE (1u << 24)
#define VECTOR 0x60
#define TIMER_TICKS 3
#define TIMER_DISTANCE 2000000 /* TSC ticks: about a millisecond */

static volatile uint32_t ticks;
static volatile uint64_t early;
static uint64_t deadline;

static uint8_t rtc_read(uint8_t index)
{
    port_write8(RTC_INDEX, index);
    return port_read8(RTC_DATA);
}

static void report_rtc(void)
{
    static const struct {
        const char *name;
        uint8_t index;
    } registers[] = {{"second", 0}, {"minute", 2}, {"hour", 4}, {"day", 7}, {"month", 8}, {"year", 9},
                     {"century", 0x32}};
    const unsigned int count = sizeof(registers) / sizeof(registers[0]);
    uint8_t values[sizeof(registers) / sizeof(registers[0])];

    do {
        while (rtc_read(10) & RTC_UPDATE_IN_PROGRESS)
            relax();
        for (unsigned int i = 0; i < count; i++)
            values[i] = rtc_read(registers[i].index);
    } while (values[0] != rtc_read(0)); /* an update came in between */
    report_number("register-b", rtc_read(11));
    for (unsigned int i = 0; i < count; i++)
        report_number(registers[i].name, values[i]);
}

static void on_timer(void)
{
    early |= timestamp() < deadline;
    ticks = ticks + 1;
    if (ticks < TIMER_TICKS) {
        deadline = timestamp() + TIMER_DISTANCE;
        msr_write(MSR_TSC_DEADLINE, deadline);
    }
}

static void report_kvmclock(void)
{
    uint32_t features = cpuid(KVM_LEAF + 1, 0).eax;
    const struct kvmclock *clock;

    report_number("kvmclock", (features & KVM_FEATURE_CLOCKSOURCE2) != 0);
    report_number("kvmclock-stable", (features & KVM_FEATURE_CLOCKSOURCE_STABLE) != 0);
    clock = kvmclock_begin();
    report_number("kvmclock-multiplier", clock->tsc_to_system_mul);
    report_number("kvmclock-time", clock->system_time);
}

PROGRAM(clocks)
{
    interrupts_begin();
    report_rtc();
    report_number("hypervisor", cpuid(1, 0).ecx >> 31);
    report_number("tsc-deadline", (cpuid(1, 0).ecx & LEAF_1_ECX_TSC_DEADLINE) != 0);
    report_kvmclock();
    interrupt_handle(VECTOR, on_timer);
    msr_write(MSR_X2APIC_LVT_TIMER, LVT_TIMER_TSC_DEADLINE | VECTOR);
    deadline = timestamp() + TIMER_DISTANCE;
    msr_write(MSR_TSC_DEADLINE, deadline);
    while (ticks < TIMER_TICKS)
        wait_for_interrupt();
    report_number("timer-interrupts", ticks);
    report_number("timer-early", early);
}
