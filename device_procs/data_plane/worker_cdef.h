/*
 * A worker: the thread that serves a set of queues, and how the control thread speaks with it. Read by cffi and
 * included by C; device_ops_cdef.h comes first.
 */

#define WORKER_QUEUES_MAX 8

enum worker_queue_state { WORKER_QUEUE_STOPPED = 0, WORKER_QUEUE_RUNNING = 1, WORKER_QUEUE_FAILED = 2 };

struct worker_queue {
    struct virtqueue virtqueue; /* the control thread's while STOPPED, else the worker's */
    int32_t kick_fd; /* an eventfd, best one that blocks: then a wait is one system call */
    int32_t call_fd;
    uint32_t signal_first; /* a predecessor may have completed without a signal: give one after the first scan */
    uint32_t wanted;       /* written by the control thread: 1 for RUNNING, 0 for STOPPED; then it kicks */
    uint32_t state;        /* written by the worker: worker_queue_state */
    int32_t error;         /* why it is FAILED */
};

struct worker {
    const struct device_ops *ops;
    void *device;
    struct black_box_queue *life; /* where it counts its turns and its calls of the host; NULL: nowhere */
    const char *profile; /* its seccomp profile */
    struct worker_queue queues[WORKER_QUEUES_MAX];
    uint32_t count;
    uint32_t number;    /* from 0, for the thread's name and the black box */
    int32_t report_fd; /* an eventfd, written when a queue has stopped or failed */
    uint32_t quit;
    uint64_t thread;
};

/*
 * Fill in ops, device, life, profile, number, report_fd, count and the queues' descriptors between the two;
 * worker_start() returns once the thread runs under its filter, 0 or -errno.
 */
void worker_init(struct worker *worker);
int worker_start(struct worker *worker);
/* Ends the thread between two requests, and waits for it. */
void worker_deinit(struct worker *worker);

/* Asks for a queue to run (its virtqueue is started) or to stop; state and report_fd tell when it has. */
void worker_want(struct worker *worker, uint32_t queue, int running);
/* A queue's state now, and why it failed. */
uint32_t worker_state(const struct worker *worker, uint32_t queue);
int worker_error(const struct worker *worker, uint32_t queue);

uint64_t monotonic_ns(void);
