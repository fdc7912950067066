/* What the driver has allowed, found by a reading of the descriptors that shares nothing with the device's. */
#include <string.h>

#include "ledger.h"

#define RANGES_MAX 4096
#define F_WRITE 2
#define F_INDIRECT 4

struct wire_descriptor {
    uint64_t gpa;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

struct allowed {
    struct byte_range ranges[RANGES_MAX];
    size_t count;
    int is_anything; /* too many to tell, or what was allowed has changed under way */
};

static struct allowed now, after, from_before;
static int8_t outstanding[VIRTQUEUE_SIZE_MAX]; /* of each head */
static int knows_heads;
static uint16_t next_avail, next_used;

static void allow(struct allowed *allowed, uint64_t gpa, uint64_t length)
{
    if (length == 0)
        return;
    if (allowed->count == RANGES_MAX)
        allowed->is_anything = 1;
    else
        allowed->ranges[allowed->count++] = (struct byte_range){gpa, length};
}

static void allow_table(struct allowed *allowed, const uint8_t *table, uint64_t entries, int may_refer)
{
    for (uint64_t i = 0; i < entries && !allowed->is_anything; i++) {
        struct wire_descriptor found;

        memcpy(&found, table + 16 * i, sizeof(found));
        if (found.flags & F_INDIRECT) {
            const uint8_t *inner = guest_bytes(found.gpa, found.length);

            if (may_refer && inner != NULL)
                allow_table(allowed, inner, found.length / 16, 0);
        } else if (found.flags & F_WRITE) {
            allow(allowed, found.gpa, found.length);
        }
    }
}

/* Every buffer that any descriptor lets the device write to. */
static void read_allowed(struct allowed *allowed, const struct virtqueue *queue)
{
    allowed->count = 0;
    allowed->is_anything = 0;
    allow_table(allowed, queue->desc, queue->num, 1);
}

static int is_same(const struct allowed *one, const struct allowed *other)
{
    return one->is_anything == other->is_anything && one->count == other->count &&
           memcmp(one->ranges, other->ranges, one->count * sizeof(one->ranges[0])) == 0;
}

static uint64_t gpa_of(const uint8_t *host)
{
    for (uint32_t i = 0; i < guest_memory.count; i++) {
        const struct guest_memory_region *region = &guest_memory.regions[i];

        if (host >= region->host && host < region->host + region->size)
            return region->gpa + (uint64_t)(host - region->host);
    }
    abort();
}

/* The end of what is allowed from gpa on, or gpa itself. */
static uint64_t allowed_until(const struct allowed *allowed, uint64_t gpa)
{
    for (size_t i = 0; i < allowed->count; i++)
        if (gpa >= allowed->ranges[i].gpa && gpa - allowed->ranges[i].gpa < allowed->ranges[i].length)
            return allowed->ranges[i].gpa + allowed->ranges[i].length;
    return gpa;
}

static void check_writes(const struct virtqueue *queue)
{
    uint64_t used_gpa = gpa_of(queue->used), used_end = used_gpa + 6 + 8 * (uint64_t)queue->num;
    uint64_t gpa = 0;

    while (guest_find_change(&gpa)) {
        uint64_t until = gpa >= used_gpa && gpa < used_end ? used_end : allowed_until(&now, gpa);

        if (until == gpa)
            until = allowed_until(&from_before, gpa);
        if (until == gpa)
            fprintf(stderr, "the device has written to %#llx, which no descriptor lets it\n", (unsigned long long)gpa);
        CHECK(until > gpa);
        gpa = until;
    }
}

static uint16_t load(const uint8_t *field)
{
    uint16_t value;

    memcpy(&value, field, sizeof(value));
    return value;
}

void ledger_used_entry(const struct virtqueue *queue, uint16_t index, uint32_t *head, uint32_t *written)
{
    const uint8_t *entry = queue->used + 4 + 8 * (size_t)(index % queue->num);

    memcpy(head, entry, 4);
    memcpy(written, entry + 4, 4);
}

static int is_in_flight(const struct virtqueue *queue, uint16_t head)
{
    return (int)((queue->in_flight[head / 64] >> (head % 64)) & 1);
}

static void count_anew(const struct virtqueue *queue)
{
    for (uint16_t head = 0; head < queue->num; head++)
        outstanding[head] = (int8_t)is_in_flight(queue, head);
}

/* Each head that was popped since, and each that came back. */
static void check_heads(const struct virtqueue *queue)
{
    int16_t popped = (int16_t)(queue->next_avail - next_avail);
    uint16_t used = (uint16_t)(queue->next_used - next_used);

    CHECK(used <= VIRTQUEUE_SIZE_MAX);
    CHECK(used == 0 || load(queue->used + 2) == queue->next_used);
    for (int16_t i = 0; i < popped; i++)
        outstanding[load(queue->avail + 4 + 2 * (size_t)((uint16_t)(next_avail + i) % queue->num)) % queue->num]++;
    for (uint16_t i = 0; i < used; i++) {
        uint32_t head, written;

        ledger_used_entry(queue, (uint16_t)(next_used + i), &head, &written);
        CHECK(head < queue->num);
        outstanding[head]--;
    }
    for (uint16_t head = 0; head < queue->num; head++) {
        CHECK(outstanding[head] == 0 || outstanding[head] == 1);
        CHECK(outstanding[head] == is_in_flight(queue, head));
    }
}

void ledger_begin(const struct virtqueue *queue)
{
    count_anew(queue);
    knows_heads = 1;
    next_avail = queue->next_avail;
    next_used = queue->next_used;
    from_before.count = 0;
    from_before.is_anything = 0;
}

void ledger_before(const struct virtqueue *queue)
{
    read_allowed(&now, queue);
    guest_remember();
}

/* A device that fills a buffer that lies over the rings has changed what it is asked meanwhile, as it was told to. */
static int rings_have_changed(const struct virtqueue *queue)
{
    uint64_t avail_gpa = gpa_of(queue->avail), gpa = avail_gpa;

    return guest_find_change(&gpa) && gpa < avail_gpa + 6 + 2 * (uint64_t)queue->num;
}

/* The used ring itself may be overwritten by a buffer too, or lie over the other rings. */
static int rings_are_buffers(const struct virtqueue *queue)
{
    uint64_t used_gpa = gpa_of(queue->used), used_end = used_gpa + 6 + 8 * (uint64_t)queue->num;
    uint64_t avail_gpa = gpa_of(queue->avail), avail_end = avail_gpa + 6 + 2 * (uint64_t)queue->num;

    if (used_gpa < avail_end && avail_gpa < used_end)
        return 1;
    for (size_t i = 0; i < now.count; i++)
        if (now.ranges[i].gpa < used_end && now.ranges[i].gpa + now.ranges[i].length > used_gpa)
            return 1;
    for (size_t i = 0; i < from_before.count; i++)
        if (from_before.ranges[i].gpa < used_end && from_before.ranges[i].gpa + from_before.ranges[i].length > used_gpa)
            return 1;
    return 0;
}

static void keep_while_in_flight(const struct virtqueue *queue)
{
    if (virtqueue_in_flight(queue) == 0) {
        from_before.count = 0;
        from_before.is_anything = 0;
        return;
    }
    from_before.is_anything |= now.is_anything;
    for (size_t i = 0; i < now.count; i++)
        allow(&from_before, now.ranges[i].gpa, now.ranges[i].length);
}

void ledger_after(const struct virtqueue *queue)
{
    int anything;

    read_allowed(&after, queue);
    if (!is_same(&now, &after))
        now.is_anything = 1;
    anything = now.is_anything || from_before.is_anything;
    if (!anything)
        check_writes(queue);
    if (anything || rings_have_changed(queue) || rings_are_buffers(queue))
        knows_heads = 0; /* until the next driver or successor */
    /* Put back, its place in the ring may be another's by now; or the driver has offered what it hasn't got back. */
    if (knows_heads && ((int16_t)(queue->next_avail - next_avail) < 0 ||
                        (uint16_t)(queue->next_used - next_used) > queue->num))
        count_anew(queue);
    else if (knows_heads)
        check_heads(queue);
    next_avail = queue->next_avail;
    next_used = queue->next_used;
    keep_while_in_flight(queue);
}
