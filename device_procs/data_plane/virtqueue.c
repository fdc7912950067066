/*
 * The device's side of a split virtqueue. The driver may be hostile and change anything at any time: each field is
 * read once, into a copy, and only the copy is checked and used.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "black_box_cdef.h"
#include "guest_memory_cdef.h"
#include "inflight_log_cdef.h"
#include "virtqueue_cdef.h"
#include "device_procs/fault_injection/crash_points.h"

/* virtio 1.2, 2.7.5 to 2.7.8 */
#define DESC_BYTES 16
#define DESC_F_NEXT 1
#define DESC_F_WRITE 2
#define DESC_F_INDIRECT 4
#define AVAIL_F_NO_INTERRUPT 1
#define USED_F_NO_NOTIFY 1
#define RING_IDX_OFFSET 2
#define RING_ENTRIES_OFFSET 4
#define AVAIL_ENTRY_BYTES 2
#define USED_ENTRY_BYTES 8
#define EVENT_BYTES 2

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian, and read as they are");
_Static_assert(sizeof(((struct virtqueue *)NULL)->in_flight) * 8 == VIRTQUEUE_SIZE_MAX, "a bit for each head");
_Static_assert(sizeof(((struct virtqueue *)NULL)->replays) / 2 == VIRTQUEUE_SIZE_MAX, "every head may be in flight");
_Static_assert(sizeof(struct chain_segment) == sizeof(struct iovec) &&
                   offsetof(struct chain_segment, host) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct chain_segment, length) == offsetof(struct iovec, iov_len),
               "chain segments are handed to readv and writev");

struct descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};
_Static_assert(sizeof(struct descriptor) == DESC_BYTES, "virtio 1.2, 2.7.5");

static uint16_t load_u16(const uint8_t *field)
{
    return __atomic_load_n((const uint16_t *)(const void *)field, __ATOMIC_ACQUIRE);
}

static void store_u16(uint8_t *field, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)field, value, __ATOMIC_RELEASE);
}

/* Counted by this thread only, read by main at any time. */
static void count(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, *counter + by, __ATOMIC_RELAXED);
}

/* One entry of a descriptor table, which needs no alignment if it is an indirect one. */
static struct descriptor read_descriptor(const uint8_t *table, uint32_t index)
{
    struct descriptor copy;

    memcpy(&copy, table + (size_t)index * DESC_BYTES, sizeof(copy));
    /* From here on the compiler may not take a field from the guest's memory again. */
    __asm__ volatile("" : "+m"(copy) : : "memory");
    return copy;
}

static int is_in_flight(const struct virtqueue *queue, uint16_t head)
{
    return (int)((queue->in_flight[head / 64] >> (head % 64)) & 1);
}

static void set_in_flight(struct virtqueue *queue, uint16_t head, int popped)
{
    uint64_t bit = UINT64_C(1) << (head % 64);

    if (popped)
        queue->in_flight[head / 64] |= bit;
    else
        queue->in_flight[head / 64] &= ~bit;
}

static uint16_t avail_idx(const struct virtqueue *queue)
{
    return load_u16(queue->avail + RING_IDX_OFFSET);
}

void virtqueue_init(struct virtqueue *queue)
{
    memset(queue, 0, sizeof(*queue));
}

/* Whether two ranges, both in RAM, have no byte in common. */
static int is_apart(uint64_t gpa, uint64_t bytes, uint64_t other_gpa, uint64_t other_bytes)
{
    return gpa + bytes <= other_gpa || other_gpa + other_bytes <= gpa;
}

int virtqueue_start(struct virtqueue *queue, const struct guest_memory *memory, struct black_box_queue *counters,
                    uint32_t index, const struct virtqueue_addresses *addresses, uint64_t features, int base)
{
    uint16_t num = addresses->num;
    uint64_t desc_bytes = (uint64_t)num * DESC_BYTES;
    uint64_t avail_bytes = RING_ENTRIES_OFFSET + (uint64_t)num * AVAIL_ENTRY_BYTES + EVENT_BYTES;
    uint64_t used_bytes = RING_ENTRIES_OFFSET + (uint64_t)num * USED_ENTRY_BYTES + EVENT_BYTES;
    uint16_t used_idx;

    virtqueue_init(queue);
    /* "Queue Size value is always a power of 2" (2.7) */
    if (num == 0 || num > VIRTQUEUE_SIZE_MAX || (num & (num - 1)) != 0)
        return VIRTQ_BAD_SIZE;
    if (addresses->desc_gpa % 16 != 0 || addresses->avail_gpa % 2 != 0 || addresses->used_gpa % 4 != 0)
        return VIRTQ_BAD_ALIGNMENT;
    queue->desc = guest_memory_at(memory, addresses->desc_gpa, desc_bytes, 0);
    queue->avail = guest_memory_at(memory, addresses->avail_gpa, avail_bytes, 0);
    queue->used = guest_memory_at(memory, addresses->used_gpa, used_bytes, 1);
    if (queue->desc == NULL || queue->avail == NULL || queue->used == NULL)
        return VIRTQ_RING_NOT_IN_RAM;
    /* What the device writes must not become what it reads: it could find something new to do for ever. */
    if (!is_apart(addresses->used_gpa, used_bytes, addresses->desc_gpa, desc_bytes) ||
        !is_apart(addresses->used_gpa, used_bytes, addresses->avail_gpa, avail_bytes))
        return VIRTQ_RINGS_OVERLAP;
    /* Only the device writes used.idx, so what is there must be what was left there. */
    used_idx = load_u16(queue->used + RING_IDX_OFFSET);
    if (base >= 0 && used_idx != (uint16_t)base)
        return VIRTQ_WRONG_BASE;
    queue->memory = memory;
    queue->counters = counters;
    queue->index = index;
    queue->num = num;
    queue->next_avail = used_idx;
    queue->next_used = used_idx;
    queue->indirect = (features >> VIRTIO_F_INDIRECT_DESC) & 1;
    queue->event_idx = (features >> VIRTIO_F_EVENT_IDX) & 1;
    return 0;
}

/* Adds one descriptor's buffer to the chain. */
static int add_segment(const struct virtqueue *queue, struct descriptor_chain *chain, const struct descriptor *desc)
{
    int writable = (desc->flags & DESC_F_WRITE) != 0;
    uint32_t *bytes = writable ? &chain->writable_bytes : &chain->readable_bytes;
    uint32_t segments = (uint32_t)chain->readable_count + chain->writable_count;
    uint8_t *host;

    /* "device-writable ... after any device-readable descriptor elements" (2.7.4.2) */
    if (!writable && chain->writable_count > 0)
        return VIRTQ_READABLE_AFTER_WRITABLE;
    if (segments == CHAIN_SEGMENTS_MAX)
        return VIRTQ_CHAIN_TOO_LONG;
    /* "MUST NOT add a descriptor chain longer than 2^32 bytes in total" (2.7.5.2) */
    if (desc->length > UINT32_MAX - *bytes)
        return VIRTQ_CHAIN_TOO_BIG;
    host = guest_memory_at(queue->memory, desc->gpa, desc->length, writable);
    if (host == NULL)
        return VIRTQ_BUFFER_NOT_IN_RAM;
    chain->segments[segments] = (struct chain_segment){.host = host, .length = desc->length};
    *bytes += desc->length;
    if (writable)
        chain->writable_count++;
    else
        chain->readable_count++;
    return 0;
}

/*
 * Follows next from `index` through a table of `size` entries. A chain that is longer has a loop. Where an indirect
 * table is referred to (never from another one), *indirect gets that descriptor, and the walk ends.
 */
static int walk_table(const struct virtqueue *queue, struct descriptor_chain *chain, const uint8_t *table,
                      uint32_t size, uint32_t index, struct descriptor *indirect)
{
    for (uint32_t seen = 0; seen < size; seen++) {
        struct descriptor desc = read_descriptor(table, index);
        int error;

        if (desc.flags & DESC_F_INDIRECT) {
            if (indirect == NULL)
                return VIRTQ_INDIRECT_NESTED;
            *indirect = desc;
            return 0;
        }
        error = add_segment(queue, chain, &desc);
        if (error < 0)
            return error;
        if (!(desc.flags & DESC_F_NEXT))
            return 0;
        if (desc.next >= size)
            return VIRTQ_NEXT_TOO_HIGH;
        index = desc.next;
    }
    return VIRTQ_CHAIN_TOO_LONG;
}

static int walk_indirect(const struct virtqueue *queue, struct descriptor_chain *chain,
                         const struct descriptor *desc)
{
    const uint8_t *table;

    if (!queue->indirect)
        return VIRTQ_INDIRECT_NOT_NEGOTIATED;
    /* "MUST NOT set both VIRTQ_DESC_F_INDIRECT and VIRTQ_DESC_F_NEXT" (2.7.5.3.1) */
    if (desc->flags & DESC_F_NEXT)
        return VIRTQ_INDIRECT_WITH_NEXT;
    if (desc->length == 0 || desc->length % DESC_BYTES != 0)
        return VIRTQ_INDIRECT_BAD_LENGTH;
    /* "MUST ignore the write-only flag in the descriptor that refers to an indirect table" (2.7.5.3.2) */
    table = guest_memory_at(queue->memory, desc->gpa, desc->length, 0);
    if (table == NULL)
        return VIRTQ_INDIRECT_NOT_IN_RAM;
    return walk_table(queue, chain, table, desc->length / DESC_BYTES, 0, NULL);
}

int virtqueue_keep_log(struct virtqueue *queue, struct inflight_log *log, int resume)
{
    uint16_t outstanding = (uint16_t)(avail_idx(queue) - queue->next_used);
    int found;

    queue->log = log;
    if (!resume) {
        inflight_log_begin(log, queue->num, queue->next_used);
        return 0;
    }
    if (outstanding > queue->num)
        return VIRTQ_AVAIL_JUMPED;
    found = inflight_log_recover(log, queue->num, queue->next_used, outstanding, queue->replays, &queue->counter);
    if (found < 0)
        return found;
    for (int i = 0; i < found; i++)
        set_in_flight(queue, queue->replays[i], 1);
    queue->replay_count = (uint16_t)found;
    /* So many were popped beyond those that are completed, whichever they were. */
    queue->next_avail = (uint16_t)(queue->next_used + found);
    return 0;
}

uint16_t virtqueue_replays_left(const struct virtqueue *queue)
{
    return (uint16_t)(queue->replay_count - queue->replay_next);
}

/* Walks the chain that begins at head. Returns 0 or a virtqueue_error. */
static int walk_chain(const struct virtqueue *queue, struct descriptor_chain *chain, uint16_t head)
{
    struct descriptor indirect = {.flags = 0};
    int error;

    chain->head = head;
    chain->readable_count = chain->writable_count = 0;
    chain->readable_bytes = chain->writable_bytes = 0;
    error = walk_table(queue, chain, queue->desc, queue->num, head, &indirect);
    if (error == 0 && (indirect.flags & DESC_F_INDIRECT))
        error = walk_indirect(queue, chain, &indirect);
    return error;
}

/* The driver may not have changed a chain that it hasn't got back, but nothing is taken on trust: it is read anew. */
static int pop_again(struct virtqueue *queue, struct descriptor_chain *chain)
{
    int error = walk_chain(queue, chain, queue->replays[queue->replay_next]);

    if (error < 0)
        return error;
    queue->replay_next++;
    count(&queue->counters->popped, 1);
    return 1;
}

int virtqueue_pop(struct virtqueue *queue, struct descriptor_chain *chain)
{
    uint16_t available = (uint16_t)(avail_idx(queue) - queue->next_avail);
    uint16_t slot = queue->next_avail % queue->num;
    uint16_t head;
    int error;

    if (virtqueue_replays_left(queue) > 0)
        return pop_again(queue, chain);
    if (available == 0)
        return 0;
    if (available > queue->num)
        return VIRTQ_AVAIL_JUMPED;
    head = load_u16(queue->avail + RING_ENTRIES_OFFSET + (size_t)slot * AVAIL_ENTRY_BYTES);
    if (head >= queue->num)
        return VIRTQ_HEAD_TOO_HIGH;
    if (is_in_flight(queue, head))
        return VIRTQ_HEAD_IN_FLIGHT;
    error = walk_chain(queue, chain, head);
    if (error < 0)
        return error;
    set_in_flight(queue, head, 1);
    if (queue->log != NULL)
        inflight_log_take(queue->log, head, ++queue->counter);
    queue->next_avail++;
    count(&queue->counters->popped, 1);
    return 1;
}

void virtqueue_undo_pop(struct virtqueue *queue, const struct descriptor_chain *chain)
{
    /* Only a queue that completes in order can put one back. */
    if (!is_in_flight(queue, chain->head) || queue->log != NULL)
        abort();
    set_in_flight(queue, chain->head, 0);
    queue->next_avail--;
    count(&queue->counters->popped, UINT64_MAX); /* one less */
}

void virtqueue_complete(struct virtqueue *queue, uint16_t head, uint32_t written)
{
    uint8_t *entry = queue->used + RING_ENTRIES_OFFSET + (size_t)(queue->next_used % queue->num) * USED_ENTRY_BYTES;
    uint32_t used[2] = {head, written};

    /* A chain that is completed twice, or was never popped, is our own mistake. */
    if (head >= queue->num || !is_in_flight(queue, head))
        abort();
    set_in_flight(queue, head, 0);
    memcpy(entry, used, sizeof(used));
    queue->next_used++;
    if (queue->log != NULL)
        inflight_log_before_used(queue->log, head);
    store_u16(queue->used + RING_IDX_OFFSET, queue->next_used);
    CRASH_POINT(CRASH_INSIDE_COMPLETION, 1);
    if (queue->log != NULL)
        inflight_log_after_used(queue->log, head, queue->next_used);
    count(&queue->counters->completed, 1);
}

uint32_t virtqueue_in_flight(const struct virtqueue *queue)
{
    uint32_t found = 0;

    for (size_t i = 0; i < sizeof(queue->in_flight) / sizeof(queue->in_flight[0]); i++)
        found += (uint32_t)__builtin_popcountll(queue->in_flight[i]);
    return found;
}

int virtqueue_needs_signal(struct virtqueue *queue)
{
    uint16_t before = queue->signalled_used;
    uint16_t now = queue->next_used;
    uint16_t event;

    if (queue->signalled_known && before == now)
        return 0;
    /* The driver stores used_event or flags, then looks at used.idx; we the other way round. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!queue->event_idx) {
        queue->signalled_used = now;
        queue->signalled_known = 1;
        return !(load_u16(queue->avail) & AVAIL_F_NO_INTERRUPT);
    }
    event = load_u16(queue->avail + RING_ENTRIES_OFFSET + (size_t)queue->num * AVAIL_ENTRY_BYTES);
    queue->signalled_used = now;
    if (!queue->signalled_known) {
        queue->signalled_known = 1;
        return 1;
    }
    /* Whether used.idx has passed used_event since (2.7.7.2) */
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

int virtqueue_enable_kicks(struct virtqueue *queue)
{
    uint8_t *avail_event = queue->used + RING_ENTRIES_OFFSET + (size_t)queue->num * USED_ENTRY_BYTES;

    if (queue->event_idx)
        store_u16(avail_event, queue->next_avail); /* 2.7.10 */
    else
        store_u16(queue->used, 0);
    /* The driver stores avail.idx, then looks at avail_event or flags; we the other way round. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return avail_idx(queue) != queue->next_avail;
}

void virtqueue_disable_kicks(struct virtqueue *queue)
{
    /* With EVENT_IDX the old avail_event does it: the driver has passed it. */
    if (!queue->event_idx)
        store_u16(queue->used, USED_F_NO_NOTIFY);
}
