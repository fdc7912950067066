/* A device that does what it is told, for showing what its profile stops. Read by cffi and included by C. */

#define TOLD_CONTROL 0 /* what make the call: the thread that is told, at once */
#define TOLD_WORKER 1  /* the worker, at its next kick */

#define TOLD_ABORT 100001   /* instead of a call's number */
#define TOLD_BAD_READ 100002/* reads an address where nothing is */
#define TOLD_SCRATCH 0xfeedf00d00000000 /* + n as an argument: byte n of the scratch memory */

struct told_call {
    int64_t number;
    uint64_t arguments[6];
};

struct told {
    struct told_call worker_call;
    int64_t control_result;
    int64_t worker_result;
    int32_t worker_is_told;
    uint8_t scratch[256];
};

/* Makes a call; a process that it makes ends at once. Returns the result or -errno. */
int64_t told_make_call(struct told *told, const struct told_call *call);
/* A struct device_ops. */
const void *told_ops(void);
