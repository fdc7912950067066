#include "virtio_mmio.h"

#include "cpu.h"
#include "memory.h"

#define SLOT_0_GPA 0xfeb00000ull
#define SLOT_STRIDE 0x1000
#define DESCRIPTOR_NEXT 1
#define DESCRIPTOR_WRITE 2

/* As the slots' _CRS have it. */
static const uint8_t gsis[VIRTIO_SLOTS] = {5, 6, 7, 10, 11, 12, 16, 17, 18, 19, 20};

uint64_t virtio_slot_gpa(unsigned int slot)
{
    return SLOT_0_GPA + slot * SLOT_STRIDE;
}

unsigned int virtio_slot_gsi(unsigned int slot)
{
    return gsis[slot];
}

uint64_t virtio_read(uint64_t gpa, unsigned int bytes)
{
    uint64_t value = 0;

    switch (bytes) {
    case 1:
        __asm__ volatile("movb (%1), %b0" : "+r"(value) : "r"(gpa) : "memory");
        break;
    case 2:
        __asm__ volatile("movw (%1), %w0" : "+r"(value) : "r"(gpa) : "memory");
        break;
    case 4:
        value = mmio_read32(gpa);
        break;
    default:
        __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(gpa) : "memory");
    }
    return value;
}

void virtio_write(uint64_t gpa, unsigned int bytes, uint64_t value)
{
    switch (bytes) {
    case 1:
        __asm__ volatile("movb %b0, (%1)" : : "r"(value), "r"(gpa) : "memory");
        break;
    case 2:
        __asm__ volatile("movw %w0, (%1)" : : "r"(value), "r"(gpa) : "memory");
        break;
    case 4:
        mmio_write32(gpa, (uint32_t)value);
        break;
    default:
        __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(gpa) : "memory");
    }
}

uint64_t virtio_offered(uint64_t device)
{
    uint64_t features;

    mmio_write32(device + VIRTIO_DEVICE_FEATURES_SEL, 1);
    features = (uint64_t)mmio_read32(device + VIRTIO_DEVICE_FEATURES) << 32;
    mmio_write32(device + VIRTIO_DEVICE_FEATURES_SEL, 0);
    return features | mmio_read32(device + VIRTIO_DEVICE_FEATURES);
}

bool virtio_negotiate(uint64_t device, uint64_t features)
{
    uint32_t status = VIRTIO_ACKNOWLEDGE;

    mmio_write32(device + VIRTIO_STATUS, 0);
    mmio_write32(device + VIRTIO_STATUS, status);
    status |= VIRTIO_DRIVER;
    mmio_write32(device + VIRTIO_STATUS, status);
    for (uint32_t word = 0; word < 2; word++) {
        mmio_write32(device + VIRTIO_DRIVER_FEATURES_SEL, word);
        mmio_write32(device + VIRTIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * word));
    }
    status |= VIRTIO_FEATURES_OK;
    mmio_write32(device + VIRTIO_STATUS, status);
    return mmio_read32(device + VIRTIO_STATUS) == status;
}

void virtqueue_make(struct virtqueue *queue, uint16_t index)
{
    queue->index = index;
    queue->descriptors = allocate(sizeof(*queue->descriptors) * VIRTQUEUE_SIZE);
    queue->available = allocate(sizeof(*queue->available));
    queue->used = allocate(sizeof(*queue->used));
}

static void write_address(uint64_t registers, uint64_t gpa)
{
    mmio_write32(registers, (uint32_t)gpa);
    mmio_write32(registers + 4, (uint32_t)(gpa >> 32));
}

bool virtqueue_set_up(struct virtqueue *queue, uint64_t device)
{
    queue->taken = 0;
    queue->available->flags = queue->available->index = 0;
    queue->used->flags = queue->used->index = 0;
    mmio_write32(device + VIRTIO_QUEUE_SEL, queue->index);
    mmio_write32(device + VIRTIO_QUEUE_NUM, VIRTQUEUE_SIZE);
    write_address(device + VIRTIO_QUEUE_DESC_LOW, (uint64_t)queue->descriptors);
    write_address(device + VIRTIO_QUEUE_DRIVER_LOW, (uint64_t)queue->available);
    write_address(device + VIRTIO_QUEUE_DEVICE_LOW, (uint64_t)queue->used);
    mmio_write32(device + VIRTIO_QUEUE_READY, 1);
    return mmio_read32(device + VIRTIO_QUEUE_READY) == 1;
}

void virtqueue_add(struct virtqueue *queue, const void *request, uint32_t request_bytes, void *answer,
                   uint32_t answer_bytes)
{
    /* Two descriptors a buffer; the caller has no more than VIRTQUEUE_SIZE / 2 under way. */
    uint16_t index = queue->available->index;
    uint16_t first = (uint16_t)(index * 2 % VIRTQUEUE_SIZE);

    queue->descriptors[first] = (struct virtqueue_descriptor){(uint64_t)request, request_bytes, DESCRIPTOR_NEXT,
                                                              (uint16_t)(first + 1)};
    queue->descriptors[first + 1] = (struct virtqueue_descriptor){(uint64_t)answer, answer_bytes, DESCRIPTOR_WRITE, 0};
    queue->available->ring[index % VIRTQUEUE_SIZE] = request_bytes > 0 ? first : (uint16_t)(first + 1);
    /* x86 keeps the order of writes; "memory" keeps the compiler to it. */
    __asm__ volatile("" : : : "memory");
    queue->available->index = (uint16_t)(index + 1);
}

bool virtqueue_has_used(const struct virtqueue *queue)
{
    return queue->used->index != queue->taken;
}

uint32_t virtqueue_take(struct virtqueue *queue)
{
    uint32_t length = queue->used->ring[queue->taken % VIRTQUEUE_SIZE].length;

    queue->taken++;
    __asm__ volatile("" : : : "memory");
    return length;
}
