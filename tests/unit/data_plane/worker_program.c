/*
 * Drives workers from a control thread and a fake driver in the same process: for the sanitizers of memory and of
 * threads. Arguments: a scenario, and whether kick eventfds are "blocking" or "nonblocking". The exit status tells
 * whether all that was checked was so.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"
#include "device_procs/data_plane/device_ops_cdef.h"
#include "device_procs/data_plane/worker_cdef.h"
#include "device_procs/data_plane/null_device_cdef.h"
#include "device_procs/virtio_rng/rng_cdef.h"
#include "device_procs/sandbox/fault_report_cdef.h"
#include "seccomp_profiles/filters_cdef.h"
#include "tools/fake_driver/fake_queue_cdef.h"

#define QUEUES 2
#define RAM_BYTES (1 << 20)
#define QUEUE_SIZE 64
#define HANGS_AFTER_MS 60000
#define FEATURES (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define EVENT_IDX (UINT64_C(1) << VIRTIO_F_EVENT_IDX)

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

/* There is no jail here. */
static char installed_profile[32];
static uint32_t thread_set;

int filters_install(const char *profile)
{
    snprintf(installed_profile, sizeof(installed_profile), "%s", profile);
    return strcmp(profile, "no_such_profile") == 0 ? -ENOENT : 0;
}

void black_box_set_thread(uint32_t thread)
{
    thread_set = thread;
}

struct rig {
    uint8_t *ram;
    struct guest_memory memory;
    struct black_box black_box;
    struct null_device null;
    struct worker worker;
    struct fake_queue driver[QUEUES];
    uint64_t features;
};

static struct rig rig;
static int kick_flags; /* of the eventfds: whether they block */

static void make_rig(const struct device_ops *ops, void *device, uint32_t queues, uint64_t features)
{
    int fd = memfd_create("ram", 0);

    CHECK(fd >= 0 && ftruncate(fd, RAM_BYTES) == 0);
    rig.features = features;
    rig.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(rig.ram != MAP_FAILED);
    guest_memory_init(&rig.memory);
    CHECK(guest_memory_map(&rig.memory, fd, 0, RAM_BYTES, 0, 1) == 0);
    close(fd);
    worker_init(&rig.worker);
    rig.worker.ops = ops;
    rig.worker.device = device;
    rig.worker.life = rig.black_box.queues;
    rig.worker.profile = "a_profile";
    rig.worker.count = queues;
    rig.worker.number = 3;
    rig.worker.report_fd = eventfd(0, EFD_NONBLOCK);
    for (uint32_t i = 0; i < queues; i++) {
        uint64_t base = (uint64_t)i * RAM_BYTES / QUEUES;

        rig.worker.queues[i].kick_fd = eventfd(0, kick_flags);
        rig.worker.queues[i].call_fd = eventfd(0, EFD_NONBLOCK);
        fake_queue_init(&rig.driver[i], rig.ram, QUEUE_SIZE, base, base + 0x1000, base + 0x2000,
                        (features & EVENT_IDX) != 0, rig.worker.queues[i].kick_fd, rig.worker.queues[i].call_fd);
        fake_queue_fill(&rig.driver[i], base + 0x4000, 16, 1);
    }
}

static void end_rig(void)
{
    worker_deinit(&rig.worker);
    for (uint32_t i = 0; i < rig.worker.count; i++) {
        close(rig.worker.queues[i].kick_fd);
        close(rig.worker.queues[i].call_fd);
    }
    close(rig.worker.report_fd);
    guest_memory_deinit(&rig.memory);
    munmap(rig.ram, RAM_BYTES);
}

static void run_queue(uint32_t index, int base)
{
    struct fake_queue *driver = &rig.driver[index];
    struct virtqueue_addresses addresses = {QUEUE_SIZE, driver->desc_gpa, driver->avail_gpa, driver->used_gpa};
    struct worker_queue *queue = &rig.worker.queues[index];

    CHECK(worker_state(&rig.worker, index) == WORKER_QUEUE_STOPPED);
    CHECK(virtqueue_start(&queue->virtqueue, &rig.memory, &rig.black_box.queues[index], index, &addresses,
                          rig.features, base) == 0);
    queue->error = 0;
    queue->signal_first = base < 0;
    worker_want(&rig.worker, index, 1);
}

static void wait_for_state(uint32_t index, uint32_t state)
{
    struct pollfd report = {.fd = rig.worker.report_fd, .events = POLLIN};
    uint64_t value;

    while (worker_state(&rig.worker, index) != state) {
        CHECK(poll(&report, 1, HANGS_AFTER_MS) == 1);
        CHECK(read(report.fd, &value, sizeof(value)) == sizeof(value));
    }
}

static void stop_queue(uint32_t index)
{
    worker_want(&rig.worker, index, 0);
    wait_for_state(index, WORKER_QUEUE_STOPPED);
}

static void start_null(uint32_t queues, uint64_t features)
{
    make_rig(&null_device_ops, &rig.null, queues, features);
    CHECK(worker_start(&rig.worker) == 0);
    CHECK(strcmp(installed_profile, "a_profile") == 0);
    CHECK(thread_set == BLACK_BOX_WORKER_THREAD + 3);
}

static void many_requests(uint64_t features)
{
    start_null(1, features);
    run_queue(0, 0);
    CHECK(fake_queue_run(&rig.driver[0], 30000, 8, HANGS_AFTER_MS) == 0);
    stop_queue(0);
    CHECK(rig.black_box.queues[0].popped == 30000);
    CHECK(rig.black_box.queues[0].completed == 30000);
    CHECK(rig.black_box.queues[0].kicks <= rig.driver[0].kicks + 1); /* the stop is a kick too */
    CHECK(rig.black_box.queues[0].signals >= 1 && rig.black_box.queues[0].signals <= 30000);
    end_rig();
}

/* A stopped queue isn't looked at; what the driver did meanwhile is found at the start, without a kick. */
static void stop_and_go(void)
{
    uint32_t written;

    start_null(1, FEATURES | EVENT_IDX);
    run_queue(0, 0);
    for (int round = 0; round < 200; round++) {
        CHECK(fake_queue_run(&rig.driver[0], 3, 1, HANGS_AFTER_MS) == 0);
        stop_queue(0);
        CHECK(virtqueue_in_flight(&rig.worker.queues[0].virtqueue) == 0);
        fake_queue_offer(&rig.driver[0], 5);
        fake_queue_publish(&rig.driver[0]);
        CHECK(fake_queue_take(&rig.driver[0], &written) == -EAGAIN);
        run_queue(0, rig.worker.queues[0].virtqueue.next_avail);
        while (fake_queue_take(&rig.driver[0], &written) != 5)
            CHECK(fake_queue_wait(&rig.driver[0], HANGS_AFTER_MS) == 0);
    }
    end_rig();
}

/* A successor without a known base gives a signal, even if there is nothing to complete. */
static void take_over(void)
{
    struct pollfd call = {.events = POLLIN};

    start_null(1, FEATURES | EVENT_IDX);
    call.fd = rig.worker.queues[0].call_fd;
    run_queue(0, 0);
    stop_queue(0);
    CHECK(poll(&call, 1, 0) == 0);
    run_queue(0, -1);
    CHECK(poll(&call, 1, HANGS_AFTER_MS) == 1);
    end_rig();
}

static void a_mistake_stops_the_set(void)
{
    start_null(2, FEATURES | EVENT_IDX);
    run_queue(0, 0);
    run_queue(1, 0);
    CHECK(fake_queue_run(&rig.driver[0], 100, 4, HANGS_AFTER_MS) == 0);
    CHECK(fake_queue_run(&rig.driver[1], 100, 4, HANGS_AFTER_MS) == 0);
    fake_queue_offer(&rig.driver[1], 7);
    fake_queue_offer(&rig.driver[1], QUEUE_SIZE);
    fake_queue_publish(&rig.driver[1]);
    CHECK(fake_queue_kick(&rig.driver[1]) >= 0);
    wait_for_state(1, WORKER_QUEUE_FAILED);
    CHECK(worker_error(&rig.worker, 1) == VIRTQ_HEAD_TOO_HIGH);
    CHECK(worker_state(&rig.worker, 0) == WORKER_QUEUE_FAILED && worker_error(&rig.worker, 0) == 0);
    stop_queue(0);
    stop_queue(1);
    memset(rig.ram, 0, RAM_BYTES);
    for (uint32_t i = 0; i < 2; i++) {
        struct fake_queue *driver = &rig.driver[i];

        fake_queue_init(driver, rig.ram, QUEUE_SIZE, driver->desc_gpa, driver->avail_gpa, driver->used_gpa, 1,
                        driver->kick_fd, driver->call_fd);
        fake_queue_fill(driver, 0x8000, 16, 1);
        run_queue(i, 0);
        CHECK(fake_queue_run(driver, 100, 4, HANGS_AFTER_MS) == 0);
    }
    end_rig();
}

/* A device that waits: for a time, for a descriptor, and, when it is to stop, for what is in flight. */
struct waiting_device {
    struct descriptor_chain chain;
    int holds;
    int source_fd;
    int waits_left; /* until the held chain can be completed by a stop */
    uint64_t not_before_ns;
};

static int wait_process(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    struct waiting_device *waiting = device;
    uint64_t value;

    if (!waiting->holds) {
        int popped = virtqueue_pop(queue, &waiting->chain);

        if (popped <= 0)
            return popped;
        waiting->holds = 1;
        waiting->not_before_ns = monotonic_ns() + 2000000;
    }
    if (waiting->not_before_ns > monotonic_ns()) {
        wakeup->deadline_ns = waiting->not_before_ns;
        return DEVICE_BLOCKED;
    }
    if (read(waiting->source_fd, &value, sizeof(value)) < 0) {
        wakeup->fd = waiting->source_fd;
        return DEVICE_BLOCKED;
    }
    virtqueue_complete(queue, waiting->chain.head, 16);
    waiting->holds = 0;
    return DEVICE_AGAIN;
}

static int wait_stop(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    struct waiting_device *waiting = device;

    if (waiting->holds && waiting->waits_left-- > 0) {
        wakeup->deadline_ns = monotonic_ns() + 1000000;
        return DEVICE_BLOCKED;
    }
    if (waiting->holds)
        virtqueue_complete(queue, waiting->chain.head, 1);
    waiting->holds = 0;
    return DEVICE_IDLE;
}

static const struct device_ops wait_ops = {.process = wait_process, .stop = wait_stop};

static void blocked(void)
{
    struct waiting_device waiting = {.source_fd = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE), .waits_left = 3};
    uint64_t many = 20;
    uint32_t written;

    make_rig(&wait_ops, &waiting, 1, FEATURES | EVENT_IDX);
    CHECK(worker_start(&rig.worker) == 0);
    run_queue(0, 0);
    CHECK(write(waiting.source_fd, &many, sizeof(many)) == sizeof(many));
    CHECK(fake_queue_run(&rig.driver[0], 20, 4, HANGS_AFTER_MS) == 20 * 16);
    /* The source is empty: the next request waits, and is completed by the stop, which takes some wakeups. */
    fake_queue_offer(&rig.driver[0], 1);
    fake_queue_publish(&rig.driver[0]);
    CHECK(fake_queue_kick(&rig.driver[0]) >= 0);
    while (__atomic_load_n(&rig.black_box.queues[0].popped, __ATOMIC_RELAXED) < 21 ||
           __atomic_load_n(&rig.black_box.queues[0].turns, __ATOMIC_RELAXED) % 2 != 0) /* it waits, and says so */
        sched_yield();
    stop_queue(0);
    CHECK(waiting.waits_left == -1);
    CHECK(fake_queue_take(&rig.driver[0], &written) == 1 && written == 1);
    close(waiting.source_fd);
    end_rig();
}

/* The entropy device, stopped again and again in the middle of requests, some of which wait for the rate. */
static void random_bytes(void)
{
    static struct rng rng;
    int source = open("/dev/urandom", O_RDONLY);
    uint64_t counted = 0;

    rng_init(&rng, source, 4000, 4);
    make_rig(&rng_ops, &rng, 1, FEATURES | EVENT_IDX);
    CHECK(worker_start(&rig.worker) == 0);
    for (int round = 0; round < 40; round++) {
        uint32_t written;

        run_queue(0, rig.worker.queues[0].virtqueue.next_avail);
        CHECK(fake_queue_run(&rig.driver[0], 200, 16, HANGS_AFTER_MS) == 200 * 16);
        for (uint16_t head = 0; head < QUEUE_SIZE; head++)
            fake_queue_offer(&rig.driver[0], head);
        fake_queue_publish(&rig.driver[0]);
        CHECK(fake_queue_kick(&rig.driver[0]) >= 0);
        stop_queue(0);
        CHECK(virtqueue_in_flight(&rig.worker.queues[0].virtqueue) == 0);
        run_queue(0, rig.worker.queues[0].virtqueue.next_avail);
        for (uint32_t taken = 0; taken < QUEUE_SIZE;) {
            if (fake_queue_take(&rig.driver[0], &written) >= 0)
                taken++;
            else
                CHECK(fake_queue_wait(&rig.driver[0], HANGS_AFTER_MS) == 0);
        }
        counted += 200 + QUEUE_SIZE;
        CHECK(__atomic_load_n(&rng.requests, __ATOMIC_RELAXED) == counted);
        stop_queue(0);
    }
    CHECK(rng.bytes == counted * 16 && rng.rate_waits > 0);
    CHECK(rig.black_box.queues[0].host_calls == 2 * counted); /* each read of the source, from both ends */
    close(source);
    end_rig();
}

static void quit_under_load(void)
{
    for (int round = 0; round < 50; round++) {
        memset(&rig.worker, 0, sizeof(rig.worker));
        start_null(2, FEATURES);
        for (uint32_t i = 0; i < 2; i++) {
            run_queue(i, 0);
            for (uint16_t head = 0; head < QUEUE_SIZE; head++)
                fake_queue_offer(&rig.driver[i], head);
            fake_queue_publish(&rig.driver[i]);
            CHECK(fake_queue_kick(&rig.driver[i]) >= 0);
        }
        end_rig();
    }
}

static void no_filter_no_thread(void)
{
    make_rig(&null_device_ops, &rig.null, 1, FEATURES);
    rig.worker.profile = "no_such_profile";
    CHECK(worker_start(&rig.worker) == -ENOENT);
    rig.worker.count = 0;
    CHECK(worker_start(&rig.worker) == -EINVAL);
    rig.worker.count = 1;
    end_rig();
}

int main(int argc, char **argv)
{
    const char *name = argc == 3 ? argv[1] : "";

    kick_flags = argc == 3 && strcmp(argv[2], "nonblocking") == 0 ? EFD_NONBLOCK : 0;

    if (strcmp(name, "many-requests") == 0)
        many_requests(FEATURES | EVENT_IDX);
    else if (strcmp(name, "many-requests-without-event-idx") == 0)
        many_requests(FEATURES);
    else if (strcmp(name, "stop-and-go") == 0)
        stop_and_go();
    else if (strcmp(name, "take-over") == 0)
        take_over();
    else if (strcmp(name, "a-mistake-stops-the-set") == 0)
        a_mistake_stops_the_set();
    else if (strcmp(name, "blocked") == 0)
        blocked();
    else if (strcmp(name, "random-bytes") == 0)
        random_bytes();
    else if (strcmp(name, "quit-under-load") == 0)
        quit_under_load();
    else if (strcmp(name, "no-filter-no-thread") == 0)
        no_filter_no_thread();
    else
        return 2;
    return 0;
}
