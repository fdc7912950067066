/*
 * A device with a bug, for the harness to find: it takes the length of its answer from the guest, and writes to the
 * guest's buffer as much as that says. Only for one type of request.
 */
#include <string.h>

#include "tests/fuzz/harness/fuzzed_device.h"

static struct descriptor_chain chain;

static void answer(const struct chain_segment *question, const struct chain_segment *room)
{
    if (question->length < 4 || question->host[0] != 13)
        return;
    memset(room->host, 0, question->host[1] * (size_t)32);
}

static int process(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    int popped = virtqueue_pop(queue, &chain);

    (void)device;
    (void)wakeup;
    if (popped <= 0)
        return popped;
    if (chain.readable_count > 0 && chain.writable_count > 0)
        answer(&chain.segments[0], &chain.segments[chain.readable_count]);
    virtqueue_complete(queue, chain.head, 0);
    return DEVICE_AGAIN;
}

static int stop(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    (void)device;
    (void)queue;
    (void)wakeup;
    return DEVICE_IDLE;
}

static void *make(const struct step *options)
{
    (void)options;
    return &chain;
}

static void request(const struct step *step, struct plain_request *request)
{
    request->header_bytes = 8;
    memcpy(request->header, &step->d, 8);
    request->writable_bytes = 16;
}

static const struct device_ops trap_ops = {.process = process, .stop = stop};

const struct fuzzed_device fuzzed_device = {.ops = &trap_ops, .num_max = 64, .make = make, .request = request};
