/* The driver's side of a split virtqueue; it checks that each chain comes back exactly once. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_queue_cdef.h"

#define DESC_F_WRITE 2
#define USED_F_NO_NOTIFY 1
#define NS_PER_S 1000000000

struct descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

static uint16_t *avail_field(struct fake_queue *queue, uint32_t index)
{
    return (uint16_t *)(void *)(queue->memory + queue->avail_gpa) + index;
}

static uint16_t *used_field(struct fake_queue *queue, uint32_t index)
{
    return (uint16_t *)(void *)(queue->memory + queue->used_gpa) + index;
}

static uint16_t *used_event(struct fake_queue *queue)
{
    return avail_field(queue, 2U + queue->num);
}

static uint16_t *avail_event(struct fake_queue *queue)
{
    return used_field(queue, 2U + 4U * queue->num);
}

void fake_queue_init(struct fake_queue *queue, uint8_t *memory, uint16_t num, uint64_t desc_gpa, uint64_t avail_gpa,
                     uint64_t used_gpa, int event_idx, int kick_fd, int call_fd)
{
    memset(queue, 0, sizeof(*queue));
    queue->memory = memory;
    queue->num = num;
    queue->desc_gpa = desc_gpa;
    queue->avail_gpa = avail_gpa;
    queue->used_gpa = used_gpa;
    queue->event_idx = event_idx != 0;
    queue->kick_fd = kick_fd;
    queue->call_fd = call_fd;
}

void fake_queue_set_descriptor(struct fake_queue *queue, uint16_t index, uint64_t gpa, uint32_t length,
                               uint16_t flags, uint16_t next)
{
    struct descriptor *table = (struct descriptor *)(void *)(queue->memory + queue->desc_gpa);

    table[index] = (struct descriptor){.gpa = gpa, .length = length, .flags = flags, .next = next};
}

void fake_queue_fill(struct fake_queue *queue, uint64_t gpa, uint32_t length, int writable)
{
    for (uint16_t i = 0; i < queue->num; i++)
        fake_queue_set_descriptor(queue, i, gpa + (uint64_t)i * length, length, writable ? DESC_F_WRITE : 0, 0);
}

void fake_queue_offer(struct fake_queue *queue, uint16_t head)
{
    *avail_field(queue, 2U + queue->avail_idx % queue->num) = head;
    queue->avail_idx++;
    if (head < FAKE_QUEUE_SIZE_MAX)
        queue->offered[head] = 1;
}

void fake_queue_publish(struct fake_queue *queue)
{
    __atomic_store_n(avail_field(queue, 1), queue->avail_idx, __ATOMIC_RELEASE);
}

int fake_queue_kick(struct fake_queue *queue)
{
    uint16_t before = queue->kicked_idx, now = queue->avail_idx;
    uint64_t one = 1;
    int wanted;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    queue->kicked_idx = now;
    if (queue->event_idx) {
        uint16_t event = __atomic_load_n(avail_event(queue), __ATOMIC_ACQUIRE);

        wanted = (uint16_t)(now - event - 1) < (uint16_t)(now - before);
    } else {
        wanted = !(__atomic_load_n(used_field(queue, 0), __ATOMIC_ACQUIRE) & USED_F_NO_NOTIFY);
    }
    if (!wanted)
        return 0;
    queue->kicks++;
    return write(queue->kick_fd, &one, sizeof(one)) < 0 ? -errno : 1;
}

int fake_queue_take(struct fake_queue *queue, uint32_t *written)
{
    uint32_t entry[2];
    uint32_t slot = queue->used_seen % queue->num;

    if (__atomic_load_n(used_field(queue, 1), __ATOMIC_ACQUIRE) == queue->used_seen)
        return -EAGAIN;
    memcpy(entry, used_field(queue, 2U + 4U * slot), sizeof(entry));
    queue->used_seen++;
    if (entry[0] >= queue->num || !queue->offered[entry[0]])
        return -EPROTO;
    queue->offered[entry[0]] = 0;
    *written = entry[1];
    return (int)entry[0];
}

int fake_queue_ask_for_call(struct fake_queue *queue)
{
    if (queue->event_idx)
        __atomic_store_n(used_event(queue), queue->used_seen, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(used_field(queue, 1), __ATOMIC_ACQUIRE) != queue->used_seen;
}

int fake_queue_wait(struct fake_queue *queue, int timeout_ms)
{
    struct pollfd call = {.fd = queue->call_fd, .events = POLLIN};
    uint64_t value;
    int ready;

    if (fake_queue_ask_for_call(queue))
        return 0;
    do {
        ready = poll(&call, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return ready == 0 ? -ETIMEDOUT : -errno;
    queue->calls++;
    return read(queue->call_fd, &value, sizeof(value)) < 0 ? -errno : 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Some have just been taken. */
static void note_passing(struct fake_queue *queue)
{
    if (!__atomic_load_n(&queue->is_marked, __ATOMIC_ACQUIRE) ||
        (int16_t)(queue->used_seen - queue->marked_idx) <= 0)
        return;
    queue->passed_ns = now_ns();
    __atomic_store_n(&queue->is_marked, 0, __ATOMIC_RELEASE);
}

long fake_queue_run(struct fake_queue *queue, uint64_t requests, uint16_t depth, int timeout_ms)
{
    uint64_t offered = 0, completed = 0;
    long bytes = 0;
    int result;

    for (; offered < depth && offered < requests; offered++)
        fake_queue_offer(queue, (uint16_t)offered);
    fake_queue_publish(queue);
    result = fake_queue_kick(queue);
    while (result >= 0 && completed < requests) {
        uint32_t written;
        int head, again = 0;

        while ((head = fake_queue_take(queue, &written)) >= 0) {
            completed++;
            bytes += written;
            if (offered < requests) {
                fake_queue_offer(queue, (uint16_t)head);
                offered++;
                again = 1;
            }
        }
        if (head != -EAGAIN)
            return head;
        note_passing(queue);
        if (again) {
            fake_queue_publish(queue);
            result = fake_queue_kick(queue);
        }
        if (result >= 0 && completed < requests)
            result = fake_queue_wait(queue, timeout_ms);
    }
    return result < 0 ? result : bytes;
}

int fake_queue_doorbell(struct fake_queue *queue, uint64_t *samples_ns, uint32_t count)
{
    uint64_t value, one = 1;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t written;
        uint64_t before;

        if (queue->event_idx)
            __atomic_store_n(used_event(queue), queue->used_seen, __ATOMIC_RELEASE);
        fake_queue_offer(queue, 0);
        fake_queue_publish(queue);
        before = now_ns();
        if (write(queue->kick_fd, &one, sizeof(one)) < 0 || read(queue->call_fd, &value, sizeof(value)) < 0)
            return -errno;
        samples_ns[i] = now_ns() - before;
        queue->kicks++;
        queue->calls++;
        if (fake_queue_take(queue, &written) != 0)
            return -EPROTO;
    }
    return 0;
}
