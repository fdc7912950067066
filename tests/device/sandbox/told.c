#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"
#include "device_procs/data_plane/device_ops_cdef.h"
#include "tests/device/sandbox/told_cdef.h"

int64_t told_make_call(struct told *told, const struct told_call *call)
{
    uint64_t a[6];

    for (size_t i = 0; i < 6; i++) {
        uint64_t argument = call->arguments[i];
        a[i] = (argument >> 32) == (TOLD_SCRATCH >> 32) ? (uint64_t)&told->scratch[argument & 0xff] : argument;
    }
    if (call->number == TOLD_ABORT)
        abort();
    if (call->number == TOLD_BAD_READ)
        return *(volatile int *)(uintptr_t)call->arguments[0];
    long result = syscall((long)call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result == 0 && (call->number == SYS_clone || call->number == SYS_clone3))
        syscall(SYS_exit_group, 0); /* the new process */
    return result < 0 ? -errno : result;
}

static int process(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    struct told *told = device;

    (void)queue;
    (void)wakeup;
    if (told->worker_is_told) {
        told->worker_is_told = 0;
        told->worker_result = told_make_call(told, &told->worker_call);
    }
    return DEVICE_IDLE;
}

static int stop(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    (void)device;
    (void)queue;
    (void)wakeup;
    return DEVICE_IDLE;
}

static const struct device_ops ops = {.process = process, .stop = stop};

const void *told_ops(void)
{
    return &ops;
}
