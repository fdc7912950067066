/*
 * InterruptStatus and InterruptACK (virtio 1.2 section 4.2.2) of all virtio-mmio slots: every interrupt of every
 * device costs a read and a write of them, so the vCPU loop answers them in C. Read by cffi and included by C.
 */

#define MMIO_INTERRUPT_SLOTS 11

#define MMIO_INTERRUPT_USED_BUFFERS 1
#define MMIO_INTERRUPT_CONFIG_CHANGED 2

struct mmio_interrupts {
    uint64_t base_gpa; /* of slot 0 */
    uint64_t stride;   /* from one slot's first register to the next one's */
    uint32_t slots;    /* how many there are, from slot 0 on */
    /* MMIO_INTERRUPT_* of each. USED_BUFFERS is set while a device runs, whether it has used a buffer or not: its
     * worker signals by irqfd, past main, and can't set a bit here. Written by any thread. */
    uint32_t status[11];
};

/* Answers a read of InterruptStatus or a write of InterruptACK, 32 bits wide. Returns 1 if it was one, else 0. */
int mmio_interrupts_access(struct mmio_interrupts *interrupts, uint64_t gpa, uint32_t size, int is_write,
                           uint8_t *data);
void mmio_interrupts_set(struct mmio_interrupts *interrupts, uint32_t slot, uint32_t bits);
void mmio_interrupts_clear(struct mmio_interrupts *interrupts, uint32_t slot, uint32_t bits);
uint32_t mmio_interrupts_status(struct mmio_interrupts *interrupts, uint32_t slot);
