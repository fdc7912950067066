/* A driver's side of virtio over MMIO (virtio 1.2 section 4.2.2) with split virtqueues (section 2.7). */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_SLOTS 11
#define VIRTIO_SLOT_PRESENCE_PORT 0x608 /* the DSDT's PRES */

#define VIRTIO_MAGIC_VALUE 0x000
#define VIRTIO_VERSION 0x004
#define VIRTIO_DEVICE_ID 0x008
#define VIRTIO_VENDOR_ID 0x00c
#define VIRTIO_DEVICE_FEATURES 0x010
#define VIRTIO_DEVICE_FEATURES_SEL 0x014
#define VIRTIO_DRIVER_FEATURES 0x020
#define VIRTIO_DRIVER_FEATURES_SEL 0x024
#define VIRTIO_QUEUE_SEL 0x030
#define VIRTIO_QUEUE_NUM_MAX 0x034
#define VIRTIO_QUEUE_NUM 0x038
#define VIRTIO_QUEUE_READY 0x044
#define VIRTIO_QUEUE_NOTIFY 0x050
#define VIRTIO_INTERRUPT_STATUS 0x060
#define VIRTIO_INTERRUPT_ACK 0x064
#define VIRTIO_STATUS 0x070
#define VIRTIO_QUEUE_DESC_LOW 0x080
#define VIRTIO_QUEUE_DRIVER_LOW 0x090
#define VIRTIO_QUEUE_DEVICE_LOW 0x0a0
#define VIRTIO_SHM_LEN_LOW 0x0b0
#define VIRTIO_CONFIG_GENERATION 0x0fc
#define VIRTIO_CONFIG 0x100

#define VIRTIO_ACKNOWLEDGE 1
#define VIRTIO_DRIVER 2
#define VIRTIO_DRIVER_OK 4
#define VIRTIO_FEATURES_OK 8
#define VIRTIO_NEEDS_RESET 64

#define VIRTIO_F_VERSION_1 (1ull << 32)

#define VIRTIO_USED_BUFFERS 1
#define VIRTIO_CONFIG_CHANGED 2

#define VIRTQUEUE_SIZE 8

struct virtqueue_descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags, next;
};

struct virtqueue_available {
    uint16_t flags, index, ring[VIRTQUEUE_SIZE], used_event;
};

struct virtqueue_used {
    uint16_t flags, index;
    struct {
        uint32_t id, length;
    } ring[VIRTQUEUE_SIZE];
    uint16_t available_event;
};

/* One queue of the device that is driven. */
struct virtqueue {
    uint16_t index;
    uint16_t taken; /* entries of the used ring that the driver has seen */
    volatile struct virtqueue_descriptor *descriptors;
    volatile struct virtqueue_available *available;
    volatile struct virtqueue_used *used;
};

uint64_t virtio_slot_gpa(unsigned int slot);
unsigned int virtio_slot_gsi(unsigned int slot);

uint64_t virtio_read(uint64_t gpa, unsigned int bytes);
void virtio_write(uint64_t gpa, unsigned int bytes, uint64_t value);

uint64_t virtio_offered(uint64_t device);
/* From reset to FEATURES_OK; whether that stayed set. */
bool virtio_negotiate(uint64_t device, uint64_t features);
void virtqueue_make(struct virtqueue *queue, uint16_t index);
/* Tells the device where the queue is, empty; whether QueueReady stayed set. */
bool virtqueue_set_up(struct virtqueue *queue, uint64_t device);
/* Makes one buffer available, of a part to read, if it has any bytes, and a part to write; doesn't notify. */
void virtqueue_add(struct virtqueue *queue, const void *request, uint32_t request_bytes, void *answer,
                   uint32_t answer_bytes);
bool virtqueue_has_used(const struct virtqueue *queue);
/* Takes the next used buffer, which must be there. Returns the bytes that the device says it has written. */
uint32_t virtqueue_take(struct virtqueue *queue);

#endif
