/* Instructions that C has no words for. */
#ifndef CPU_H
#define CPU_H

#include <stdint.h>

static inline void port_write8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t port_read8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t port_read32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* One exit for many bytes, where the VMM answers it as one. */
static inline void port_read_string8(uint16_t port, void *destination, uint64_t count)
{
    __asm__ volatile("cld; rep insb" : "+D"(destination), "+c"(count) : "d"(port) : "memory");
}

static inline void port_write_string8(uint16_t port, const void *source, uint64_t count)
{
    __asm__ volatile("cld; rep outsb" : "+S"(source), "+c"(count) : "d"(port) : "memory");
}

static inline uint32_t mmio_read32(uint64_t gpa)
{
    uint32_t value;

    __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
    return value;
}

static inline void mmio_write32(uint64_t gpa, uint32_t value)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
}

static inline uint64_t msr_read(uint32_t number)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static inline void msr_write(uint32_t number, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid answer;

    __asm__ volatile("cpuid"
                     : "=a"(answer.eax), "=b"(answer.ebx), "=c"(answer.ecx), "=d"(answer.edx)
                     : "a"(leaf), "c"(subleaf));
    return answer;
}

static inline uint64_t timestamp(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

static inline void interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

/* Sleeps until the next interrupt; sti takes effect after hlt has begun, so none is lost in between. */
static inline void wait_for_interrupt(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

static inline void relax(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline void __attribute__((noreturn)) stand_still(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

#endif
