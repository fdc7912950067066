/* InterruptStatus and InterruptACK of the virtio-mmio slots. */
#include <stdint.h>
#include <string.h>

#include "mmio_interrupt_cdef.h"

#define INTERRUPT_STATUS 0x60
#define INTERRUPT_ACK 0x64

_Static_assert(sizeof(((struct mmio_interrupts *)0)->status) == MMIO_INTERRUPT_SLOTS * sizeof(uint32_t),
               "a status each");

void mmio_interrupts_set(struct mmio_interrupts *interrupts, uint32_t slot, uint32_t bits)
{
    __atomic_or_fetch(&interrupts->status[slot], bits, __ATOMIC_SEQ_CST);
}

void mmio_interrupts_clear(struct mmio_interrupts *interrupts, uint32_t slot, uint32_t bits)
{
    __atomic_and_fetch(&interrupts->status[slot], ~bits, __ATOMIC_SEQ_CST);
}

uint32_t mmio_interrupts_status(struct mmio_interrupts *interrupts, uint32_t slot)
{
    return __atomic_load_n(&interrupts->status[slot], __ATOMIC_SEQ_CST);
}

int mmio_interrupts_access(struct mmio_interrupts *interrupts, uint64_t gpa, uint32_t size, int is_write, uint8_t *data)
{
    uint64_t slot = (gpa - interrupts->base_gpa) / interrupts->stride;
    uint64_t offset = (gpa - interrupts->base_gpa) % interrupts->stride;
    uint32_t value;

    if (gpa < interrupts->base_gpa || slot >= interrupts->slots || size != sizeof(value))
        return 0;
    if (!is_write && offset == INTERRUPT_STATUS) {
        value = mmio_interrupts_status(interrupts, (uint32_t)slot);
        memcpy(data, &value, sizeof(value));
        return 1;
    }
    if (is_write && offset == INTERRUPT_ACK) {
        memcpy(&value, data, sizeof(value));
        mmio_interrupts_clear(interrupts, (uint32_t)slot, value & MMIO_INTERRUPT_CONFIG_CHANGED);
        return 1;
    }
    return 0;
}
