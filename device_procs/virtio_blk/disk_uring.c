/*
 * The image by io_uring. A filter of system calls can't see what is put into a ring, so the ring itself is restricted
 * before it is enabled: these operations, on the one file that is registered, and no further registration.
 *
 * Not fallocate: a ring can't be kept from its modes, one of which takes room beyond the image's end, whatever limit
 * the process has. It is a system call of the worker's, whose filter knows the modes.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../data_plane/black_box_cdef.h"
#include "../data_plane/guest_memory_cdef.h"
#include "../data_plane/host_call_cdef.h"
#include "../data_plane/virtqueue_cdef.h"
#include "../fault_injection/crash_points.h"
#include "backend_cdef.h"
#include "fallocate_modes.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define THE_FILE 0 /* its index among the registered ones */

struct uring_state {
    struct io_uring ring;
    int fd;
    struct disk_io *first; /* what the ring doesn't do: begun, the oldest first */
    struct disk_io **last;
};

static void begin(void *opaque, struct disk_io *io)
{
    struct uring_state *state = opaque;
    struct io_uring *ring = &state->ring;
    struct io_uring_sqe *sqe;

    if (io->operation == DISK_PUNCH || io->operation == DISK_ZERO) {
        io->next = NULL;
        *state->last = io;
        state->last = &io->next;
        return;
    }
    CRASH_POINT_AFTER(CRASH_PARTLY_SUBMITTED, io_uring_sq_ready(ring) > 0, (void)io_uring_submit(ring));
    sqe = io_uring_get_sqe(ring);
    if (sqe == NULL)
        abort(); /* the ring is as deep as the queue, and every chain has one I/O at a time */
    switch ((enum disk_operation)io->operation) {
    case DISK_READ:
        io_uring_prep_readv(sqe, THE_FILE, (const struct iovec *)(const void *)io->segments, io->segment_count,
                            io->offset);
        break;
    case DISK_WRITE:
        io_uring_prep_writev2(sqe, THE_FILE, (const struct iovec *)(const void *)io->segments, io->segment_count,
                              io->offset, io->durable ? RWF_DSYNC : 0);
        break;
    case DISK_FLUSH:
        io_uring_prep_fsync(sqe, THE_FILE, IORING_FSYNC_DATASYNC);
        break;
    case DISK_PUNCH:
    case DISK_ZERO:
        break; /* not the ring's */
    }
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, io);
}

/* What the kernel has no memory or room for at the moment stays in the ring, for the next time. */
static int submit(void *opaque)
{
    struct uring_state *state = opaque;
    struct io_uring *ring = &state->ring;
    int result;

    CRASH_POINT(CRASH_BEFORE_SUBMIT, io_uring_sq_ready(ring) > 0);
    while (io_uring_sq_ready(ring) > 0) {
        host_call_begins();
        result = io_uring_submit(ring);
        host_call_ends();
        if (result == -EAGAIN || result == -EBUSY)
            return 1;
        if (result < 0 && result != -EINTR)
            return result;
    }
    return state->first != NULL; /* which is done where it is reaped */
}

static struct disk_io *do_first(struct uring_state *state)
{
    struct disk_io *io = state->first;
    int mode = io->operation == DISK_PUNCH ? PUNCH_MODE : ZERO_MODE;
    int result;

    state->first = io->next;
    if (state->first == NULL)
        state->last = &state->first;
    host_call_begins();
    do
        result = fallocate(state->fd, mode, (off_t)io->offset, (off_t)io->length);
    while (result < 0 && errno == EINTR);
    host_call_ends();
    io->result = result < 0 ? -errno : 0;
    return io;
}

static struct disk_io *reap(void *opaque)
{
    struct uring_state *state = opaque;
    struct io_uring_cqe *cqe;
    struct disk_io *io;

    if (io_uring_peek_cqe(&state->ring, &cqe) != 0)
        return state->first != NULL ? do_first(state) : NULL;
    io = io_uring_cqe_get_data(cqe);
    io->result = cqe->res;
    io_uring_cqe_seen(&state->ring, cqe);
    return io;
}

static const struct disk_backend_ops ops = {.begin = begin, .submit = submit, .reap = reap};

static int restrict_ring(struct io_uring *ring)
{
    static const uint8_t allowed[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC};
    struct io_uring_restriction rules[ARRAY_SIZE(allowed) + 2] = {0};
    unsigned int count = 0;

    for (; count < ARRAY_SIZE(allowed); count++) {
        rules[count].opcode = IORING_RESTRICTION_SQE_OP;
        rules[count].sqe_op = allowed[count];
    }
    rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    rules[count++].sqe_flags = IOSQE_FIXED_FILE;
    /* No descriptor but the registered one, whatever else this process holds. */
    rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED;
    rules[count++].sqe_flags = IOSQE_FIXED_FILE;
    return io_uring_register_restrictions(ring, rules, count);
}

static int set_up(struct io_uring *ring, int32_t fd, int32_t last_io_fd, uint32_t depth)
{
    int32_t files[] = {fd, last_io_fd};
    int error = io_uring_queue_init(depth, ring, IORING_SETUP_R_DISABLED);

    if (error < 0)
        return error;
    error = restrict_ring(ring);
    if (error == 0)
        error = io_uring_register_files(ring, files, last_io_fd < 0 ? 1 : 2);
    if (error == 0)
        error = io_uring_enable_rings(ring);
    if (error < 0)
        io_uring_queue_exit(ring);
    return error;
}

int disk_uring_init(struct disk_backend *backend, int32_t fd, int32_t last_io_fd, uint32_t depth)
{
    struct uring_state *state = calloc(1, sizeof(*state));
    int error;

    if (state == NULL)
        return -ENOMEM;
    error = set_up(&state->ring, fd, last_io_fd, depth);
    if (error < 0) {
        free(state);
        return error;
    }
    state->fd = fd;
    state->last = &state->first;
    *backend = (struct disk_backend){.ops = &ops, .state = state, .wait_fd = state->ring.ring_fd};
    return 0;
}
