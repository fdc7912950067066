/* A request as a sequence of I/Os: most need one; a short one is taken up where it ended. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../data_plane/black_box_cdef.h"
#include "../data_plane/guest_memory_cdef.h"
#include "../data_plane/virtqueue_cdef.h"
#include "../data_plane/device_ops_cdef.h"
#include "backend_cdef.h"
#include "blk_cdef.h"

/* Never written to, so that it takes no memory; aligned for O_DIRECT. */
static uint8_t zeroes[BLK_BOUNCE_BYTES] __attribute__((aligned(4096)));

/* Moves on by so many bytes of the guest's buffers, copying them from or to a buffer if there is one. */
static void pass(struct blk_request *request, size_t bytes, uint8_t *copied)
{
    while (bytes > 0) {
        struct chain_segment *segment = &request->segments[request->segment_next];
        size_t part = segment->length < bytes ? segment->length : bytes;

        if (copied != NULL) {
            memcpy(segment->host, copied, part);
            copied += part;
        }
        segment->host += part;
        segment->length -= part;
        if (segment->length == 0)
            request->segment_next++;
        bytes -= part;
    }
}

/* Copies the next bytes of the guest's buffers without moving on. */
static void gather(const struct blk_request *request, uint8_t *to, size_t bytes)
{
    for (uint16_t i = request->segment_next; bytes > 0; i++) {
        size_t part = request->segments[i].length < bytes ? request->segments[i].length : bytes;

        memcpy(to, request->segments[i].host, part);
        to += part;
        bytes -= part;
    }
}

/* One segment that isn't the guest's. */
static void set_own_segment(struct blk_request *request, uint8_t *host, size_t length)
{
    struct chain_segment *own = &request->own_segment;

    *own = (struct chain_segment){.host = host, .length = length};
    request->io.segments = own;
    request->io.segment_count = 1;
}

static int step_transfer(struct blk_request *request, const struct blk_disk *disk, uint8_t *bounce)
{
    int writes = request->type == VIRTIO_BLK_T_OUT;

    if (request->left == 0)
        return 0;
    request->io.operation = writes ? DISK_WRITE : DISK_READ;
    request->io.durable = writes && disk->durable_writes;
    request->io.offset = request->offset;
    if (request->bounced) {
        size_t length = request->left < BLK_BOUNCE_BYTES ? (size_t)request->left : BLK_BOUNCE_BYTES;

        if (writes)
            gather(request, bounce, length);
        set_own_segment(request, bounce, length);
    } else {
        request->io.segments = &request->segments[request->segment_next];
        request->io.segment_count = (uint32_t)(request->segment_count - request->segment_next);
    }
    return 1;
}

static int step_ranges(struct blk_request *request, const struct blk_disk *disk)
{
    const struct blk_range *range = &request->ranges[request->range_next];

    if (request->left > 0) { /* in the middle of a range, zeroes are written by hand */
        request->io.operation = DISK_WRITE;
        request->io.durable = 0;
        request->io.offset = request->offset;
        set_own_segment(request, zeroes,
                        request->left < BLK_BOUNCE_BYTES ? (size_t)request->left : BLK_BOUNCE_BYTES);
        return 1;
    }
    if (request->range_next < request->range_count) {
        request->io.operation = range->operation;
        request->io.offset = range->offset;
        request->io.length = range->length;
        return 1;
    }
    if (!disk->durable_writes || request->is_flushed)
        return 0;
    request->io.operation = DISK_FLUSH;
    return 1;
}

int blk_request_step(struct blk_request *request, const struct blk_disk *disk, uint8_t *bounce)
{
    switch (request->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        return step_transfer(request, disk, bounce);
    case VIRTIO_BLK_T_FLUSH:
        request->io.operation = DISK_FLUSH;
        return !request->is_flushed;
    default:
        return step_ranges(request, disk);
    }
}

static int advance_range(struct blk_request *request)
{
    const struct blk_range *range = &request->ranges[request->range_next];

    if (request->io.result >= 0) {
        request->range_next++;
        return 0;
    }
    if (request->io.result != -EOPNOTSUPP && request->io.result != -ENOSYS)
        return request->io.result;
    /* A file system that can't: a discard is a hint only (5.2.6.2), zeroes must be there. */
    if (request->type == VIRTIO_BLK_T_DISCARD) {
        request->range_next++;
    } else {
        request->offset = range->offset;
        request->left = range->length;
    }
    return 0;
}

int blk_request_advance(struct blk_request *request, uint8_t *bounce)
{
    int32_t result = request->io.result;

    if (request->io.operation == DISK_PUNCH || request->io.operation == DISK_ZERO)
        return advance_range(request);
    if ((result == -EAGAIN || result == -EINTR) && request->retries++ < BLK_RETRIES_MAX)
        return 0; /* once more */
    if (result < 0)
        return result;
    if (request->io.operation == DISK_FLUSH) {
        request->is_flushed = 1;
        return 0;
    }
    /* Nothing read within the capacity, nothing written: the file has become shorter. */
    if (result == 0 || (uint64_t)result > request->left)
        return -EIO;
    if (request->segment_count > 0)
        pass(request, (size_t)result, request->bounced && request->type == VIRTIO_BLK_T_IN ? bounce : NULL);
    request->offset += (uint64_t)result;
    request->left -= (uint64_t)result;
    if (request->left == 0 && request->range_count > 0)
        request->range_next++;
    return 0;
}
