/* The disk, over a back end in memory that fails and ends things as the input says, or the real one over a memfd. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/devices/virtio_blk/disk_in_memory.h"

#include "device_procs/virtio_blk/blk_cdef.h"

#define CAPACITY_SECTORS 128
#define IMAGE_BYTES (CAPACITY_SECTORS * BLK_SECTOR_BYTES)
#define BEHIND_BYTES 4096
#define BEHIND 0xa5

enum option { REALLY_A_FILE = 4, READ_ONLY = 8, DURABLE = 16, DIRECT = 32, LARGE_BLOCKS = 64 };

static struct blk_disk disk;
static struct blk_queue plain, bounced; /* the latter with what O_DIRECT needs */
static struct disk_backend file_backend;
static int image = -1;

/* What lies behind the disk's end in the file must stay. */
static void make_image(void)
{
    static uint8_t behind[BEHIND_BYTES];

    if (image < 0) {
        image = memfd_create("image", 0);
        CHECK(image >= 0);
    }
    memset(behind, BEHIND, sizeof(behind));
    CHECK(ftruncate(image, 0) == 0);
    CHECK(pwrite(image, behind, sizeof(behind), IMAGE_BYTES) == sizeof(behind));
}

static struct blk_queue *queue_of(const struct step *options)
{
    struct blk_queue *queue = options->a & DIRECT ? &bounced : &plain;

    disk = (struct blk_disk){
        .capacity_sectors = CAPACITY_SECTORS,
        .block_bytes = options->a & LARGE_BLOCKS ? 4096 : BLK_SECTOR_BYTES,
        .memory_alignment = options->a & DIRECT ? BLK_SECTOR_BYTES : 1,
        .read_only = (options->a & READ_ONLY) != 0,
        .durable_writes = (options->a & DURABLE) != 0,
        .id = "fuzzed",
    };
    if (queue->requests == NULL)
        CHECK(blk_queue_init(queue, &disk) == 0);
    return queue;
}

static void *make(const struct step *options)
{
    struct blk_queue *queue = queue_of(options);

    /* Nothing of an earlier input is left that could make a difference. */
    memset(queue->requests, 0, queue->fresh * sizeof(*queue->requests));
    memset(queue->counters, 0, sizeof(*queue->counters));
    blk_queue_reset(queue);
    queue->told_ns = 0;
    if (options->a & REALLY_A_FILE) {
        make_image();
        if (file_backend.ops == NULL)
            CHECK(disk_sync_init(&file_backend, image) == 0);
        while (file_backend.ops->reap(file_backend.state) != NULL)
            ; /* what its predecessor had begun: the file is a new one by then */
        make_image();
        queue->backend = file_backend;
    } else {
        disk_in_memory_init(&queue->backend, IMAGE_BYTES);
    }
    return queue;
}

/* sector, or mostly one that is there; bytes in blocks, or any number of them. */
static void request(const struct step *step, struct plain_request *request)
{
    static const uint32_t types[] = {VIRTIO_BLK_T_IN,     VIRTIO_BLK_T_OUT,    VIRTIO_BLK_T_FLUSH,
                                     VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};
    uint32_t type = step->c & 0x80 ? step->c : types[step->c % 6];
    uint64_t sector = step->d >> 56 ? step->d : step->d % (CAPACITY_SECTORS + 2);
    uint32_t bytes = step->b & 0x8000 ? step->b & 0x3fff : (step->b & 31) * BLK_SECTOR_BYTES;
    uint32_t ranges = type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES ? step->b % 5 : 0;

    memcpy(request->header, &type, sizeof(type));
    memcpy(request->header + 8, &sector, sizeof(sector));
    request->header_bytes = 16 + 16 * ranges;
    for (uint32_t i = 0; i < ranges; i++) {
        uint64_t first = sector + 16 * i;
        uint32_t count = step->c >> 8 & 0x1f, flags = step->c >> (16 + 2 * i) & 3;

        memcpy(request->header + 16 + 16 * i, &first, sizeof(first));
        memcpy(request->header + 16 + 16 * i + 8, &count, sizeof(count));
        memcpy(request->header + 16 + 16 * i + 12, &flags, sizeof(flags));
    }
    request->has_status = 1;
    if (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID)
        request->writable_bytes = bytes;
    else if (type == VIRTIO_BLK_T_OUT)
        request->readable_bytes = bytes;
}

static int is_there(uint64_t sector, uint64_t bytes)
{
    uint64_t blocks = disk.block_bytes / BLK_SECTOR_BYTES;

    return bytes % disk.block_bytes == 0 && sector % blocks == 0 && sector <= CAPACITY_SECTORS &&
           bytes / BLK_SECTOR_BYTES <= CAPACITY_SECTORS - sector;
}

/* The statuses of the specification (5.2.6.2), of ranges in their order. */
static uint8_t status_of_ranges(const struct plain_request *request, int are_zeroes)
{
    if (disk.read_only)
        return VIRTIO_BLK_S_IOERR;
    for (const uint8_t *range = request->header + 16; range < request->header + request->header_bytes; range += 16) {
        uint64_t sector;
        uint32_t count, flags;

        memcpy(&sector, range, sizeof(sector));
        memcpy(&count, range + 8, sizeof(count));
        memcpy(&flags, range + 12, sizeof(flags));
        if ((flags & 1 && !are_zeroes) || flags & ~UINT32_C(1))
            return VIRTIO_BLK_S_UNSUPP;
        if (!is_there(sector, (uint64_t)count * BLK_SECTOR_BYTES))
            return VIRTIO_BLK_S_IOERR;
    }
    return VIRTIO_BLK_S_OK;
}

static void check(const struct plain_request *request, uint32_t written, uint8_t status)
{
    uint8_t expected = VIRTIO_BLK_S_OK;
    uint32_t type;
    uint64_t sector;

    memcpy(&type, request->header, sizeof(type));
    memcpy(&sector, request->header + 8, sizeof(sector));
    switch (type) {
    case VIRTIO_BLK_T_IN:
        expected = is_there(sector, request->writable_bytes) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
        break;
    case VIRTIO_BLK_T_OUT:
        expected = !disk.read_only && is_there(sector, request->readable_bytes) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
        break;
    case VIRTIO_BLK_T_FLUSH:
    case VIRTIO_BLK_T_GET_ID:
        break;
    case VIRTIO_BLK_T_DISCARD:
    case VIRTIO_BLK_T_WRITE_ZEROES:
        expected = status_of_ranges(request, type == VIRTIO_BLK_T_WRITE_ZEROES);
        break;
    default:
        expected = VIRTIO_BLK_S_UNSUPP;
    }
    /* What the host fails may become an error. */
    if (status == VIRTIO_BLK_S_IOERR && disk_host_fails())
        return;
    if (status != expected)
        fprintf(stderr, "type %u, sector %llu: status %u instead of %u\n", type, (unsigned long long)sector, status,
                expected);
    CHECK(status == expected);
    CHECK(written <= request->writable_bytes + 1);
    if (type == VIRTIO_BLK_T_IN && status == VIRTIO_BLK_S_OK)
        CHECK(written == request->writable_bytes + 1);
}

static void forget(void *device)
{
    blk_queue_reset(device);
}

static int make_ready(int fd, int must)
{
    return disk_in_memory_goes_on(fd, must);
}

static void end(void *device)
{
    static uint8_t behind[BEHIND_BYTES + 1];
    const struct blk_queue *queue = device;

    CHECK(queue->counters->failed == 0 || disk_host_fails() || queue->backend.ops == file_backend.ops);
    if (queue->backend.ops != file_backend.ops)
        return;
    CHECK(queue->counters->failed == 0);
    CHECK(pread(image, behind, sizeof(behind), IMAGE_BYTES) == BEHIND_BYTES);
    for (size_t i = 0; i < BEHIND_BYTES; i++)
        CHECK(behind[i] == BEHIND);
}

const struct fuzzed_device fuzzed_device = {
    .ops = &blk_ops,
    .num_max = BLK_QUEUE_SIZE_MAX,
    .keeps_log = 1,
    .make = make,
    .request = request,
    .forget = forget,
    .host = disk_host_does,
    .make_ready = make_ready,
    .check = check,
    .end = end,
};
