/* A disk of one queue: standalone_program ... ENGINE IMAGE SECTORS. ENGINE is "io_uring" or "preadv". */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/device/hostile_driver/standalone_device.h"
#include "device_procs/virtio_blk/backend_cdef.h"
#include "device_procs/virtio_blk/blk_cdef.h"

static struct blk_disk disk = {.block_bytes = BLK_SECTOR_BYTES, .memory_alignment = 1};
static struct blk_queue queue;

static void reset(void *device)
{
    blk_queue_reset(device);
}

int standalone_device_make(struct standalone_device *made, int count, char **arguments)
{
    int fd = count == 3 ? open(arguments[1], O_RDWR) : -1;
    int error;

    if (fd < 0)
        return -EINVAL;
    disk.capacity_sectors = strtoull(arguments[2], NULL, 10);
    error = blk_queue_init(&queue, &disk);
    if (error < 0)
        return error;
    *made = (struct standalone_device){.ops = &blk_ops, .device = &queue, .reset = reset};
    if (strcmp(arguments[0], "io_uring") == 0)
        return disk_uring_init(&queue.backend, fd, -1, BLK_QUEUE_SIZE_MAX);
    return disk_sync_init(&queue.backend, fd);
}
