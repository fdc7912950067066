/*
 * A disk's ring from the inside of its process, as somebody would use it who has taken that over: prints a line for
 * each try, "name result", with what the kernel says.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device_procs/virtio_blk/disk_uring.c"

#define FIXED IOSQE_FIXED_FILE

static char page[4096];
static struct iovec segment = {.iov_base = page, .iov_len = sizeof(page)};

/* Submits what was prepared; what its completion says. */
static int outcome(struct io_uring *ring, struct io_uring_sqe *sqe, unsigned int flags)
{
    struct io_uring_cqe *cqe;
    int result;

    io_uring_sqe_set_flags(sqe, flags);
    if (io_uring_submit(ring) < 0 || io_uring_wait_cqe(ring, &cqe) < 0)
        return -9999;
    result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

#define TRY(name, flags, prepare)                                                                                      \
    do {                                                                                                               \
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);                                                             \
        prepare;                                                                                                       \
        printf("%s %d\n", name, outcome(ring, sqe, flags));                                                           \
    } while (0)

int main(int count, char **arguments)
{
    struct disk_backend backend;
    struct io_uring *ring;
    int image, other;

    if (count != 2)
        return 2;
    image = open(arguments[1], O_RDWR);
    other = open("/dev/null", O_RDWR);
    if (image < 0 || other < 0 || disk_uring_init(&backend, image, -1, 8) < 0)
        return 1;
    ring = &((struct uring_state *)backend.state)->ring;
    TRY("read", FIXED, io_uring_prep_readv(sqe, 0, &segment, 1, 0));
    TRY("write", FIXED, io_uring_prep_writev(sqe, 0, &segment, 1, 0));
    TRY("flush", FIXED, io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC));
    TRY("punch", FIXED, io_uring_prep_fallocate(sqe, 0, PUNCH_MODE, 0, 4096));
    TRY("room-beyond-the-end", FIXED, io_uring_prep_fallocate(sqe, 0, FALLOC_FL_KEEP_SIZE, 8192, 4096));
    TRY("read-any-descriptor", 0, io_uring_prep_readv(sqe, other, &segment, 1, 0));
    TRY("write-any-descriptor", 0, io_uring_prep_writev(sqe, other, &segment, 1, 0));
    TRY("read-another-file", FIXED, io_uring_prep_readv(sqe, 1, &segment, 1, 0));
    TRY("open", 0, io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0));
    TRY("open-fixed", FIXED, io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0));
    TRY("close", 0, io_uring_prep_close(sqe, other));
    TRY("unlink", FIXED, io_uring_prep_unlinkat(sqe, AT_FDCWD, arguments[1], 0));
    TRY("splice", FIXED, io_uring_prep_splice(sqe, other, -1, 0, -1, 1, 0));
    TRY("send", FIXED, io_uring_prep_send(sqe, 0, page, 1, 0));
    TRY("nop", 0, io_uring_prep_nop(sqe));
    TRY("linked", FIXED | IOSQE_IO_LINK, io_uring_prep_readv(sqe, 0, &segment, 1, 0));
    TRY("asynchronous", FIXED | IOSQE_ASYNC, io_uring_prep_readv(sqe, 0, &segment, 1, 0));
    printf("register-files %d\n", io_uring_register_files_update(ring, 0, &other, 1));
    printf("register-buffers %d\n", io_uring_register_buffers(ring, &segment, 1));
    printf("register-eventfd %d\n", io_uring_register_eventfd(ring, other));
    return 0;
}
