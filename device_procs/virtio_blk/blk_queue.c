/* A disk's queue: requests come from the ring, go to the back end, and are completed in whatever order they end. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../data_plane/black_box_cdef.h"
#include "../data_plane/guest_memory_cdef.h"
#include "../data_plane/virtqueue_cdef.h"
#include "../data_plane/device_ops_cdef.h"
#include "../data_plane/worker_cdef.h"
#include "../fault_injection/crash_points.h"
#include "backend_cdef.h"
#include "blk_cdef.h"

#define PAGE_BYTES 4096
/* A disk that fails every request says so every so often. */
#define TELL_EVERY_NS UINT64_C(5000000000)

/* Counted by this thread only, read by the control thread at any time. */
static void count(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

void blk_queue_reset(struct blk_queue *queue)
{
    queue->free = queue->waiting = queue->bouncing = NULL;
    queue->in_flight = queue->fresh = 0;
}

/* There is one: no more chains can be popped than there are places. */
static struct blk_request *take_place(struct blk_queue *queue)
{
    struct blk_request *request = queue->free;

    if (request == NULL)
        return &queue->requests[queue->fresh++];
    queue->free = request->next;
    return request;
}

int blk_queue_init(struct blk_queue *queue, const struct blk_disk *disk)
{
    memset(queue, 0, sizeof(*queue));
    queue->disk = disk;
    queue->chain = calloc(1, sizeof(*queue->chain));
    queue->counters = calloc(1, sizeof(*queue->counters));
    queue->requests = calloc(BLK_QUEUE_SIZE_MAX, sizeof(*queue->requests));
    queue->bounce = disk->memory_alignment > 1 ? aligned_alloc(PAGE_BYTES, BLK_BOUNCE_BYTES) : NULL;
    if (queue->chain == NULL || queue->counters == NULL || queue->requests == NULL ||
        (disk->memory_alignment > 1 && queue->bounce == NULL))
        return -ENOMEM;
    blk_queue_reset(queue);
    return 0;
}

static void count_request(struct blk_counters *counters, const struct blk_request *request, uint64_t bytes)
{
    switch (request->type) {
    case VIRTIO_BLK_T_IN:
        count(&counters->reads, 1);
        count(&counters->read_bytes, bytes);
        break;
    case VIRTIO_BLK_T_OUT:
        count(&counters->writes, 1);
        count(&counters->written_bytes, bytes);
        break;
    case VIRTIO_BLK_T_FLUSH:
        count(&counters->flushes, 1);
        break;
    case VIRTIO_BLK_T_DISCARD:
        count(&counters->discards, 1);
        count(&counters->discarded_bytes, bytes);
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        count(&counters->write_zeroes, 1);
        count(&counters->zeroed_bytes, bytes);
        break;
    default:
        break;
    }
}

static uint64_t bytes_of(const struct blk_request *request)
{
    uint64_t bytes = request->bytes;

    for (uint16_t i = 0; i < request->range_count; i++)
        bytes += request->ranges[i].length;
    return bytes;
}

/* Tells the driver how a request has ended, and forgets it. */
static void complete(struct blk_queue *queue, struct virtqueue *virtqueue, struct blk_request *request)
{
    int is_good = request->status_value == VIRTIO_BLK_S_OK;
    uint32_t written = is_good ? request->written : request->written_at_least;

    if (is_good)
        count_request(queue->counters, request, bytes_of(request));
    *request->status = (uint8_t)request->status_value;
    CRASH_POINT(CRASH_BEFORE_USED, 1);
    request->next = queue->free;
    queue->free = request;
    if (FAULT(FAULT_DROPS))
        return;
    virtqueue_complete(virtqueue, request->head, written);
    if (FAULT(FAULT_COMPLETES_TWICE)) {
        virtqueue->in_flight[request->head / 64] |= UINT64_C(1) << (request->head % 64);
        virtqueue_complete(virtqueue, request->head, written);
    }
}

/* The request's next I/O, or its end. Returns whether the back end has it now. */
static int go_on(struct blk_queue *queue, struct virtqueue *virtqueue, struct blk_request *request)
{
    if (blk_request_step(request, queue->disk, queue->bounce)) {
        queue->backend.ops->begin(queue->backend.state, &request->io);
        queue->in_flight++;
        return 1;
    }
    complete(queue, virtqueue, request);
    return 0;
}

/* There is one bounce buffer, since hardly anybody needs it. */
static void give_bounce(struct blk_queue *queue, struct virtqueue *virtqueue)
{
    while (queue->bouncing == NULL && queue->waiting != NULL) {
        struct blk_request *request = queue->waiting;

        queue->waiting = request->next;
        queue->bouncing = request;
        count(&queue->counters->bounced, 1);
        if (!go_on(queue, virtqueue, request))
            queue->bouncing = NULL;
    }
}

static void queue_for_bounce(struct blk_queue *queue, struct blk_request *request)
{
    struct blk_request **last = &queue->waiting;

    while (*last != NULL)
        last = &(*last)->next;
    request->next = NULL;
    *last = request;
}

/* Takes a chain and begins with it. Returns as virtqueue_pop(). */
static int take(struct blk_queue *queue, struct virtqueue *virtqueue)
{
    struct blk_request *request;
    int is_replay = virtqueue_replays_left(virtqueue) > 0;
    int popped, parsed;

    popped = virtqueue_pop(virtqueue, queue->chain);
    if (popped <= 0)
        return popped;
    CRASH_POINT(CRASH_AFTER_POP, 1);
    count(&queue->counters->replayed, (uint64_t)is_replay);
    request = take_place(queue);
    parsed = blk_request_parse(request, queue->chain, queue->disk);
    if (parsed < 0)
        return parsed;
    if (parsed == 0) {
        count(&queue->counters->refused, request->status_value != VIRTIO_BLK_S_OK);
        complete(queue, virtqueue, request);
    } else if (request->bounced) {
        queue_for_bounce(queue, request);
        give_bounce(queue, virtqueue);
    } else {
        go_on(queue, virtqueue, request);
    }
    return 1;
}

static void note_failure(struct blk_queue *queue, const struct blk_request *request, int error, struct wakeup *wakeup)
{
    uint64_t now = monotonic_ns();

    queue->failure = (struct blk_failure){
        .error = (uint32_t)-error,
        .type = request->type,
        .sector = request->io.offset / BLK_SECTOR_BYTES,
        .at_ns = now,
    };
    count(&queue->counters->failed, 1);
    count(&queue->counters->out_of_space, error == -ENOSPC);
    if (queue->told_ns == 0 || now - queue->told_ns >= TELL_EVERY_NS) {
        queue->told_ns = now;
        wakeup->tell_control = 1;
    }
}

/* Goes on with, or completes, what the back end has done. Without a descriptor to wait for, one at a time. */
static void reap(struct blk_queue *queue, struct virtqueue *virtqueue, struct wakeup *wakeup)
{
    uint32_t most = queue->backend.wait_fd < 0 ? 1 : BLK_QUEUE_SIZE_MAX;
    struct disk_io *io;

    while (most-- > 0 && (io = queue->backend.ops->reap(queue->backend.state)) != NULL) {
        struct blk_request *request = (struct blk_request *)(void *)io; /* its first member */
        int error = blk_request_advance(request, queue->bounce);

        queue->in_flight--;
        if (error < 0) {
            note_failure(queue, request, error, wakeup);
            request->status_value = VIRTIO_BLK_S_IOERR;
            complete(queue, virtqueue, request);
        } else if (go_on(queue, virtqueue, request)) {
            continue;
        }
        if (queue->bouncing == request) {
            queue->bouncing = NULL;
            give_bounce(queue, virtqueue);
        }
    }
}

/* What there is to wait for while something is in flight. */
static int wait_for_backend(const struct blk_queue *queue, struct wakeup *wakeup, int when_waiting)
{
    if (queue->backend.wait_fd < 0)
        return DEVICE_AGAIN;
    wakeup->fd = queue->backend.wait_fd;
    return when_waiting;
}

static int submit(struct blk_queue *queue)
{
    int result = queue->backend.ops->submit(queue->backend.state);

    CRASH_POINT(CRASH_AFTER_SUBMIT, queue->in_flight > 0);
    return result;
}

static int process(void *device, struct virtqueue *virtqueue, struct wakeup *wakeup)
{
    struct blk_queue *queue = device;
    int popped = 1, left, more = 0;

    reap(queue, virtqueue, wakeup);
    for (uint16_t i = 0; i < virtqueue->num && popped > 0; i++)
        popped = take(queue, virtqueue);
    left = submit(queue);
    /* What the page cache has is there already; what it had a part of only goes on. */
    if (left >= 0 && queue->backend.wait_fd >= 0) {
        reap(queue, virtqueue, wakeup);
        more = submit(queue);
    }
    if (left < 0 || more < 0)
        return left < 0 ? left : more;
    if (popped < 0)
        return popped;
    if (popped > 0 || left > 0 || more > 0)
        return DEVICE_AGAIN;
    return queue->in_flight > 0 ? wait_for_backend(queue, wakeup, DEVICE_IDLE) : DEVICE_IDLE;
}

static int stop(void *device, struct virtqueue *virtqueue, struct wakeup *wakeup)
{
    struct blk_queue *queue = device;
    int popped = 1, submitted;

    /* What a predecessor had taken is taken: where the ring goes on is told by what is completed. */
    while (popped > 0 && virtqueue_replays_left(virtqueue) > 0)
        popped = take(queue, virtqueue);
    if (popped < 0)
        return popped;
    reap(queue, virtqueue, wakeup);
    submitted = submit(queue);
    if (submitted < 0)
        return submitted;
    if (submitted > 0)
        return DEVICE_AGAIN;
    return queue->in_flight > 0 ? wait_for_backend(queue, wakeup, DEVICE_BLOCKED) : DEVICE_IDLE;
}

/* Nothing is completed: the driver has made a mistake, and resets the device. */
static int drain(void *device, struct virtqueue *virtqueue, struct wakeup *wakeup)
{
    struct blk_queue *queue = device;
    int submitted = queue->backend.ops->submit(queue->backend.state);

    (void)virtqueue;
    if (submitted < 0)
        return submitted;
    while (queue->in_flight > 0 && queue->backend.ops->reap(queue->backend.state) != NULL)
        queue->in_flight--;
    if (queue->in_flight > 0)
        return submitted > 0 ? DEVICE_AGAIN : wait_for_backend(queue, wakeup, DEVICE_BLOCKED);
    return DEVICE_IDLE;
}

const struct device_ops blk_ops = {.process = process, .stop = stop, .drain = drain};
