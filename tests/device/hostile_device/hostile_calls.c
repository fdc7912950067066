#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"
#include "device_procs/data_plane/device_ops_cdef.h"
#include "tests/device/hostile_device/hostile_calls_cdef.h"

static void woken(int number)
{
    (void)number;
}

int hostile_can_be_woken(void)
{
    struct sigaction action = {.sa_handler = woken}; /* no SA_RESTART */

    return sigaction(SIGUSR1, &action, NULL) < 0 ? -errno : 0;
}

/* xorshift64* */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1d;
}

static uint64_t pick(struct hostile_storm *storm, uint32_t place)
{
    uint64_t random = next_random(&storm->seed);

    if (random & 1)
        return storm->values[(random >> 1) % storm->value_count];
    if (place == 0)
        return storm->descriptors[(random >> 1) % storm->descriptor_count];
    return storm->likely[(random >> 1) % storm->likely_count];
}

void hostile_storm_run(struct hostile_storm *storm)
{
    uint64_t a[HOSTILE_ARGUMENTS];
    sigset_t wakes;

    sigemptyset(&wakes);
    sigaddset(&wakes, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &wakes, NULL);
    for (uint64_t round = 0; round < storm->rounds; round++) {
        for (uint32_t place = 0; place < HOSTILE_ARGUMENTS; place++)
            a[place] = (pick(storm, place) & ~storm->clear[place]) | storm->set[place];
        __atomic_add_fetch(&storm->board->calls, 1, __ATOMIC_RELAXED);
        if (syscall((long)storm->number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0)
            __atomic_add_fetch(&storm->board->failed, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&storm->board->done, 1, __ATOMIC_RELEASE);
}

uint64_t hostile_map(uint64_t length, int flags)
{
    uint8_t *mapped = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (mapped == MAP_FAILED)
        return 0;
    *mapped = 1;
    return (uint64_t)mapped;
}

static int process(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    struct hostile_storm *storm = device;

    (void)queue;
    (void)wakeup;
    if (storm->rounds > 0)
        hostile_storm_run(storm);
    storm->rounds = 0;
    return DEVICE_IDLE;
}

static int stop(void *device, struct virtqueue *queue, struct wakeup *wakeup)
{
    (void)device;
    (void)queue;
    (void)wakeup;
    return DEVICE_IDLE;
}

static const struct device_ops ops = {.process = process, .stop = stop};

const void *hostile_ops(void)
{
    return &ops;
}
