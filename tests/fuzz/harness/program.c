/* An input as a life of the device: its worker, as worker.c has it but in this thread, and the driver's steps. */
#include <string.h>

#include "driver.h"
#include "ledger.h"

/* Longer is hanging: each turn completes something, or waits. */
#define IDLE_TURNS_MAX 1000
/* A driver may keep the device busy for ever, with buffers that lie over its rings. */
#define BUSY_TURNS_MAX 2000
#define STEPS_MAX 256
#define OPTION_INDIRECT 1
#define OPTION_EVENT_IDX 2

enum operation {
    PLAIN_REQUEST = 0,
    KICK = 1,
    STOP_AND_GO = 2,
    RESET = 3,
    DIE = 4,
    HOST_DOES = 5,
    WRITE_DESCRIPTOR = 6,
    POKE = 7,
    OFFER = 8,
    MOVE_RINGS = 9,
    POKE_LOG = 10,
    RESTART_ELSEWHERE = 11,
    OPERATIONS = 12
};

static struct driver driver;
static struct virtqueue queue;
static struct black_box_queue counters;
static struct inflight_log *log_of_queue;
static void *device;
static struct step options;
static uint64_t features;
static uint64_t now_ns;
static int runs; /* a queue that is started, and hasn't failed */
static uint16_t seen_used;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* worker.c's, which isn't linked */
uint64_t monotonic_ns(void)
{
    return now_ns;
}

/* What has come back since is the driver's to look at. */
static void take_used(void)
{
    for (; seen_used != queue.next_used && !driver.is_wild; seen_used++) {
        uint32_t head, written;

        ledger_used_entry(&queue, seen_used, &head, &written);
        CHECK(head < queue.num);
        driver_returned(&driver, head, written);
    }
    seen_used = queue.next_used;
}

static int call(int (*operation)(void *device, struct virtqueue *queue, struct wakeup *wakeup), struct wakeup *wakeup)
{
    int progress;

    *wakeup = (struct wakeup){.fd = -1, .deadline_ns = WAKEUP_NEVER_NS};
    ledger_before(&queue);
    virtqueue_disable_kicks(&queue);
    progress = operation(device, &queue, wakeup);
    virtqueue_needs_signal(&queue);
    ledger_after(&queue);
    CHECK(progress >= DEVICE_IDLE ? progress <= DEVICE_BLOCKED : virtqueue_error_text(progress) != NULL);
    CHECK(counters.popped - counters.completed == virtqueue_in_flight(&queue) - virtqueue_replays_left(&queue));
    take_used();
    CHECK(progress >= 0 || driver.is_wild); /* one that keeps to the rules is never told that it doesn't */
    return progress;
}

/* Whether what the device waits for comes: a time, or a descriptor. */
static int comes(const struct wakeup *wakeup, int must)
{
    if (wakeup->fd >= 0 && fuzzed_device.make_ready != NULL && fuzzed_device.make_ready(wakeup->fd, must))
        return 1;
    if (wakeup->deadline_ns == WAKEUP_NEVER_NS)
        return 0;
    if (wakeup->deadline_ns > now_ns)
        now_ns = wakeup->deadline_ns;
    return 1;
}

/* As the worker of a queue that has failed: what is under way ends, nothing is completed any more. */
static void fail(void)
{
    uint16_t used = queue.next_used;
    int progress = fuzzed_device.ops->drain == NULL ? DEVICE_IDLE : DEVICE_AGAIN;

    runs = 0;
    for (int turn = 0; progress != DEVICE_IDLE; turn++) {
        struct wakeup wakeup;

        CHECK(turn < IDLE_TURNS_MAX);
        progress = call(fuzzed_device.ops->drain, &wakeup);
        CHECK(progress >= 0);
        if (progress == DEVICE_BLOCKED)
            CHECK(comes(&wakeup, 1));
    }
    CHECK(queue.next_used == used);
}

/* As the worker after a kick, until the device has nothing to do or waits for what doesn't come. */
static void run(void)
{
    int idle = 0, busy = 0;

    while (runs && busy < BUSY_TURNS_MAX) {
        struct wakeup wakeup;
        uint64_t completed = counters.completed;
        int progress;

        CHECK(idle++ < IDLE_TURNS_MAX);
        progress = call(fuzzed_device.ops->process, &wakeup);
        if (counters.completed != completed) {
            idle = 0;
            busy++;
        }
        if (progress < 0)
            fail();
        else if (progress == DEVICE_AGAIN || comes(&wakeup, 0))
            continue;
        else if (progress == DEVICE_BLOCKED || !virtqueue_enable_kicks(&queue))
            return;
    }
}

/* As the worker when the queue is to stop. Returns whether it has, rather than failed. */
static int stop(void)
{
    for (int turn = 0; runs; turn++) {
        struct wakeup wakeup;
        int progress;

        CHECK(turn < IDLE_TURNS_MAX);
        progress = call(fuzzed_device.ops->stop, &wakeup);
        if (progress < 0)
            fail();
        else if (progress == DEVICE_IDLE)
            break;
        else if (progress == DEVICE_BLOCKED)
            CHECK(comes(&wakeup, 1));
    }
    if (runs)
        CHECK(virtqueue_in_flight(&queue) == 0);
    return runs;
}

/* base as SET_VRING_BASE has it: below 0 it is for a successor to find out. */
static void start(int base)
{
    int error;

    memset(&counters, 0, sizeof(counters));
    error = virtqueue_start(&queue, &guest_memory, &counters, 0, &driver.addresses, features, base);
    if (error == 0 && log_of_queue != NULL)
        error = queue.num > fuzzed_device.num_max ? VIRTQ_BAD_SIZE : virtqueue_keep_log(&queue, log_of_queue, base < 0);
    CHECK(error == 0 || virtqueue_error_text(error) != NULL);
    CHECK(error == 0 || driver.is_wild);
    runs = error == 0;
    seen_used = queue.next_used;
    if (runs)
        ledger_begin(&queue);
}

static uint16_t chosen_num(void)
{
    uint16_t num = (uint16_t)(1 << options.b % 9);

    return num < fuzzed_device.num_max ? num : fuzzed_device.num_max;
}

static void reset(int is_fresh)
{
    struct virtqueue_addresses elsewhere = driver.addresses;

    stop();
    if (fuzzed_device.forget != NULL)
        fuzzed_device.forget(device);
    if (is_fresh) {
        driver_begin(&driver, chosen_num());
    } else { /* the memory stays as it is */
        driver.is_wild = 1;
        driver.addresses = elsewhere;
        driver.avail_idx = 0;
    }
    start(0);
}

/* A new process, with what main keeps of the old one. */
static void die(void)
{
    device = fuzzed_device.make(&options);
    start(-1);
}

static void poke_log(const struct step *step)
{
    uint8_t *bytes = (uint8_t *)(void *)log_of_queue;
    size_t size = INFLIGHT_HEADER_BYTES + (size_t)fuzzed_device.num_max * INFLIGHT_ENTRY_BYTES;
    size_t at = step->a & 1 ? step->b % INFLIGHT_HEADER_BYTES : step->b % size;
    size_t length = 1 + step->c % 8;

    if (log_of_queue == NULL)
        return;
    driver.is_wild = 1;
    memcpy(bytes + at, &step->d, length < size - at ? length : size - at);
}

static void play(const struct step *step)
{
    switch ((enum operation)(step->operation % OPERATIONS)) {
    case PLAIN_REQUEST:
        driver_request(&driver, step, (options.a & OPTION_INDIRECT) != 0);
        break;
    case KICK:
        run();
        break;
    case STOP_AND_GO:
        if (stop())
            start(queue.next_avail);
        break;
    case RESET:
        reset(1);
        break;
    case DIE:
        die();
        break;
    case HOST_DOES:
        if (fuzzed_device.host != NULL)
            fuzzed_device.host(step);
        break;
    case WRITE_DESCRIPTOR:
        driver_write_descriptor(&driver, step);
        break;
    case POKE:
        driver_poke(&driver, step);
        break;
    case OFFER:
        driver_offer(&driver, step);
        break;
    case MOVE_RINGS:
        driver_move_rings(&driver, step);
        break;
    case POKE_LOG:
        poke_log(step);
        break;
    case RESTART_ELSEWHERE:
        reset(0);
        break;
    case OPERATIONS:
        break;
    }
}

static void make_log(void)
{
    if (fuzzed_device.keeps_log && log_of_queue == NULL)
        log_of_queue = malloc(INFLIGHT_HEADER_BYTES + (size_t)fuzzed_device.num_max * INFLIGHT_ENTRY_BYTES);
    if (log_of_queue != NULL)
        memset(log_of_queue, 0, INFLIGHT_HEADER_BYTES + (size_t)fuzzed_device.num_max * INFLIGHT_ENTRY_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = size / sizeof(struct step);

    if (count == 0)
        return 0;
    if (count > STEPS_MAX)
        count = STEPS_MAX;
    memcpy(&options, data, sizeof(options));
    now_ns = 1;
    features = UINT64_C(1) << VIRTIO_F_VERSION_1;
    features |= options.a & OPTION_INDIRECT ? UINT64_C(1) << VIRTIO_F_INDIRECT_DESC : 0;
    features |= options.a & OPTION_EVENT_IDX ? UINT64_C(1) << VIRTIO_F_EVENT_IDX : 0;
    make_log();
    device = fuzzed_device.make(&options);
    driver_begin(&driver, chosen_num());
    start(0);
    for (size_t i = 1; i < count; i++) {
        struct step step;

        memcpy(&step, data + i * sizeof(step), sizeof(step));
        play(&step);
    }
    run();
    stop();
    if (fuzzed_device.end != NULL)
        fuzzed_device.end(device);
    return 0;
}
