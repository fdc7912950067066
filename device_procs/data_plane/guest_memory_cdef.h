/* The guest's RAM as this process has it mapped. Read by cffi and included by C. */

#define GUEST_MEMORY_REGIONS_MAX 8

struct guest_memory_region {
    uint64_t gpa;
    uint64_t size;
    uint8_t *host; /* where it is mapped */
    uint32_t writable;
};

struct guest_memory {
    uint32_t count;
    struct guest_memory_region regions[GUEST_MEMORY_REGIONS_MAX];
};

void guest_memory_init(struct guest_memory *memory);
void guest_memory_deinit(struct guest_memory *memory);

/*
 * Maps size bytes at offset of the file behind fd (which may be closed then) as guest-physical gpa.
 * Returns 0; -EINVAL for a range that is empty, wraps, or isn't in the file; -EEXIST if it overlaps another region;
 * -ENOSPC if there are too many; or what mmap() says.
 */
int guest_memory_map(struct guest_memory *memory, int fd, uint64_t gpa, uint64_t size, uint64_t offset, int writable);

/*
 * Where length bytes at gpa are mapped, or NULL unless all of them lie in one region (which must be writable if
 * for_writing). Nothing that the guest hands over may span two regions: there is a hole between them.
 */
uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t length, int for_writing);
