/* The entropy device's one queue: each request is filled from the character device, as far as the rate allows. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "../data_plane/black_box_cdef.h"
#include "../data_plane/guest_memory_cdef.h"
#include "../data_plane/host_call_cdef.h"
#include "../data_plane/virtqueue_cdef.h"
#include "../data_plane/device_ops_cdef.h"
#include "../data_plane/worker_cdef.h"
#include "rng_cdef.h"

/* A source that says it is readable and then has nothing (/dev/hwrng can't be polled) is asked again after this. */
#define RETRY_NS 5000000

void rng_init(struct rng *rng, int fd, uint64_t max_bytes, uint64_t period_ms)
{
    memset(rng, 0, sizeof(*rng));
    rng->fd = fd;
    rng_bucket_init(&rng->bucket, max_bytes, period_ms, monotonic_ns());
}

void rng_forget_request(struct rng *rng)
{
    rng->holds_chain = 0;
    rng->waits_for_rate = 0;
}

/* Counted by the worker only, read by the control thread at any time. */
static void count(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

/* How much the held request gets, if the rate allows; all that it can take, but no more than the bucket can hold. */
static uint32_t request_bytes(const struct rng *rng)
{
    uint32_t bytes = rng->chain.writable_bytes;

    if (bytes > RNG_REQUEST_MAX_BYTES)
        bytes = RNG_REQUEST_MAX_BYTES;
    if (rng->bucket.max_bytes != 0 && bytes > rng->bucket.max_bytes)
        bytes = (uint32_t)rng->bucket.max_bytes;
    return bytes;
}

/* The time at which the rate allows `bytes`: 0 for now. */
static uint64_t rate_allows_ns(struct rng *rng, uint32_t bytes)
{
    uint64_t now, ready;

    if (rng->bucket.max_bytes == 0)
        return 0;
    now = monotonic_ns();
    rng_bucket_fill(&rng->bucket, now, rng->waits_for_rate);
    ready = rng_bucket_ready_ns(&rng->bucket, bytes);
    rng->waits_for_rate = ready > now;
    return ready > now ? ready : 0;
}

/* A descriptor that blocks must not be read before it has something. */
static int source_is_readable(const struct rng *rng)
{
    struct pollfd source = {.fd = rng->fd, .events = POLLIN};
    struct timespec at_once = {.tv_sec = 0};

    return ppoll(&source, 1, &at_once, NULL) > 0;
}

/*
 * Reads up to `bytes` into the chain, segment by segment until one isn't filled: nearly always there is one, and read()
 * is allowed anyway. Returns what read() does, with -errno.
 */
static ssize_t read_source(const struct rng *rng, uint32_t bytes)
{
    size_t done = 0;

    for (uint16_t i = 0; i < rng->chain.writable_count && done < bytes; i++) {
        const struct chain_segment *segment = &rng->chain.segments[i];
        size_t length = segment->length < bytes - done ? segment->length : bytes - done;
        ssize_t got;

        if (length == 0)
            continue;
        if (done > 0 && !source_is_readable(rng))
            break;
        host_call_begins();
        do {
            got = read(rng->fd, segment->host, length);
        } while (got < 0 && errno == EINTR);
        host_call_ends();
        if (got < 0 && done == 0)
            return -errno;
        if (got > 0)
            done += (size_t)got;
        if (got < (ssize_t)length)
            break;
    }
    return (ssize_t)done;
}

/* Fills and completes the held request. Returns DEVICE_AGAIN if it did, DEVICE_BLOCKED, or what is wrong. */
static int fill_request(struct rng *rng, struct virtqueue *queue, struct wakeup *wakeup)
{
    uint32_t bytes = request_bytes(rng);
    uint64_t allowed_ns = rate_allows_ns(rng, bytes);
    ssize_t got;

    if (allowed_ns != 0) {
        count(&rng->rate_waits, 1);
        wakeup->deadline_ns = allowed_ns;
        return DEVICE_BLOCKED;
    }
    if (!source_is_readable(rng)) {
        count(&rng->source_waits, 1);
        wakeup->fd = rng->fd;
        return DEVICE_BLOCKED;
    }
    got = read_source(rng, bytes);
    if (got == -EAGAIN) {
        count(&rng->source_waits, 1);
        wakeup->deadline_ns = monotonic_ns() + RETRY_NS;
        return DEVICE_BLOCKED;
    }
    if (got < 0)
        return (int)got;
    if (got == 0)
        return -ENODATA; /* the end of a file: no rng any more */
    if (rng->bucket.max_bytes != 0)
        rng_bucket_take(&rng->bucket, (uint64_t)got);
    virtqueue_complete(queue, rng->chain.head, (uint32_t)got);
    rng->holds_chain = 0;
    count(&rng->bytes, (uint64_t)got);
    count(&rng->requests, 1);
    return DEVICE_AGAIN;
}

/* Takes a request and holds it. */
static int take_request(struct rng *rng, struct virtqueue *queue)
{
    int popped = virtqueue_pop(queue, &rng->chain);

    if (popped <= 0)
        return popped;
    rng->holds_chain = 1;
    /* "The driver MUST NOT place driver-readable buffers into the queue" (5.4.6.1) */
    if (rng->chain.readable_count > 0)
        return VIRTQ_WRONG_DIRECTION;
    /* "MUST place one or more random bytes into the buffer" (5.4.6.2) */
    return rng->chain.writable_bytes > 0 ? 1 : VIRTQ_NO_ROOM;
}

static int process(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    struct rng *rng = device;

    for (uint16_t i = 0; i < queue->num; i++) {
        int progress = rng->holds_chain ? 1 : take_request(rng, queue);

        if (progress <= 0)
            return progress;
        progress = fill_request(rng, queue, wakeup);
        if (progress != DEVICE_AGAIN)
            return progress;
    }
    return DEVICE_AGAIN;
}

static int stop(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    struct rng *rng = device;

    (void)wakeup;
    if (rng->holds_chain) {
        virtqueue_undo_pop(queue, &rng->chain);
        rng_forget_request(rng);
    }
    return DEVICE_IDLE;
}

const struct device_ops rng_ops = {.process = process, .stop = stop};
