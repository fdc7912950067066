/*
 * A disk's queue with a driver that writes anything, under sanitizers: `blk_program ENGINE ALIGNMENT SEED ROUNDS FILE`.
 * ENGINE is "io_uring" or "preadv"; ALIGNMENT is of buffers, as O_DIRECT has it, or 1. What lies behind the disk's
 * end in FILE must stay, nothing may remain in flight, and every mistake must have its words. Prints the requests that
 * were completed and the mistakes that were found.
 */
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/inflight_log_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"
#include "device_procs/data_plane/device_ops_cdef.h"
#include "device_procs/virtio_blk/backend_cdef.h"
#include "device_procs/virtio_blk/blk_cdef.h"

#define NUM 16
#define RAM_BYTES (1 << 20)
#define DESC 0
#define AVAIL 0x1000
#define USED 0x2000
#define HEADERS 0x3000 /* plausible ones, 16 bytes each */
#define HEADER_COUNT 64
#define INDIRECT 0x4000
#define CAPACITY_SECTORS 128
#define BEHIND_BYTES 65536
#define BEHIND 0xa5
#define PAGE_BYTES 4096

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

struct descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

static uint8_t *ram;
static uint64_t state;
static struct guest_memory memory;
static struct black_box_queue counters;
static struct virtqueue virtqueue;
static struct blk_disk disk;
static struct blk_queue queue;
static struct inflight_log *log_of_queue;
static uint16_t avail_idx;
static unsigned long mistakes;

/* worker.c's, which isn't linked */
uint64_t monotonic_ns(void)
{
    return 1;
}

static uint32_t chance(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

static uint32_t one_of(const uint32_t *values, uint32_t count)
{
    return values[chance(count)];
}

static void write_headers(void)
{
    static const uint32_t types[] = {0, 0, 0, 1, 1, 1, 4, 8, 11, 11, 13, 13, 2, 99};

    for (uint32_t i = 0; i < HEADER_COUNT; i++) {
        uint32_t type = one_of(types, sizeof(types) / sizeof(types[0]));
        uint64_t sector = chance(16) == 0 ? UINT64_MAX - chance(4) : chance(CAPACITY_SECTORS + 4);

        memcpy(ram + HEADERS + 16 * i, &type, sizeof(type));
        memcpy(ram + HEADERS + 16 * i + 8, &sector, sizeof(sector));
    }
}

static struct descriptor any_descriptor(int is_first, uint32_t size)
{
    static const uint32_t lengths[] = {0, 1, 16, 32, 48, 512, 512, 1024, 4096, 4097, 65536, 0xffffffff};
    struct descriptor made = {
        .gpa = chance(24) == 0 ? (uint64_t)RAM_BYTES - chance(600) : 0x8000 + chance(0x80000),
        .length = one_of(lengths, sizeof(lengths) / sizeof(lengths[0])),
        .flags = (uint16_t)(chance(3) == 0 ? 2 : 0),
        .next = (uint16_t)chance(chance(20) == 0 ? 70000 : size),
    };

    if (chance(3) > 0)
        made.gpa &= ~UINT64_C(511);
    if (is_first && chance(8) > 0) {
        made.gpa = HEADERS + 16 * chance(HEADER_COUNT);
        made.length = 16;
        made.flags = 0;
    }
    if (chance(5) > 0)
        made.flags |= 1;
    if (chance(12) == 0)
        made.flags = 4 | (chance(6) == 0);
    if (made.flags & 4) {
        made.gpa = INDIRECT + 16 * chance(32);
        made.length = 16 * chance(9);
    }
    return made;
}

/* Chains as a driver makes them, or nearly: a header, some data, a status. */
static void write_table(uint64_t gpa, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        struct descriptor made = any_descriptor(i % 3 == 0, size);

        if (chance(4) > 0) {
            made.next = (uint16_t)((i + 1) % size);
            if (i % 3 == 2) {
                made.flags = 2;
                made.length = 1;
            }
        }
        memcpy(ram + gpa + 16 * i, &made, sizeof(made));
    }
}

static void start_queue(void)
{
    struct virtqueue_addresses addresses = {NUM, DESC, AVAIL, USED};
    uint64_t features = UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VIRTIO_F_INDIRECT_DESC;

    memset(ram, 0, HEADERS);
    avail_idx = 0;
    CHECK(virtqueue_start(&virtqueue, &memory, &counters, 0, &addresses, features, 0) == 0);
    CHECK(virtqueue_keep_log(&virtqueue, log_of_queue, 0) == 0);
    blk_queue_reset(&queue);
}

static void offer(void)
{
    for (uint32_t i = chance(6); i > 0; i--) {
        uint16_t head = (uint16_t)(chance(30) == 0 ? chance(NUM + 4) : 3 * chance(NUM / 3));

        memcpy(ram + AVAIL + 4 + 2 * (avail_idx % NUM), &head, sizeof(head));
        avail_idx++;
    }
    if (chance(200) == 0)
        avail_idx = (uint16_t)(avail_idx + chance(40));
    memcpy(ram + AVAIL + 2, &avail_idx, sizeof(avail_idx));
}

/* Calls an operation until it has nothing in flight any more, or finds a mistake. */
static int settle(int (*operation)(void *device, struct virtqueue *queue, struct wakeup *wakeup))
{
    for (;;) {
        struct wakeup wakeup = {.fd = -1, .deadline_ns = WAKEUP_NEVER_NS};
        int progress = operation(&queue, &virtqueue, &wakeup);
        struct pollfd wait = {.fd = wakeup.fd, .events = POLLIN};

        if (progress < 0 || (progress == DEVICE_IDLE && wakeup.fd < 0))
            return progress;
        if (wakeup.fd >= 0)
            CHECK(poll(&wait, 1, 60000) == 1);
    }
}

static void check_behind(int fd)
{
    static uint8_t behind[BEHIND_BYTES];
    struct stat status;

    CHECK(fstat(fd, &status) == 0 && status.st_size == CAPACITY_SECTORS * BLK_SECTOR_BYTES + BEHIND_BYTES);
    CHECK(pread(fd, behind, sizeof(behind), CAPACITY_SECTORS * BLK_SECTOR_BYTES) == sizeof(behind));
    for (size_t i = 0; i < sizeof(behind); i++)
        CHECK(behind[i] == BEHIND);
}

static void play_round(void)
{
    int result;

    write_headers();
    if (virtqueue_in_flight(&virtqueue) == 0) {
        write_table(DESC, NUM);
        write_table(INDIRECT, 64);
    }
    offer();
    result = settle(blk_ops.process);
    if (result < 0) {
        CHECK(virtqueue_error_text(result) != NULL);
        mistakes++;
        CHECK(settle(blk_ops.drain) == DEVICE_IDLE);
        start_queue();
    }
    CHECK(queue.in_flight == 0 && virtqueue_in_flight(&virtqueue) == 0);
}

static void make_memory(void)
{
    int fd = memfd_create("ram", 0);

    CHECK(fd >= 0 && ftruncate(fd, RAM_BYTES) == 0);
    CHECK(guest_memory_map(&memory, fd, 0, RAM_BYTES, 0, 1) == 0);
    close(fd);
    ram = memory.regions[0].host;
    for (size_t i = 0; i < RAM_BYTES; i++)
        ram[i] = (uint8_t)chance(256);
    log_of_queue = malloc(INFLIGHT_HEADER_BYTES + NUM * INFLIGHT_ENTRY_BYTES);
    CHECK(log_of_queue != NULL);
}

static int make_image(const char *path)
{
    static uint8_t behind[BEHIND_BYTES];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    memset(behind, BEHIND, sizeof(behind));
    CHECK(fd >= 0 && pwrite(fd, behind, sizeof(behind), CAPACITY_SECTORS * BLK_SECTOR_BYTES) == sizeof(behind));
    return fd;
}

int main(int count, char **arguments)
{
    int fd;

    if (count != 6)
        return 2;
    state = strtoull(arguments[3], NULL, 0);
    make_memory();
    fd = make_image(arguments[5]);
    disk.capacity_sectors = CAPACITY_SECTORS;
    disk.block_bytes = BLK_SECTOR_BYTES;
    disk.memory_alignment = (uint32_t)strtoul(arguments[2], NULL, 0);
    CHECK(blk_queue_init(&queue, &disk) == 0);
    if (strcmp(arguments[1], "io_uring") == 0)
        CHECK(disk_uring_init(&queue.backend, fd, -1, NUM) == 0);
    else
        CHECK(disk_sync_init(&queue.backend, fd) == 0);
    start_queue();
    for (unsigned long round = strtoul(arguments[4], NULL, 0); round > 0; round--) {
        disk.durable_writes = chance(8) == 0;
        disk.read_only = chance(8) == 0;
        play_round();
        if (round % 64 == 1)
            check_behind(fd);
    }
    printf("%llu %lu\n", (unsigned long long)counters.completed, mistakes);
    return 0;
}
