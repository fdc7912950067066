/*
 * The disk's queues (virtio 1.2, 5.2.6): what the driver asks for, checked and turned into what a back end does.
 * Read by cffi and included by C; the data plane's headers and backend_cdef.h come first.
 */

#define BLK_QUEUE_SIZE_MAX 256
#define BLK_SECTOR_BYTES 512
#define BLK_SEGMENTS_MAX 254 /* a ring's worth, without header and status */
#define BLK_RANGES_MAX 32    /* of one DISCARD or WRITE_ZEROES */
#define BLK_RANGE_SECTORS_MAX 4194304 /* 2 GiB */
#define BLK_ID_BYTES 20
#define BLK_BOUNCE_BYTES 262144
#define BLK_RETRIES_MAX 1000

/* Feature bits (virtio 1.2, 5.2.3) */
#define VIRTIO_BLK_F_SEG_MAX 2
#define VIRTIO_BLK_F_RO 5
#define VIRTIO_BLK_F_BLK_SIZE 6
#define VIRTIO_BLK_F_FLUSH 9
#define VIRTIO_BLK_F_TOPOLOGY 10
#define VIRTIO_BLK_F_MQ 12
#define VIRTIO_BLK_F_DISCARD 13
#define VIRTIO_BLK_F_WRITE_ZEROES 14

/* Request types and status (5.2.6) */
#define VIRTIO_BLK_T_IN 0
#define VIRTIO_BLK_T_OUT 1
#define VIRTIO_BLK_T_FLUSH 4
#define VIRTIO_BLK_T_GET_ID 8
#define VIRTIO_BLK_T_DISCARD 11
#define VIRTIO_BLK_T_WRITE_ZEROES 13
#define VIRTIO_BLK_S_OK 0
#define VIRTIO_BLK_S_IOERR 1
#define VIRTIO_BLK_S_UNSUPP 2

/* What all queues of a disk have in common, fixed when it is made but for the driver's features. */
struct blk_disk {
    uint64_t capacity_sectors;
    uint32_t block_bytes;      /* requests are multiples of it: 512, more where O_DIRECT needs more */
    uint32_t memory_alignment; /* of buffers, for O_DIRECT; 1 without */
    uint32_t read_only;
    uint32_t durable_writes; /* FLUSH isn't negotiated: a write is on the medium when it is completed */
    uint8_t id[20];
};

struct blk_range {
    uint64_t offset;
    uint64_t length;
    uint32_t operation; /* disk_operation: punched or zeroed */
};

/* One request from its pop to its completion; in between a back end may have its io. */
struct blk_request {
    struct disk_io io;
    uint8_t *status; /* in the guest's memory */
    uint32_t type;
    uint32_t status_value; /* what it comes to */
    uint32_t written;      /* into the chain from its first byte on, if it comes to OK */
    uint32_t written_at_least; /* the same if it doesn't: the status, where nothing lies before it */
    uint16_t head;
    uint16_t segment_count;
    uint16_t segment_next; /* those before it are done */
    uint16_t range_count;
    uint16_t range_next;
    uint16_t bounced;     /* goes through the bounce buffer */
    uint16_t retries;     /* of what the host couldn't do at the moment */
    uint32_t is_flushed;
    uint64_t offset;      /* where the next byte goes */
    uint64_t left;        /* bytes */
    uint64_t bytes;       /* of a read or write */
    struct blk_request *next;
    struct chain_segment own_segment; /* of a bounced request, and of zeroes */
    struct blk_range ranges[BLK_RANGES_MAX];
    struct chain_segment segments[BLK_SEGMENTS_MAX];
};

/* Counted by the worker only, read by control thread and main at any time; module.py has the same names. */
struct blk_counters {
    uint64_t reads;
    uint64_t writes;
    uint64_t flushes;
    uint64_t discards;
    uint64_t write_zeroes;
    uint64_t read_bytes;
    uint64_t written_bytes;
    uint64_t discarded_bytes;
    uint64_t zeroed_bytes;
    uint64_t refused;  /* requests that can't be: out of range, unaligned, unknown, writes to what is read-only */
    uint64_t failed;   /* that the host failed */
    uint64_t out_of_space; /* of these, for want of room */
    uint64_t bounced;  /* that took a copy, for O_DIRECT */
    uint64_t replayed; /* that a predecessor had in flight */
};

/* The last request that the host failed. */
struct blk_failure {
    uint32_t error; /* errno; 0 while there was none */
    uint32_t type;
    uint64_t sector;
    uint64_t at_ns;
};

struct blk_queue {
    const struct blk_disk *disk;
    struct disk_backend backend;
    struct blk_counters *counters; /* its own, until main is to see them */
    struct blk_failure failure;
    uint32_t in_flight;
    uint64_t told_ns; /* when the control thread was last told of failures */
    uint32_t fresh;               /* so many places of requests have ever been used: the others cost no memory */
    struct blk_request *free;     /* of those, the last used first */
    struct blk_request *waiting;  /* for the bounce buffer */
    struct blk_request *bouncing; /* who has it */
    struct blk_request *requests; /* all places */
    struct descriptor_chain *chain;
    uint8_t *bounce; /* BLK_BOUNCE_BYTES; NULL if it can't be needed */
};

extern const struct device_ops blk_ops;

/* Makes a queue; its memory lives as long as the process. The back end is set by the caller. Returns 0 or -errno. */
int blk_queue_init(struct blk_queue *queue, const struct blk_disk *disk);
/* Forgets a driver's requests after a reset; nothing is in flight. */
void blk_queue_reset(struct blk_queue *queue);

/*
 * Turns a chain into a request (blk_request.c). Returns 1 if there is something to do, 0 if status_value is all there
 * is to say, or a virtqueue_error for a chain that has no header or no place for a status.
 */
int blk_request_parse(struct blk_request *request, const struct descriptor_chain *chain, const struct blk_disk *disk);
/* Puts what is to be done next into request->io (blk_steps.c). Returns 0 if there is nothing left to do. */
int blk_request_step(struct blk_request *request, const struct blk_disk *disk, uint8_t *bounce);
/* Takes note of what the io has come to. Returns 0 or the -errno with which the request fails. */
int blk_request_advance(struct blk_request *request, uint8_t *bounce);
