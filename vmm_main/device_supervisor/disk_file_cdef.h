/* What main asks of a disk's image when it opens it. Read by cffi and included by C. */

struct disk_file {
    uint32_t kind;                 /* S_IFMT of its mode */
    uint64_t bytes;                /* of a file its size, of a block device the device's */
    uint32_t logical_block_bytes;  /* of a block device; 512 otherwise */
    uint32_t physical_block_bytes; /* what it writes at once */
    uint32_t read_only;            /* a block device that is write-protected */
    /* For O_DIRECT, where the descriptor has it; 0 where it isn't possible. */
    uint32_t memory_alignment;
    uint32_t offset_alignment;
};

/* Looks at what fd is open on. Returns 0 or -errno. */
int disk_file_look(int fd, struct disk_file *found);

/*
 * Locks the whole file for as long as this open file description lives, alone (exclusive) or among others who only
 * read; tries again for patience_ms. Returns 0, -EAGAIN if somebody keeps it, or -errno.
 */
int disk_file_lock(int fd, int exclusive, int patience_ms);
