/*
 * A device's C with its worker, but no Python, no main and no jail, for sanitizers:
 *
 *     standalone_program MEMORY_FD QUEUES KICK_FD... CALL_FD... REGIONS GPA,SIZE,OFFSET,WRITABLE... DEVICE'S...
 *
 * It obeys lines on standard input, and answers each:
 *
 *     set-up QUEUE NUM DESC AVAIL USED FEATURES    done, or a mistake
 *     settle                                       done
 *     reset                                        done: nothing runs any more, and all is forgotten
 *
 * Whenever the driver makes a mistake it says "mistake WHICH". Each region of memory lies in the middle of addresses
 * that nothing is mapped at, so that who goes too far dies of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/device/hostile_driver/standalone_device.h"
#include "device_procs/sandbox/fault_report_cdef.h"
#include "seccomp_profiles/filters_cdef.h"

#define GUARD_BYTES (1 << 20)
#define LINE_BYTES 256
#define QUEUES_MAX 16

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

/* One set of queues, what serves it, and which is its first queue. */
struct set {
    struct standalone_device made;
    struct worker worker;
    uint32_t first;
};

static struct set sets[QUEUES_MAX];
static uint32_t set_count, queue_count;
static struct guest_memory memory;
static struct black_box black_box;
static int kick_fds[QUEUES_MAX], call_fds[QUEUES_MAX], report_fd;
static struct inflight_log *logs[QUEUES_MAX];

/* There is no jail here. */
int filters_install(const char *profile)
{
    (void)profile;
    return 0;
}

void black_box_set_thread(uint32_t thread)
{
    (void)thread;
}

static void say(const char *line)
{
    CHECK(puts(line) >= 0 && fflush(stdout) == 0);
}

static void map_region(int fd, const char *text)
{
    struct guest_memory_region *region = &memory.regions[memory.count++];
    uint64_t offset;
    uint32_t writable;
    uint8_t *guarded;

    CHECK(memory.count <= GUEST_MEMORY_REGIONS_MAX);
    CHECK(sscanf(text, "%" SCNu64 ",%" SCNu64 ",%" SCNu64 ",%" SCNu32, &region->gpa, &region->size, &offset,
                 &writable) == 4);
    guarded = mmap(NULL, region->size + 2 * GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(guarded != MAP_FAILED);
    region->writable = writable;
    region->host = mmap(guarded + GUARD_BYTES, region->size, PROT_READ | (writable ? PROT_WRITE : 0),
                        MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
    CHECK(region->host == guarded + GUARD_BYTES);
}

/* Returns how many arguments it has taken. */
static int take_arguments(int count, char **arguments)
{
    int memory_fd, regions, at = 3;

    CHECK(count > 3);
    memory_fd = atoi(arguments[1]);
    queue_count = (uint32_t)atoi(arguments[2]);
    CHECK(queue_count <= QUEUES_MAX && count > at + 2 * (int)queue_count);
    for (uint32_t i = 0; i < queue_count; i++)
        kick_fds[i] = atoi(arguments[at++]);
    for (uint32_t i = 0; i < queue_count; i++)
        call_fds[i] = atoi(arguments[at++]);
    regions = atoi(arguments[at++]);
    CHECK(count >= at + regions);
    while (regions-- > 0)
        map_region(memory_fd, arguments[at++]);
    return at;
}

static void start_set(struct set *set, uint32_t first)
{
    struct worker *worker = &set->worker;

    set->first = first;
    worker_init(worker);
    worker->ops = set->made.ops;
    worker->device = set->made.device;
    worker->profile = "none";
    worker->report_fd = report_fd;
    worker->number = set_count;
    worker->count = set->made.queues;
    CHECK(worker->count <= WORKER_QUEUES_MAX && first + worker->count <= queue_count);
    for (uint32_t i = 0; i < worker->count; i++) {
        worker->queues[i].kick_fd = kick_fds[first + i];
        worker->queues[i].call_fd = call_fds[first + i];
        if (!set->made.completes_in_order)
            logs[first + i] = malloc(INFLIGHT_HEADER_BYTES + VIRTQUEUE_SIZE_MAX * INFLIGHT_ENTRY_BYTES);
    }
    CHECK(worker_start(worker) == 0);
}

static void make_sets(int count, char **arguments)
{
    report_fd = eventfd(0, EFD_NONBLOCK);
    for (uint32_t first = 0; first < queue_count; set_count++) {
        CHECK(standalone_device_make(&sets[set_count].made, set_count, count, arguments) == 0);
        start_set(&sets[set_count], first);
        first += sets[set_count].made.queues;
    }
}

static struct set *set_of(uint32_t queue)
{
    struct set *set = sets;

    CHECK(queue < queue_count);
    while (queue >= set->first + set->made.queues)
        set++;
    return set;
}

static void say_mistake(int error)
{
    char line[LINE_BYTES];

    CHECK(virtqueue_error_text(error) != NULL); /* else it is the host that has failed */
    snprintf(line, sizeof(line), "mistake %s", virtqueue_error_text(error));
    say(line);
}

static void hear_workers(void)
{
    uint64_t value;

    if (read(report_fd, &value, sizeof(value)) < 0)
        return;
    for (uint32_t i = 0; i < queue_count; i++) {
        struct set *set = set_of(i);
        struct worker_queue *queue = &set->worker.queues[i - set->first];

        if (worker_state(&set->worker, i - set->first) != WORKER_QUEUE_FAILED || queue->error == 0)
            continue;
        say_mistake(queue->error);
        queue->error = 0;
    }
}

static void set_up(uint32_t index, const struct virtqueue_addresses *addresses, uint64_t features)
{
    struct set *set = set_of(index);
    struct worker_queue *queue = &set->worker.queues[index - set->first];
    int error = virtqueue_start(&queue->virtqueue, &memory, &black_box.queues[index], index, addresses, features, 0);

    if (error == 0 && !set->made.completes_in_order)
        error = virtqueue_keep_log(&queue->virtqueue, logs[index], 0);
    if (error < 0) {
        say_mistake(error);
        return;
    }
    queue->error = 0;
    worker_want(&set->worker, index - set->first, 1);
}

static int all_stopped(const struct set *set)
{
    for (uint32_t i = 0; i < set->worker.count; i++)
        if (worker_state(&set->worker, i) != WORKER_QUEUE_STOPPED)
            return 0;
    return 1;
}

static void reset(struct set *set)
{
    struct pollfd report = {.fd = report_fd, .events = POLLIN};

    for (uint32_t i = 0; i < set->worker.count; i++)
        worker_want(&set->worker, i, 0);
    while (!all_stopped(set)) {
        CHECK(poll(&report, 1, -1) == 1); /* whoever waits for the answer has a deadline */
        hear_workers();
    }
    for (uint32_t i = 0; i < set->worker.count; i++)
        virtqueue_init(&set->worker.queues[i].virtqueue);
    if (set->made.reset != NULL)
        set->made.reset(set->made.device);
}

static void obey(const char *line)
{
    struct virtqueue_addresses addresses;
    uint64_t features;
    uint32_t index;

    if (sscanf(line, "set-up %" SCNu32 " %" SCNu16 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &index,
               &addresses.num, &addresses.desc_gpa, &addresses.avail_gpa, &addresses.used_gpa, &features) == 6) {
        set_up(index, &addresses, features);
    } else if (strcmp(line, "reset\n") == 0) {
        for (uint32_t i = 0; i < set_count; i++)
            reset(&sets[i]);
    } else {
        CHECK(strcmp(line, "settle\n") == 0);
        hear_workers();
    }
    say("done");
}

int main(int count, char **arguments)
{
    char line[LINE_BYTES];
    int taken = take_arguments(count, arguments);

    make_sets(count - taken, arguments + taken);
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll() knows of every line */
    for (;;) {
        struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = report_fd, .events = POLLIN}};

        CHECK(poll(fds, 2, -1) > 0 || errno == EINTR);
        if (fds[1].revents != 0)
            hear_workers();
        if (fds[0].revents != 0) {
            if (fgets(line, sizeof(line), stdin) == NULL)
                break;
            obey(line);
        }
    }
    for (uint32_t i = 0; i < set_count; i++)
        worker_deinit(&sets[i].worker);
    for (uint32_t i = 0; i < queue_count; i++)
        free(logs[i]);
    return 0;
}
