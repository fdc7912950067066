#include <stddef.h>
#include <stdint.h>

#include "disk_file_cdef.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR_BYTES 512
#define PAGE_BYTES 4096
#define TRY_EVERY_MS 5

static int look_at_block_device(int fd, struct disk_file *found)
{
    int logical = 0, read_only = 0;
    unsigned int physical = 0;

    if (ioctl(fd, BLKGETSIZE64, &found->bytes) < 0 || ioctl(fd, BLKSSZGET, &logical) < 0 ||
        ioctl(fd, BLKPBSZGET, &physical) < 0 || ioctl(fd, BLKROGET, &read_only) < 0)
        return -errno;
    found->logical_block_bytes = (uint32_t)logical;
    found->physical_block_bytes = physical;
    found->read_only = read_only != 0;
    return 0;
}

/* A kernel that can't say is tried: what reads with one alignment reads with any that is larger. */
static int try_alignments(int fd, struct disk_file *found)
{
    uint8_t *buffer = aligned_alloc(PAGE_BYTES, 2 * PAGE_BYTES);
    int error = 0;

    if (buffer == NULL)
        return -ENOMEM;
    for (uint32_t alignment = SECTOR_BYTES; alignment <= PAGE_BYTES; alignment *= 2) {
        if (pread(fd, buffer + alignment, alignment, 0) >= 0) {
            found->memory_alignment = found->offset_alignment = alignment;
            break;
        }
        if (errno != EINVAL) {
            error = -errno;
            break;
        }
    }
    free(buffer);
    return error;
}

static int look_at_direct_io(int fd, struct disk_file *found)
{
    struct statx status;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 && (status.stx_mask & STATX_DIOALIGN) != 0) {
        found->memory_alignment = status.stx_dio_mem_align;
        found->offset_alignment = status.stx_dio_offset_align;
        return 0;
    }
    return try_alignments(fd, found);
}

int disk_file_look(int fd, struct disk_file *found)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    int error = 0;

    *found = (struct disk_file){.logical_block_bytes = SECTOR_BYTES, .physical_block_bytes = PAGE_BYTES};
    if (flags < 0 || fstat(fd, &status) < 0)
        return -errno;
    found->kind = status.st_mode & S_IFMT;
    found->bytes = (uint64_t)status.st_size;
    if (S_ISBLK(status.st_mode))
        error = look_at_block_device(fd, found);
    if (error == 0 && (flags & O_DIRECT) && (S_ISBLK(status.st_mode) || S_ISREG(status.st_mode)))
        error = look_at_direct_io(fd, found);
    return error;
}

static int try_lock(int fd, int exclusive)
{
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

/* Nothing tells of a lock that is let go but a wait for it, which has no end. */
int disk_file_lock(int fd, int exclusive, int patience_ms)
{
    int error = try_lock(fd, exclusive);

    for (; error == -EAGAIN && patience_ms > 0; patience_ms -= TRY_EVERY_MS) {
        (void)poll(NULL, 0, TRY_EVERY_MS);
        error = try_lock(fd, exclusive);
    }
    return error;
}
