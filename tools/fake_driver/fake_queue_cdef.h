/*
 * The driver's side of one split virtqueue (virtio 1.2, 2.7), with its kick and call eventfds. Read by cffi and
 * included by C.
 */
#define FAKE_QUEUE_SIZE_MAX 1024

struct fake_queue {
    uint8_t *memory; /* where guest-physical 0 is mapped */
    uint64_t desc_gpa;
    uint64_t avail_gpa;
    uint64_t used_gpa;
    uint16_t num;
    uint16_t avail_idx; /* as last published */
    uint16_t kicked_idx; /* as of the last decision whether to kick */
    uint16_t used_seen;
    uint8_t event_idx;
    int32_t kick_fd;
    int32_t call_fd;
    uint8_t offered[FAKE_QUEUE_SIZE_MAX]; /* heads that the device has */
    uint64_t kicks;
    uint64_t calls;
    /* Of fake_queue_run(): when it took the first completion behind marked_idx of the used ring. */
    uint16_t marked_idx;
    uint8_t is_marked;      /* set by another thread, last; cleared once passed_ns is known */
    uint64_t passed_ns;     /* by CLOCK_MONOTONIC */
};

/* Lays out empty rings; the caller has cleared the memory, or there may be a device already. */
void fake_queue_init(struct fake_queue *queue, uint8_t *memory, uint16_t num, uint64_t desc_gpa, uint64_t avail_gpa,
                     uint64_t used_gpa, int event_idx, int kick_fd, int call_fd);
/* Makes descriptor i a buffer of `length` bytes at gpa + i * length. */
void fake_queue_fill(struct fake_queue *queue, uint64_t gpa, uint32_t length, int writable);
void fake_queue_set_descriptor(struct fake_queue *queue, uint16_t index, uint64_t gpa, uint32_t length,
                               uint16_t flags, uint16_t next);
/* Puts a chain into the available ring; publish() shows the device all that was put. */
void fake_queue_offer(struct fake_queue *queue, uint16_t head);
void fake_queue_publish(struct fake_queue *queue);
/* Kicks if the device wants it. Returns whether it did. */
int fake_queue_kick(struct fake_queue *queue);
/* A completed chain's head, and what was written; -EAGAIN if there is none, -EPROTO for one that wasn't offered. */
int fake_queue_take(struct fake_queue *queue, uint32_t *written);
/* Asks to be called at the next completion, and returns whether there is one already: then no call may come. */
int fake_queue_ask_for_call(struct fake_queue *queue);
/* Asks to be called at the next completion, and waits for it. Returns 0 or -ETIMEDOUT. */
int fake_queue_wait(struct fake_queue *queue, int timeout_ms);
/*
 * Keeps `depth` chains (of one descriptor each, heads 0 to depth - 1) with the device until `requests` are complete.
 * Returns the sum of the bytes written, or what take() or wait() says.
 */
long fake_queue_run(struct fake_queue *queue, uint64_t requests, uint16_t depth, int timeout_ms);
/*
 * One request after the other: the time from before each kick to its call being read, in ns. Each is kicked, wanted or
 * not, and the call eventfd blocks, as in the bare ping-pong that this is compared with. Returns 0 or -errno.
 */
int fake_queue_doorbell(struct fake_queue *queue, uint64_t *samples_ns, uint32_t count);
