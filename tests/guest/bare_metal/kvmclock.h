/* The paravirtual clock: a page in which KVM says how TSC ticks become nanoseconds (<asm/pvclock-abi.h>). */
#ifndef KVMCLOCK_H
#define KVMCLOCK_H

#include <stdint.h>

#include "cpu.h"
#include "memory.h"

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define KVMCLOCK_GUEST_STOPPED 2

struct kvmclock {
    volatile uint32_t version, padding; /* version is odd while KVM writes, and another one afterwards */
    volatile uint64_t tsc_timestamp, system_time;
    volatile uint32_t tsc_to_system_mul;
    volatile int8_t tsc_shift;
    volatile uint8_t flags, padding2[2];
};

/* Switches this CPU's clock on; its page is filled in once KVM has come round to it. */
static inline struct kvmclock *kvmclock_begin(void)
{
    struct kvmclock *clock = allocate(4096);

    clock->tsc_to_system_mul = 0;
    msr_write(MSR_KVM_SYSTEM_TIME_NEW, (uint64_t)clock | 1);
    for (uint32_t i = 0; i < 1000 && clock->tsc_to_system_mul == 0; i++)
        cpuid(0, 0);
    return clock;
}

static inline uint64_t kvmclock_nanoseconds(const struct kvmclock *clock, uint64_t ticks)
{
    ticks = clock->tsc_shift < 0 ? ticks >> -clock->tsc_shift : ticks << clock->tsc_shift;
    return (uint64_t)((unsigned __int128)ticks * clock->tsc_to_system_mul >> 32);
}

/* Nanoseconds of the guest's time, now. */
static inline uint64_t kvmclock_read(const struct kvmclock *clock)
{
    uint64_t time;
    uint32_t version;

    do {
        version = clock->version & ~1u;
        time = clock->system_time + kvmclock_nanoseconds(clock, timestamp() - clock->tsc_timestamp);
    } while (version != clock->version);
    return time;
}

#endif
