/* The in-flight log: written as requests come and go, and read with suspicion by whoever takes over. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "black_box_cdef.h"
#include "guest_memory_cdef.h"
#include "inflight_log_cdef.h"
#include "virtqueue_cdef.h"

_Static_assert(sizeof(struct inflight_log) == INFLIGHT_HEADER_BYTES, "as vhost-user's QueueRegionSplit");
_Static_assert(sizeof(struct inflight_entry) == INFLIGHT_ENTRY_BYTES, "as vhost-user's DescStateSplit");

/* Each store is seen by a successor only if those before it are: the memory outlives the process. */
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)
#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)

static uint64_t bytes_per_queue(uint64_t file_bytes, uint32_t queues)
{
    return queues == 0 ? 0 : file_bytes / queues / INFLIGHT_ALIGNMENT * INFLIGHT_ALIGNMENT;
}

uint64_t inflight_log_room(uint64_t file_bytes, uint32_t queues)
{
    uint64_t bytes = bytes_per_queue(file_bytes, queues);

    return bytes < INFLIGHT_HEADER_BYTES ? 0 : (bytes - INFLIGHT_HEADER_BYTES) / INFLIGHT_ENTRY_BYTES;
}

struct inflight_log *inflight_log_map(int fd, uint32_t queues, uint32_t index)
{
    struct stat status;
    uint8_t *file;

    if (fstat(fd, &status) < 0)
        return NULL;
    if (index >= queues || inflight_log_room((uint64_t)status.st_size, queues) == 0) {
        errno = EINVAL;
        return NULL;
    }
    file = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED)
        return NULL;
    return (struct inflight_log *)(void *)(file + index * bytes_per_queue((uint64_t)status.st_size, queues));
}

void inflight_log_take(struct inflight_log *log, uint16_t head, uint64_t counter)
{
    STORE(log->entries[head].counter, counter);
    STORE(log->entries[head].inflight, 1);
}

void inflight_log_before_used(struct inflight_log *log, uint16_t head)
{
    STORE(log->last_batch_head, head);
}

void inflight_log_after_used(struct inflight_log *log, uint16_t head, uint16_t used_idx)
{
    STORE(log->entries[head].inflight, 0);
    STORE(log->used_idx, used_idx);
}

void inflight_log_begin(struct inflight_log *log, uint16_t num, uint16_t used_idx)
{
    memset(log, 0, INFLIGHT_HEADER_BYTES + (size_t)num * INFLIGHT_ENTRY_BYTES);
    log->desc_num = num;
    log->used_idx = used_idx;
    STORE(log->version, INFLIGHT_VERSION);
}

/* Whether nothing was ever written to it since main has cleared it. */
static int is_cleared(const struct inflight_log *log)
{
    return LOAD(log->version) == 0 && log->features == 0 && log->desc_num == 0 && log->used_idx == 0 &&
           log->last_batch_head == 0;
}

/* The predecessor died between its store of used.idx and the last one of that completion: it is done. */
static int mend_last(struct inflight_log *log, uint16_t num, uint16_t used_idx)
{
    uint16_t missing = (uint16_t)(used_idx - LOAD(log->used_idx));
    uint16_t head = LOAD(log->last_batch_head);

    if (missing == 0)
        return 0;
    if (missing > 1 || head >= num)
        return VIRTQ_LOG_BAD_INDEX;
    inflight_log_after_used(log, head, used_idx);
    return 0;
}

/* Puts a head in its place among those that are sorted by their counters already. Two can't have the same. */
static int insert(uint16_t *heads, uint64_t *counters, int count, uint16_t head, uint64_t counter)
{
    int place = count;

    while (place > 0 && counters[place - 1] > counter)
        place--;
    if (place > 0 && counters[place - 1] == counter)
        return VIRTQ_LOG_BAD_COUNTER;
    memmove(heads + place + 1, heads + place, (size_t)(count - place) * sizeof(*heads));
    memmove(counters + place + 1, counters + place, (size_t)(count - place) * sizeof(*counters));
    heads[place] = head;
    counters[place] = counter;
    return 0;
}

int inflight_log_recover(struct inflight_log *log, uint16_t num, uint16_t used_idx, uint16_t outstanding,
                         uint16_t *heads, uint64_t *counter)
{
    uint64_t counters[VIRTQUEUE_SIZE_MAX];
    int error, count = 0;

    if (is_cleared(log)) {
        /* A driver's rings begin at 0; where they have gone on, somebody has wiped what was in flight. */
        if (used_idx != 0)
            return VIRTQ_LOG_BAD_HEADER;
        inflight_log_begin(log, num, used_idx);
    }
    if (LOAD(log->version) != INFLIGHT_VERSION || log->features != 0 || log->desc_num != num)
        return VIRTQ_LOG_BAD_HEADER;
    error = mend_last(log, num, used_idx);
    if (error < 0)
        return error;
    for (uint16_t head = 0; head < num; head++) {
        uint8_t inflight = LOAD(log->entries[head].inflight);
        uint64_t taken = LOAD(log->entries[head].counter);

        if (inflight == 0)
            continue;
        if (inflight != 1)
            return VIRTQ_LOG_BAD_ENTRY;
        if (taken == 0 || taken > INFLIGHT_COUNTER_MAX)
            return VIRTQ_LOG_BAD_COUNTER;
        error = insert(heads, counters, count, head, taken);
        if (error < 0)
            return error;
        count++;
    }
    if (count > outstanding)
        return VIRTQ_LOG_TOO_MANY;
    *counter = count > 0 ? counters[count - 1] : 0;
    return count;
}
