/* I/Os end in an order, and with a result, that the input chooses. Each is done when it ends, as a disk may. */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/devices/virtio_blk/disk_in_memory.h"

#define BYTES_MAX 65536
#define IOS_MAX 256
#define WAIT_FD 12345
#define DELAYS_MAX 64 /* for an input */

static uint8_t content[BYTES_MAX];
static uint64_t content_bytes;
static struct disk_io *begun[IOS_MAX], *under_way[IOS_MAX], *ended[IOS_MAX];
static uint32_t begun_count, under_way_count, ended_count;
static struct step host;
static int has_failed;
static uint32_t turn, delays;

static int32_t copy(const struct disk_io *io, uint64_t most)
{
    uint64_t done = 0;

    for (uint32_t i = 0; i < io->segment_count && done < most; i++) {
        const struct chain_segment *segment = &io->segments[i];
        uint64_t part = segment->length < most - done ? segment->length : most - done;

        CHECK(io->offset <= content_bytes && done + part <= content_bytes - io->offset);
        if (io->operation == DISK_READ)
            memcpy(segment->host, content + io->offset + done, part);
        else
            memcpy(content + io->offset + done, segment->host, part);
        done += part;
    }
    return (int32_t)done;
}

static uint64_t asked(const struct disk_io *io)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < io->segment_count; i++)
        bytes += io->segments[i].length;
    return bytes;
}

/* Errors as a host has them; the device takes some of them for no failure. */
static int32_t host_error(const struct disk_io *io)
{
    static const int errors[] = {0, EIO, ENOSPC, EAGAIN, EINTR, EOPNOTSUPP, ENOSYS, 0};
    int error = errors[host.a & 7];

    if (error == 0 || (host.a & 8 && turn++ % 2 == 0))
        return 0;
    /* The device asks a thousand times. */
    if ((error == EAGAIN || error == EINTR) && delays++ >= DELAYS_MAX)
        return 0;
    if ((host.a & 16) && io->operation != DISK_PUNCH && io->operation != DISK_ZERO)
        return 0;
    return -error;
}

static void finish(struct disk_io *io)
{
    int32_t error = host_error(io);

    if (error < 0) {
        io->result = error;
        return;
    }
    switch ((enum disk_operation)io->operation) {
    case DISK_READ:
    case DISK_WRITE: {
        uint64_t bytes = asked(io), most = bytes;

        CHECK(bytes > 0 && io->offset <= content_bytes && bytes <= content_bytes - io->offset);
        if (host.a & 32 && delays++ < DELAYS_MAX) /* short, down to nothing */
            most = bytes * (host.b % 16) / 16;
        io->result = copy(io, most);
        return;
    }
    case DISK_FLUSH:
        io->result = 0;
        return;
    case DISK_PUNCH:
    case DISK_ZERO:
        CHECK(io->length > 0 && io->offset <= content_bytes && io->length <= content_bytes - io->offset);
        memset(content + io->offset, 0, io->length);
        io->result = 0;
        return;
    }
    abort(); /* there is no such operation */
}

static void begin(void *state, struct disk_io *io)
{
    (void)state;
    CHECK(begun_count + under_way_count + ended_count < IOS_MAX);
    begun[begun_count++] = io;
}

static int end_one(void)
{
    uint32_t place;

    if (under_way_count == 0)
        return 0;
    place = host.c % under_way_count;
    finish(under_way[place]);
    ended[ended_count++] = under_way[place];
    under_way[place] = under_way[--under_way_count];
    return 1;
}

static int submit(void *state)
{
    (void)state;
    while (begun_count > 0) {
        if (host.a & 64 && begun_count % 2 == 0) { /* the kernel takes a part of them */
            host.a &= (uint8_t)~64;
            return 1;
        }
        under_way[under_way_count++] = begun[--begun_count];
    }
    if (!(host.a & 128)) /* the page cache has them */
        while (end_one())
            ;
    return 0;
}

static struct disk_io *reap(void *state)
{
    (void)state;
    return ended_count > 0 ? ended[--ended_count] : NULL;
}

static const struct disk_backend_ops ops = {.begin = begin, .submit = submit, .reap = reap};

void disk_in_memory_init(struct disk_backend *backend, uint64_t bytes)
{
    CHECK(bytes <= BYTES_MAX && bytes % 512 == 0);
    for (uint64_t at = 0; at < bytes; at += 512)
        memset(content + at, (int)(at / 512) + 1, 512);
    content_bytes = bytes;
    begun_count = under_way_count = ended_count = 0;
    memset(&host, 0, sizeof(host));
    has_failed = 0;
    turn = delays = 0;
    *backend = (struct disk_backend){.ops = &ops, .state = NULL, .wait_fd = WAIT_FD};
}

void disk_host_does(const struct step *step)
{
    host = *step;
    has_failed |= (step->a & 7) != 0 || (step->a & 32) != 0;
}

int disk_host_fails(void)
{
    return has_failed;
}

int disk_in_memory_goes_on(int fd, int must)
{
    CHECK(fd == WAIT_FD);
    if (!must && host.a & 128 && host.d & 1)
        return 0; /* not before the device stops */
    return end_one() || ended_count > 0;
}
