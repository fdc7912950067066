/* Mapping guest memory from a memory table, and the only translation of a guest-physical address. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guest_memory_cdef.h"

void guest_memory_init(struct guest_memory *memory)
{
    memset(memory, 0, sizeof(*memory));
}

void guest_memory_deinit(struct guest_memory *memory)
{
    for (uint32_t i = 0; i < memory->count; i++)
        munmap(memory->regions[i].host, memory->regions[i].size);
    memory->count = 0;
}

/* A mapping beyond the file's end is a SIGBUS later: refuse it now. (The memfd is sealed against shrinking.) */
static int check_range(int fd, uint64_t gpa, uint64_t size, uint64_t offset)
{
    struct stat status;

    if (size == 0 || size > UINT64_MAX - gpa || size > (uint64_t)INT64_MAX || offset > (uint64_t)INT64_MAX - size)
        return -EINVAL;
    if (fstat(fd, &status) < 0)
        return -errno;
    return offset + size <= (uint64_t)status.st_size ? 0 : -EINVAL;
}

int guest_memory_map(struct guest_memory *memory, int fd, uint64_t gpa, uint64_t size, uint64_t offset, int writable)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    int error = check_range(fd, gpa, size, offset);
    struct guest_memory_region *region;
    void *host;

    if (error < 0)
        return error;
    if (memory->count == GUEST_MEMORY_REGIONS_MAX)
        return -ENOSPC;
    for (uint32_t i = 0; i < memory->count; i++) {
        region = &memory->regions[i];
        if (gpa < region->gpa + region->size && region->gpa < gpa + size)
            return -EEXIST;
    }
    host = mmap(NULL, size, protection, MAP_SHARED | MAP_NORESERVE, fd, (off_t)offset);
    if (host == MAP_FAILED)
        return -errno;
    memory->regions[memory->count++] =
        (struct guest_memory_region){.gpa = gpa, .size = size, .host = host, .writable = writable != 0};
    return 0;
}

uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t length, int for_writing)
{
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct guest_memory_region *region = &memory->regions[i];

        /* No sum of the guest's numbers is formed, so nothing can wrap. */
        if (gpa < region->gpa || gpa - region->gpa > region->size)
            continue;
        if (length > region->size - (gpa - region->gpa))
            continue;
        return for_writing && !region->writable ? NULL : region->host + (gpa - region->gpa);
    }
    return NULL;
}
