/*
 * A disk, each of whose queues is a set: standalone_program ... ENGINE ALIGNMENT IMAGE SECTORS. ENGINE is "io_uring" or
 * "preadv"; ALIGNMENT is what O_DIRECT would want of buffers (the others are bounced), or 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/device/hostile_driver/standalone_device.h"
#include "device_procs/virtio_blk/backend_cdef.h"
#include "device_procs/virtio_blk/blk_cdef.h"

#define SETS_MAX 2

static struct blk_disk disk = {.block_bytes = BLK_SECTOR_BYTES};
static struct blk_queue queues[SETS_MAX];

static void reset(void *device)
{
    blk_queue_reset(device);
}

int standalone_device_make(struct standalone_device *made, uint32_t set, int count, char **arguments)
{
    int fd = set < SETS_MAX && count == 4 ? open(arguments[2], O_RDWR) : -1;
    struct blk_queue *queue;
    int error;

    if (fd < 0)
        return -EINVAL;
    queue = &queues[set];
    disk.memory_alignment = (uint32_t)strtoul(arguments[1], NULL, 10);
    disk.capacity_sectors = strtoull(arguments[3], NULL, 10);
    error = blk_queue_init(queue, &disk);
    if (error < 0)
        return error;
    *made = (struct standalone_device){.ops = &blk_ops, .device = queue, .queues = 1, .reset = reset};
    if (strcmp(arguments[0], "io_uring") == 0)
        return disk_uring_init(&queue->backend, fd, -1, BLK_QUEUE_SIZE_MAX);
    return disk_sync_init(&queue->backend, fd);
}
