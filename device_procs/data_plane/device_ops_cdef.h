/*
 * What a device does with its queues: the seam between the worker, which knows threads and eventfds, and a device's
 * C, which knows requests. Read by cffi and included by C; virtqueue_cdef.h comes first.
 */

/* How far a device has come with a queue. Below 0: a virtqueue_error, or -errno for a fault of the host. */
enum device_progress {
    DEVICE_IDLE = 0,   /* the available ring is empty; for stop() and drain(): nothing is in flight */
    DEVICE_AGAIN = 1,  /* there is more to do at once */
    DEVICE_BLOCKED = 2 /* there is more to do when what `wakeup` says has come */
};

#define WAKEUP_NEVER_NS 0xffffffffffffffff

/* What to wait for: with DEVICE_BLOCKED for nothing else, with DEVICE_IDLE along with the next kick. */
struct wakeup {
    int32_t fd;            /* wakes when readable; -1 for none */
    uint32_t tell_control; /* the control thread shall look what the device has to report */
    uint64_t deadline_ns;  /* wakes at this time of CLOCK_MONOTONIC, or WAKEUP_NEVER_NS */
};

/*
 * All are called by the queue's worker thread, and never wait. Where the host may take its time all the same (a system
 * call on the back end), the call is between host_call_begins() and host_call_ends() of host_call_cdef.h: a worker that
 * comes to nothing otherwise is taken for hung, and its process is killed.
 */
struct device_ops {
    /* Takes and completes what it can, at most about a ring's worth: other queues and commands have their turn. */
    int (*process)(void *device, struct virtqueue *queue, struct wakeup *wakeup);
    /*
     * Completes or puts back what is in flight, and takes nothing more; called again after a wakeup while it says
     * DEVICE_BLOCKED.
     */
    int (*stop)(void *device, struct virtqueue *queue, struct wakeup *wakeup);
    /*
     * Of a queue that has failed: lets nothing of what it has begun go on, and completes nothing. NULL where there is
     * never anything. DEVICE_BLOCKED or DEVICE_AGAIN: called again.
     */
    int (*drain)(void *device, struct virtqueue *queue, struct wakeup *wakeup);
};
