/* A device without its process: what each device's standalone_device.c makes for standalone_program.c. */
#ifndef STANDALONE_DEVICE_H
#define STANDALONE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/inflight_log_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"
#include "device_procs/data_plane/device_ops_cdef.h"
#include "device_procs/data_plane/worker_cdef.h"

/* One set of its queues, which one worker serves. */
struct standalone_device {
    const struct device_ops *ops;
    void *device;
    uint32_t queues;
    int completes_in_order;
    void (*reset)(void *device); /* as its device.py does, when nothing runs; NULL for nothing */
};

/*
 * Called for each set in turn, from 0 on, until there are as many queues as the device has. The arguments are those
 * that well_formed_requests.py gives as `standalone`. Returns 0 or -errno.
 */
int standalone_device_make(struct standalone_device *made, uint32_t set, int count, char **arguments);

#endif
