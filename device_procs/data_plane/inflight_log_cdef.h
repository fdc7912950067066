/*
 * The in-flight log of a queue whose requests end out of order: which chains the device has, in which order it took
 * them. Laid out as vhost-user's inflight region of a split virtqueue. Main owns the memory (a memfd) and gives it to
 * each process of a device in turn; what is in it was written by a process that may have been hostile.
 * Read by cffi and included by C.
 */

#define INFLIGHT_VERSION 1
#define INFLIGHT_HEADER_BYTES 16
#define INFLIGHT_ENTRY_BYTES 16
#define INFLIGHT_ALIGNMENT 64 /* of each queue's part of the memory */
/* No device lives to take more; a counter above it was never counted. */
#define INFLIGHT_COUNTER_MAX 0x3fffffffffffffff

struct inflight_entry {
    uint8_t inflight; /* 1: the device has the chain with this head */
    uint8_t padding[5];
    uint16_t next;    /* of the last batch: there is one chain in it, so nothing follows */
    uint64_t counter; /* of all chains that were taken, in their order */
};

struct inflight_log {
    uint64_t features; /* none yet */
    uint16_t version;  /* 0: main has cleared it, for a driver that begins */
    uint16_t desc_num; /* the queue size */
    uint16_t last_batch_head; /* the chain that was completed last, written before used.idx */
    uint16_t used_idx;        /* what used.idx was when that was wholly written down */
    struct inflight_entry entries[];
};

/*
 * Maps the log of a queue in the file behind fd, which has one for each of `queues`, all of the same size.
 * Returns NULL with errno; EINVAL for a file that isn't divided so.
 */
struct inflight_log *inflight_log_map(int fd, uint32_t queues, uint32_t index);
/* How many entries the log of a queue has room for, in a file of so many bytes for so many queues. */
uint64_t inflight_log_room(uint64_t file_bytes, uint32_t queues);

/* The steps of a chain's life, in this order; a process may die between any two stores. */
void inflight_log_take(struct inflight_log *log, uint16_t head, uint64_t counter);
void inflight_log_before_used(struct inflight_log *log, uint16_t head);
void inflight_log_after_used(struct inflight_log *log, uint16_t head, uint16_t used_idx);

/* Begins an empty one. */
void inflight_log_begin(struct inflight_log *log, uint16_t num, uint16_t used_idx);
/*
 * Checks what a predecessor has left, mends the step that it may have died in, and lists the heads that it had, the
 * first taken first. used_idx is the used ring's, outstanding how many chains the driver has given since.
 * Returns their number, with *counter the last one counted; or a virtqueue_error if it can't be true.
 */
int inflight_log_recover(struct inflight_log *log, uint16_t num, uint16_t used_idx, uint16_t outstanding,
                         uint16_t *heads, uint64_t *counter);
