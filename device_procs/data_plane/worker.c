/*
 * A worker thread: waits for kicks, commands and what its device waits for, and lets the device process its queues.
 * No Python here. Once started it needs read, write, ppoll, and what its device's operations do.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "black_box_cdef.h"
#include "guest_memory_cdef.h"
#include "virtqueue_cdef.h"
#include "device_ops_cdef.h"
#include "host_call_cdef.h"
#include "worker_cdef.h"
#include "device_procs/fault_injection/crash_points.h"
#include "device_procs/sandbox/fault_report_cdef.h"
#include "seccomp_profiles/filters_cdef.h"

#define NS_PER_S 1000000000
/* A default stack of 8 MiB would count against the process's limit of data. */
#define STACK_BYTES (256 << 10)

_Static_assert(WAKEUP_NEVER_NS == UINT64_MAX, "later than any time");

/* What a thread is given at its birth; lives on the stack of worker_start(). */
struct birth {
    struct worker *worker;
    int done_fd; /* an eventfd: unlike a semaphore, it takes no call that a worker needs for nothing else */
    int error;
};

/* What to wait for: poll()'s array is [kick of each queue, then wakeup of each queue]. */
struct waiting {
    struct pollfd fds[2 * WORKER_QUEUES_MAX];
    uint64_t deadline_ns; /* a device's, or WAKEUP_NEVER_NS */
    int for_fds;          /* whether a device waits for a descriptor */
    int at_once;
};

uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* An eventfd that is full already says what it has to. */
static void signal_eventfd(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* Waits, if the descriptor blocks; otherwise it may be that there is nothing to take. */
static int take_eventfd(int fd)
{
    uint64_t value;
    ssize_t got;

    do {
        got = read(fd, &value, sizeof(value));
    } while (got < 0 && errno == EINTR);
    return got > 0;
}

/* Counted by this thread only, read by main at any time. */
static void count_one(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* To work, or to wait: main finds a worker that does neither (docs/decisions/0020). */
static void turn(const struct worker *worker)
{
    if (worker->life != NULL)
        count_one(&worker->life->turns);
}

static void set_stopped(struct worker *worker, struct worker_queue *queue)
{
    __atomic_store_n(&queue->state, WORKER_QUEUE_STOPPED, __ATOMIC_RELEASE);
    signal_eventfd(worker->report_fd);
}

/* One queue's mistake stops the whole set: nothing can be promised about its device any more. */
static void fail(struct worker *worker, struct worker_queue *failed, int error)
{
    failed->error = error;
    for (uint32_t i = 0; i < worker->count; i++)
        if (worker->queues[i].state == WORKER_QUEUE_RUNNING)
            __atomic_store_n(&worker->queues[i].state, WORKER_QUEUE_FAILED, __ATOMIC_RELEASE);
    signal_eventfd(worker->report_fd);
}

static void signal_driver(struct worker_queue *queue, uint16_t used_before)
{
    int due = queue->virtqueue.next_used != used_before && virtqueue_needs_signal(&queue->virtqueue);

    if (!due && !queue->signal_first)
        return;
    queue->signal_first = 0;
    signal_eventfd(queue->call_fd);
    count_one(&queue->virtqueue.counters->signals);
}

/* Adds to what is waited for what a queue needs next. */
static void wait_for(struct waiting *waiting, uint32_t index, struct worker_queue *queue, int progress,
                     const struct wakeup *wakeup)
{
    waiting->fds[WORKER_QUEUES_MAX + index].fd = wakeup->fd;
    waiting->for_fds |= wakeup->fd >= 0;
    if (wakeup->deadline_ns < waiting->deadline_ns)
        waiting->deadline_ns = wakeup->deadline_ns;
    if (progress == DEVICE_AGAIN || (progress == DEVICE_IDLE && virtqueue_enable_kicks(&queue->virtqueue)))
        waiting->at_once = 1;
}

/* A queue that has failed stops once its device does nothing more with the guest's memory. */
static void serve_failed(struct worker *worker, uint32_t index, struct waiting *waiting, struct wakeup *wakeup)
{
    struct worker_queue *queue = &worker->queues[index];
    int progress = DEVICE_IDLE;

    if (worker->ops->drain != NULL)
        progress = worker->ops->drain(worker->device, &queue->virtqueue, wakeup);
    if (progress == DEVICE_AGAIN || progress == DEVICE_BLOCKED)
        wait_for(waiting, index, queue, progress, wakeup);
    else
        set_stopped(worker, queue);
}

/* Gives a queue its turn. */
static void serve(struct worker *worker, uint32_t index, struct waiting *waiting)
{
    struct worker_queue *queue = &worker->queues[index];
    int wanted = (int)__atomic_load_n(&queue->wanted, __ATOMIC_ACQUIRE);
    struct wakeup wakeup = {.fd = -1, .deadline_ns = WAKEUP_NEVER_NS};
    uint16_t used_before;
    int progress;

    waiting->fds[WORKER_QUEUES_MAX + index].fd = -1;
    if (queue->state == WORKER_QUEUE_FAILED && !wanted)
        serve_failed(worker, index, waiting, &wakeup);
    if (queue->state == WORKER_QUEUE_STOPPED && wanted)
        __atomic_store_n(&queue->state, WORKER_QUEUE_RUNNING, __ATOMIC_RELEASE); /* nobody waits to hear this */
    if (queue->state != WORKER_QUEUE_RUNNING)
        return;

    HANG_POINT(worker->queues[0].kick_fd);
    used_before = queue->virtqueue.next_used;
    if (wanted) {
        virtqueue_disable_kicks(&queue->virtqueue);
        progress = worker->ops->process(worker->device, &queue->virtqueue, &wakeup);
    } else {
        progress = worker->ops->stop(worker->device, &queue->virtqueue, &wakeup);
    }
    CRASH_POINT(CRASH_BEFORE_SIGNAL, queue->virtqueue.next_used != used_before);
    /* What was completed before a mistake was found is the driver's all the same. */
    signal_driver(queue, used_before);
    if (wakeup.tell_control)
        signal_eventfd(worker->report_fd);
    if (progress < 0)
        fail(worker, queue, progress);
    else if (!wanted && progress == DEVICE_IDLE)
        set_stopped(worker, queue);
    else
        wait_for(waiting, index, queue, progress, &wakeup);
}

/* A stopped queue's kicks aren't counted: its virtqueue is the control thread's. */
static void count_kick(struct worker_queue *queue)
{
    if (queue->state == WORKER_QUEUE_RUNNING)
        count_one(&queue->virtqueue.counters->kicks);
}

static void wait_for_any(struct worker *worker, struct waiting *waiting)
{
    struct timespec left = {.tv_sec = 0};
    struct timespec *timeout = NULL;

    if (waiting->deadline_ns != WAKEUP_NEVER_NS) {
        uint64_t now = monotonic_ns();
        uint64_t left_ns = waiting->deadline_ns > now ? waiting->deadline_ns - now : 0;

        left.tv_sec = (time_t)(left_ns / NS_PER_S);
        left.tv_nsec = (long)(left_ns % NS_PER_S);
        timeout = &left;
    }
    if (ppoll(waiting->fds, 2 * WORKER_QUEUES_MAX, timeout, NULL) <= 0)
        return; /* a deadline or a signal */
    for (uint32_t i = 0; i < worker->count; i++)
        if (waiting->fds[i].revents != 0 && take_eventfd(worker->queues[i].kick_fd))
            count_kick(&worker->queues[i]);
}

/* Kicks of stopped queues wake too, for the control thread gives its commands by them. */
static void wait(struct worker *worker, struct waiting *waiting)
{
    int alone = worker->count == 1 && !waiting->for_fds && waiting->deadline_ns == WAKEUP_NEVER_NS;

    turn(worker);
    if (alone && take_eventfd(worker->queues[0].kick_fd))
        count_kick(&worker->queues[0]);
    else
        wait_for_any(worker, waiting);
    turn(worker);
}

static void serve_until_quit(struct worker *worker)
{
    struct waiting waiting;

    for (uint32_t i = 0; i < 2 * WORKER_QUEUES_MAX; i++)
        waiting.fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    for (uint32_t i = 0; i < worker->count; i++)
        waiting.fds[i].fd = worker->queues[i].kick_fd;
    if (worker->life != NULL)
        host_call_count_in(&worker->life->host_calls);
    turn(worker);
    while (!__atomic_load_n(&worker->quit, __ATOMIC_ACQUIRE)) {
        waiting.at_once = 0;
        waiting.for_fds = 0;
        waiting.deadline_ns = WAKEUP_NEVER_NS;
        for (uint32_t i = 0; i < worker->count; i++)
            serve(worker, i, &waiting);
        if (!waiting.at_once)
            wait(worker, &waiting);
    }
}

/* Signals are the control thread's, but for faults and refused calls, which are handled where they happen. */
static void block_signals(void)
{
    sigset_t blocked;

    sigfillset(&blocked);
    sigdelset(&blocked, SIGSYS);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
}

static void *worker_main(void *argument)
{
    struct birth *birth = argument;
    struct worker *worker = birth->worker;
    char name[16];
    int error;

    snprintf(name, sizeof(name), "worker%u", worker->number);
    pthread_setname_np(pthread_self(), name);
    block_signals();
    black_box_set_thread(BLACK_BOX_WORKER_THREAD + worker->number);
    error = filters_install(worker->profile);
    birth->error = error;
    signal_eventfd(birth->done_fd); /* birth is gone from here on */
    if (error == 0)
        serve_until_quit(worker);
    return NULL;
}

void worker_init(struct worker *worker)
{
    memset(worker, 0, sizeof(*worker));
    worker->report_fd = -1;
}

static int start_thread(struct worker *worker, struct birth *birth)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error = -pthread_attr_init(&attributes);

    if (error < 0)
        return error;
    error = -pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (error == 0)
        error = -pthread_create(&thread, &attributes, worker_main, birth);
    pthread_attr_destroy(&attributes);
    if (error < 0)
        return error;
    take_eventfd(birth->done_fd);
    if (birth->error < 0)
        pthread_join(thread, NULL);
    else
        worker->thread = (uint64_t)thread;
    return birth->error;
}

int worker_start(struct worker *worker)
{
    struct birth birth = {.worker = worker};
    int error;

    if (worker->count == 0 || worker->count > WORKER_QUEUES_MAX)
        return -EINVAL;
    birth.done_fd = eventfd(0, EFD_CLOEXEC);
    if (birth.done_fd < 0)
        return -errno;
    error = start_thread(worker, &birth);
    close(birth.done_fd);
    return error;
}

void worker_deinit(struct worker *worker)
{
    if (worker->thread != 0) {
        __atomic_store_n(&worker->quit, 1, __ATOMIC_RELEASE);
        signal_eventfd(worker->queues[0].kick_fd);
        pthread_join((pthread_t)worker->thread, NULL);
        worker->thread = 0;
    }
}

void worker_want(struct worker *worker, uint32_t queue, int running)
{
    __atomic_store_n(&worker->queues[queue].wanted, running != 0, __ATOMIC_RELEASE);
    signal_eventfd(worker->queues[queue].kick_fd);
}

uint32_t worker_state(const struct worker *worker, uint32_t queue)
{
    return __atomic_load_n(&worker->queues[queue].state, __ATOMIC_ACQUIRE);
}

int worker_error(const struct worker *worker, uint32_t queue)
{
    return worker->queues[queue].error;
}
