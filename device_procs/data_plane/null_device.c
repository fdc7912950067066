/* The least that a device can do: what tools/bench doorbell measures. */
#include <stddef.h>
#include <stdint.h>

#include "black_box_cdef.h"
#include "guest_memory_cdef.h"
#include "virtqueue_cdef.h"
#include "device_ops_cdef.h"
#include "null_device_cdef.h"

static int process(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    struct null_device *null = device;

    (void)wakeup;
    for (uint16_t i = 0; i < queue->num; i++) {
        int popped = virtqueue_pop(queue, &null->chain);

        if (popped <= 0)
            return popped;
        virtqueue_complete(queue, null->chain.head, 0);
    }
    return DEVICE_AGAIN;
}

static int stop(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    (void)device;
    (void)queue;
    (void)wakeup;
    return DEVICE_IDLE;
}

const struct device_ops null_device_ops = {.process = process, .stop = stop};
