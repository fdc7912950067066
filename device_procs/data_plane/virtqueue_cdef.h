/*
 * The device's side of a split virtqueue (virtio 1.2, 2.7), with VIRTIO_F_INDIRECT_DESC and VIRTIO_F_EVENT_IDX.
 * Read by cffi and included by C; guest_memory_cdef.h and black_box_cdef.h come first, and inflight_log_cdef.h
 * where there is a log.
 */

struct inflight_log;

#define VIRTQUEUE_SIZE_MAX 1024
#define CHAIN_SEGMENTS_MAX 1024 /* the kernel's IOV_MAX */

/* Feature bits (virtio 1.2, 6) that this understands. */
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX 29
#define VIRTIO_F_VERSION_1 32

/* Mistakes of the driver: values, not faults of the host. virtqueue_error_text() has them in words. */
enum virtqueue_error {
    VIRTQ_BAD_SIZE = -5001,
    VIRTQ_BAD_ALIGNMENT = -5002,
    VIRTQ_RING_NOT_IN_RAM = -5003,
    VIRTQ_WRONG_BASE = -5004,
    VIRTQ_AVAIL_JUMPED = -5005,
    VIRTQ_HEAD_TOO_HIGH = -5006,
    VIRTQ_HEAD_IN_FLIGHT = -5007,
    VIRTQ_NEXT_TOO_HIGH = -5008,
    VIRTQ_CHAIN_TOO_LONG = -5009,
    VIRTQ_CHAIN_TOO_BIG = -5010,
    VIRTQ_BUFFER_NOT_IN_RAM = -5011,
    VIRTQ_READABLE_AFTER_WRITABLE = -5012,
    VIRTQ_INDIRECT_NOT_NEGOTIATED = -5013,
    VIRTQ_INDIRECT_WITH_NEXT = -5014,
    VIRTQ_INDIRECT_NESTED = -5015,
    VIRTQ_INDIRECT_BAD_LENGTH = -5016,
    VIRTQ_INDIRECT_NOT_IN_RAM = -5017,
    /* For devices: the chain is well formed, but not what this device's queue takes. */
    VIRTQ_WRONG_DIRECTION = -5018,
    VIRTQ_NO_ROOM = -5019,
    VIRTQ_NO_HEADER = -5020,
    /* No mistake of the driver's: what a predecessor has left in the in-flight log can't be true. */
    VIRTQ_LOG_BAD_HEADER = -5021,
    VIRTQ_LOG_BAD_INDEX = -5022,
    VIRTQ_LOG_BAD_ENTRY = -5023,
    VIRTQ_LOG_BAD_COUNTER = -5024,
    VIRTQ_LOG_TOO_MANY = -5025,
    VIRTQ_RINGS_OVERLAP = -5026,
    VIRTQ_ERROR_LAST = -5026
};

/* The same layout as struct iovec. */
struct chain_segment {
    uint8_t *host;
    size_t length;
};

/* A descriptor chain, copied and checked: first what the device may read, then what it may write. */
struct descriptor_chain {
    uint16_t head;
    uint16_t readable_count;
    uint16_t writable_count;
    uint32_t readable_bytes;
    uint32_t writable_bytes;
    struct chain_segment segments[CHAIN_SEGMENTS_MAX];
};

struct virtqueue {
    const struct guest_memory *memory;
    struct black_box_queue *counters;
    const uint8_t *desc;
    const uint8_t *avail;
    uint8_t *used;
    uint32_t index;
    uint16_t num;
    uint16_t next_avail;     /* the next entry of the available ring to look at */
    uint16_t next_used;      /* what used.idx is, or is about to become */
    uint16_t signalled_used; /* next_used when the driver was last told */
    uint8_t signalled_known; /* whether that is known: not after a start */
    uint8_t indirect;
    uint8_t event_idx;
    uint64_t in_flight[16]; /* a bit for each head that is popped and not completed */
    /* Of a queue whose chains end out of order. */
    struct inflight_log *log; /* NULL for one that completes in order */
    uint64_t counter;         /* of chains that were popped */
    uint16_t replay_next;     /* of what a predecessor had: the next to be popped again */
    uint16_t replay_count;
    uint16_t replays[1024]; /* heads, the first popped first */
};

/* Where the driver has put a queue. */
struct virtqueue_addresses {
    uint16_t num;
    uint64_t desc_gpa;
    uint64_t avail_gpa;
    uint64_t used_gpa;
};

/* A queue that hasn't been started. */
void virtqueue_init(struct virtqueue *queue);

/*
 * Makes the queue ready to be popped. base is the next available entry, which a drained queue has in common with
 * used.idx; below 0 it is unknown, and a device that completes in order resumes from used.idx. Returns 0 or a
 * virtqueue_error.
 */
int virtqueue_start(struct virtqueue *queue, const struct guest_memory *memory, struct black_box_queue *counters,
                    uint32_t index, const struct virtqueue_addresses *addresses, uint64_t features, int base);

/*
 * Has a queue that is started, but not popped yet, keep the log from now on. Where its base was given it begins a new
 * one; otherwise (resume) it takes up what a predecessor had in flight: virtqueue_pop() gives that again, in the order
 * of old, and then what is available. Returns 0 or a virtqueue_error.
 */
int virtqueue_keep_log(struct virtqueue *queue, struct inflight_log *log, int resume);

/* How many chains of a predecessor's are still to be popped again. */
uint16_t virtqueue_replays_left(const struct virtqueue *queue);

/* Takes the next chain. Returns 1, or 0 if there is none, or a virtqueue_error. */
int virtqueue_pop(struct virtqueue *queue, struct descriptor_chain *chain);

/* Puts the chain that was popped last back, as if it had never been popped. */
void virtqueue_undo_pop(struct virtqueue *queue, const struct descriptor_chain *chain);

/* Completes a popped chain, of which the device has written the first `written` bytes. Each chain exactly once. */
void virtqueue_complete(struct virtqueue *queue, uint16_t head, uint32_t written);

/* The number of popped chains that aren't completed. */
uint32_t virtqueue_in_flight(const struct virtqueue *queue);

/* Whether what was completed since the last call asks for a used buffer notification (virtio 1.2, 2.7.7). */
int virtqueue_needs_signal(struct virtqueue *queue);

/*
 * Asks the driver for a kick at its next available entry, and returns whether there is one already: then none may
 * come. The counterpart saves the driver kicks while the queue is being looked at anyway.
 */
int virtqueue_enable_kicks(struct virtqueue *queue);
void virtqueue_disable_kicks(struct virtqueue *queue);

/* A virtqueue_error in words, or NULL for any other number. */
const char *virtqueue_error_text(int error);
