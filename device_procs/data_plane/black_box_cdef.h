/*
 * The black box: two pages per device process, owned by main (a memfd), written by the process, read by main after its
 * death and for heartbeats. Main takes nothing in it on trust. Read by cffi of both extensions and included by C.
 */

#define BLACK_BOX_BYTES 8192
#define BLACK_BOX_MAGIC 0x5842424b /* "KBBX" */
#define BLACK_BOX_QUEUES 64
#define BLACK_BOX_DEVICE_COUNTERS 224

/* Which thread wrote a report. */
#define BLACK_BOX_NO_THREAD 0
#define BLACK_BOX_CONTROL_THREAD 1
#define BLACK_BOX_WORKER_THREAD 2 /* + its number */

/* Stages of a start and of a life, in order (device_state.py names them). */
#define STAGE_CLONED 1
#define STAGE_JAILED 2
#define STAGE_CERTIFIED 3
#define STAGE_CONFIGURED 4
#define STAGE_WORKERS_STARTED 5
#define STAGE_FILTERED 6
#define STAGE_READY 7

struct black_box_queue {
    uint64_t popped;    /* chains taken from the available ring */
    uint64_t completed; /* chains given back through the used ring */
    uint64_t kicks;     /* times the kick eventfd was read */
    uint64_t signals;   /* times the call eventfd was written */
    /* Of the worker that serves it, in the first of the queues that the worker serves. */
    uint64_t turns;      /* odd while it is at work, even while it waits; counts on at either's beginning */
    uint64_t host_calls; /* odd while it is in a call that the host may make last; counts on at either end */
    uint64_t worker;     /* the number of its worker */
    uint64_t unused;
};

struct black_box {
    uint32_t magic;
    uint32_t stage;           /* STAGE_*, the last one reached */
    uint32_t refused_thread;  /* BLACK_BOX_*_THREAD, 0 while no call was refused */
    uint32_t refused_syscall; /* its number */
    uint32_t refused_arch;    /* AUDIT_ARCH_* */
    uint32_t crash_point;     /* of a fault build: the last one passed */
    uint64_t refused_rip;
    uint64_t refused_args[6];
    uint32_t fault_signal; /* SIGSEGV and its like, where a handler could write it */
    uint32_t fault_thread;
    uint64_t fault_rip;
    uint64_t fault_address;
    uint32_t crash_armed;  /* of a fault build, written by the test: where to crash next */
    uint32_t fault_sent;   /* whether it wasn't a fault of its own, but sent by a process outside of its namespace */
    uint64_t python_calls; /* times the data path entered Python: stays 0 */
    uint64_t unused;       /* so that each queue has a cache line: workers count side by side */
    struct black_box_queue queues[BLACK_BOX_QUEUES];
    uint64_t device_counters[BLACK_BOX_DEVICE_COUNTERS]; /* of each queue in turn, as the device's module names them */
};
