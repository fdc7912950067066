/*
 * A disk's back end: what reads and writes the image. It knows a file and nothing of virtio. A table of operations, so
 * that another one goes in its place. Read by cffi and included by C; virtqueue_cdef.h comes first.
 */

enum disk_operation { DISK_READ = 0, DISK_WRITE = 1, DISK_FLUSH = 2, DISK_PUNCH = 3, DISK_ZERO = 4 };

/* One thing to do with the image. Whoever asks for it keeps it, and what it points at, until it is reaped. */
struct disk_io {
    uint32_t operation;
    uint32_t durable; /* a DISK_WRITE is on the medium when it has ended */
    const struct chain_segment *segments;
    uint32_t segment_count;
    int32_t result; /* once reaped: the bytes that were read or written (at most 2^31 - 1), 0, or -errno */
    uint64_t offset;
    uint64_t length; /* of DISK_PUNCH and DISK_ZERO; of the others the segments' sum */
    struct disk_io *next; /* the back end's own */
};

/* All are called by one thread. */
struct disk_backend_ops {
    /* Takes one to do; no more at a time than the back end was made for. */
    void (*begin)(void *state, struct disk_io *io);
    /* Has what was begun done, but doesn't wait for it. Returns 0, 1 if it is to be called again, or -errno. */
    int (*submit)(void *state);
    /* The next that has ended, or NULL. Without a wait_fd this is where it is done, however long it takes. */
    struct disk_io *(*reap)(void *state);
};

struct disk_backend {
    const struct disk_backend_ops *ops;
    void *state;
    int32_t wait_fd; /* readable when there is something to reap; -1: reap() does the work itself */
};

/*
 * io_uring, restricted to these operations on this one file. Its memory is never freed: it lives as long as the
 * process. The ring itself, and what it has begun, may live a little longer: it holds last_io_fd (if that isn't -1) to
 * the end. Returns 0, or -errno where the host doesn't have it.
 */
int disk_uring_init(struct disk_backend *backend, int32_t fd, int32_t last_io_fd, uint32_t depth);
/* preadv2() and its like, one after the other. Returns 0 or -errno. */
int disk_sync_init(struct disk_backend *backend, int32_t fd);
