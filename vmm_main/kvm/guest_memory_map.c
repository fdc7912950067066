/* Mapping guest memory, and reading files straight into it. */
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vcpu_loop_cdef.h"

void *guest_memory_map(int fd, size_t size)
{
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

int guest_memory_exclude_from_core(void *address, size_t size)
{
    return madvise(address, size, MADV_DONTDUMP) < 0 ? -errno : 0;
}

int guest_memory_unmap(void *address, size_t size)
{
    return munmap(address, size) < 0 ? -errno : 0;
}

long guest_memory_load(int fd, uint64_t offset, void *destination, size_t length)
{
    size_t done = 0;

    while (done < length) {
        ssize_t got = pread(fd, (char *)destination + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (long)done;
}
