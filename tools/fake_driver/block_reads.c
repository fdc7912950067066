/* The hot loop of a disk's benchmark: reads, a fixed number of them in flight. */
#include <errno.h>
#include <stdint.h>

#include "fake_queue_cdef.h"

#include "block_reads_cdef.h"

#define DESC_F_NEXT 1
#define DESC_F_WRITE 2
#define DESCRIPTORS 3 /* of a chain */
#define SECTOR_BYTES 512
#define TYPE_IN 0
#define STATUS_OK 0
#define STATUS_UNSET 0xff

struct header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

static struct header *header_of(struct block_reads *reads, uint16_t slot)
{
    return (struct header *)(void *)(reads->queue->memory + reads->headers_gpa) + slot;
}

static uint8_t *status_of(struct block_reads *reads, uint16_t slot)
{
    return reads->queue->memory + reads->statuses_gpa + slot;
}

void block_reads_init(struct block_reads *reads)
{
    for (uint16_t slot = 0; slot < reads->depth; slot++) {
        uint16_t head = (uint16_t)(slot * DESCRIPTORS), data = (uint16_t)(head + 1), status = (uint16_t)(head + 2);

        fake_queue_set_descriptor(reads->queue, head, reads->headers_gpa + slot * sizeof(struct header),
                                  sizeof(struct header), DESC_F_NEXT, data);
        fake_queue_set_descriptor(reads->queue, data, reads->buffers_gpa + (uint64_t)slot * reads->block_bytes,
                                  reads->block_bytes, DESC_F_NEXT | DESC_F_WRITE, status);
        fake_queue_set_descriptor(reads->queue, status, reads->statuses_gpa + slot, 1, DESC_F_WRITE, 0);
    }
}

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled"). */
static uint64_t random_number(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 0x2545F4914F6CDD1D) >> 32;
}

static void offer(struct block_reads *reads, uint16_t slot)
{
    uint64_t block = (reads->sequential ? reads->state++ : random_number(&reads->state)) % reads->blocks;

    *header_of(reads, slot) = (struct header){.type = TYPE_IN, .sector = block * (reads->block_bytes / SECTOR_BYTES)};
    *status_of(reads, slot) = STATUS_UNSET;
    fake_queue_offer(reads->queue, (uint16_t)(slot * DESCRIPTORS));
}

int block_reads_run(struct block_reads *reads, uint64_t requests, int timeout_ms)
{
    struct fake_queue *queue = reads->queue;
    uint64_t offered = 0, completed = 0;
    int result;

    for (; offered < reads->depth && offered < requests; offered++)
        offer(reads, (uint16_t)offered);
    fake_queue_publish(queue);
    result = fake_queue_kick(queue);
    while (result >= 0 && completed < requests) {
        uint32_t written;
        int head, again = 0;

        while ((head = fake_queue_take(queue, &written)) >= 0) {
            uint16_t slot = (uint16_t)(head / DESCRIPTORS);

            if (written != reads->block_bytes + 1)
                return -EPROTO;
            if (*status_of(reads, slot) != STATUS_OK)
                return -EIO;
            completed++;
            if (offered < requests) {
                offer(reads, slot);
                offered++;
                again = 1;
            }
        }
        if (head != -EAGAIN)
            return head;
        if (again) {
            fake_queue_publish(queue);
            result = fake_queue_kick(queue);
        }
        if (result >= 0 && completed < requests)
            result = fake_queue_wait(queue, timeout_ms);
    }
    return result < 0 ? result : 0;
}
