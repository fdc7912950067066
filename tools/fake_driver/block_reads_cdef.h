/*
 * Reads of a disk through the fake driver's queue (virtio 1.2, 5.2.6): chains of a header, a buffer and a status byte.
 * Read by cffi and included by C; fake_queue_cdef.h comes first.
 */
struct block_reads {
    struct fake_queue *queue;
    uint64_t headers_gpa;  /* 16 bytes for each slot */
    uint64_t statuses_gpa; /* a byte for each */
    uint64_t buffers_gpa;  /* block_bytes for each */
    uint64_t blocks;       /* that the disk has */
    uint32_t block_bytes;
    uint16_t depth;     /* slots; that of number i is the descriptors 3 * i to 3 * i + 2 */
    uint8_t sequential; /* or at random */
    uint64_t state;     /* the next block; or of the random numbers, and not 0 */
};

/* Writes the chains into the queue's descriptor table. Nothing is with the device. */
void block_reads_init(struct block_reads *reads);
/*
 * Keeps all slots with the device until `requests` are complete. Returns 0; -EPROTO for a chain that the device didn't
 * have, or that isn't filled; -EIO for a status other than OK; or what fake_queue_wait() says.
 */
int block_reads_run(struct block_reads *reads, uint64_t requests, int timeout_ms);
