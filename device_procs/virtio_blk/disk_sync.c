/* The image by plain system calls, for hosts without io_uring: the worker that reaps does them one by one. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../data_plane/black_box_cdef.h"
#include "../data_plane/guest_memory_cdef.h"
#include "../data_plane/host_call_cdef.h"
#include "../data_plane/virtqueue_cdef.h"
#include "backend_cdef.h"
#include "fallocate_modes.h"

struct sync_state {
    int fd;
    struct disk_io *first; /* begun, the oldest first */
    struct disk_io **last;
};

static void begin(void *opaque, struct disk_io *io)
{
    struct sync_state *state = opaque;

    io->next = NULL;
    *state->last = io;
    state->last = &io->next;
}

static int submit(void *state)
{
    (void)state;
    return 0;
}

static ssize_t call(int fd, const struct disk_io *io)
{
    const struct iovec *segments = (const struct iovec *)(const void *)io->segments;

    switch ((enum disk_operation)io->operation) {
    case DISK_READ:
        return preadv2(fd, segments, (int)io->segment_count, (off_t)io->offset, 0);
    case DISK_WRITE:
        return pwritev2(fd, segments, (int)io->segment_count, (off_t)io->offset, io->durable ? RWF_DSYNC : 0);
    case DISK_FLUSH:
        return fdatasync(fd);
    case DISK_PUNCH:
        return fallocate(fd, PUNCH_MODE, (off_t)io->offset, (off_t)io->length);
    case DISK_ZERO:
        return fallocate(fd, ZERO_MODE, (off_t)io->offset, (off_t)io->length);
    }
    errno = EINVAL;
    return -1;
}

static struct disk_io *reap(void *opaque)
{
    struct sync_state *state = opaque;
    struct disk_io *io = state->first;
    ssize_t result;

    if (io == NULL)
        return NULL;
    state->first = io->next;
    if (state->first == NULL)
        state->last = &state->first;
    host_call_begins();
    do
        result = call(state->fd, io);
    while (result < 0 && errno == EINTR);
    host_call_ends();
    io->result = result < 0 ? -errno : (int32_t)result;
    return io;
}

static const struct disk_backend_ops ops = {.begin = begin, .submit = submit, .reap = reap};

int disk_sync_init(struct disk_backend *backend, int32_t fd)
{
    struct sync_state *state = calloc(1, sizeof(*state));

    if (state == NULL)
        return -ENOMEM;
    state->fd = fd;
    state->last = &state->first;
    *backend = (struct disk_backend){.ops = &ops, .state = state, .wait_fd = -1};
    return 0;
}
