/* A driver that mostly keeps to the rules: whatever else it does is done to memory that the device then reads. */
#include <string.h>

#include "driver.h"

#define F_NEXT 1
#define F_WRITE 2
#define F_INDIRECT 4
#define PARTS_MAX 6 /* of a request: header, two for reading, two for writing, status */

struct part {
    uint64_t gpa;
    uint32_t length;
    uint16_t is_writable;
};

static void store(uint64_t gpa, const void *value, size_t length)
{
    uint8_t *to = guest_bytes(gpa, length);

    if (to != NULL)
        memcpy(to, value, length);
}

static void set_descriptor(uint64_t table_gpa, uint32_t index, uint64_t gpa, uint32_t length, uint16_t flags,
                           uint16_t next)
{
    uint64_t at = table_gpa + 16 * (uint64_t)index;

    store(at, &gpa, 8);
    store(at + 8, &length, 4);
    store(at + 12, &flags, 2);
    store(at + 14, &next, 2);
}

void driver_begin(struct driver *driver, uint16_t num)
{
    memset(driver, 0, sizeof(*driver));
    guest_clear();
    driver->addresses = (struct virtqueue_addresses){num, DESC_GPA, AVAIL_GPA, USED_GPA};
}

static void publish(struct driver *driver, uint16_t head)
{
    uint16_t slot = (uint16_t)(driver->avail_idx % driver->addresses.num);

    store(driver->addresses.avail_gpa + 4 + 2 * (uint64_t)slot, &head, 2);
    driver->avail_idx++;
    store(driver->addresses.avail_gpa + 2, &driver->avail_idx, 2);
}

/* Buffers of different requests may share bytes: the driver doesn't look at them. */
static uint64_t take_buffer(struct driver *driver, uint32_t length)
{
    uint64_t gpa;

    if (length > BUFFERS_BYTES - driver->next_buffer)
        driver->next_buffer = 0;
    gpa = BUFFERS_GPA + driver->next_buffer;
    driver->next_buffer = (driver->next_buffer + length) % BUFFERS_BYTES;
    return gpa;
}

/* One or two parts of so many bytes. */
static uint32_t add_parts(struct driver *driver, struct part *parts, uint32_t bytes, uint32_t cut, uint16_t is_writable)
{
    uint64_t gpa = take_buffer(driver, bytes);
    uint32_t first = cut == 0 ? bytes : bytes * (cut % 8) / 8;

    if (bytes == 0)
        return 0;
    parts[0] = (struct part){gpa, first, is_writable};
    parts[1] = (struct part){gpa + first, bytes - first, is_writable};
    return first < bytes ? 2 : 1;
}

static uint32_t lay_out(struct driver *driver, const struct plain_request *request, uint16_t head, struct part *parts)
{
    uint64_t header_gpa = HEADERS_GPA + (uint64_t)head * PLAIN_HEADER_MAX;
    uint32_t count = 0;

    if (request->header_bytes > 0)
        parts[count++] = (struct part){header_gpa, request->header_bytes, 0};
    count += add_parts(driver, parts + count, request->readable_bytes, request->step.a & 7, 0);
    count += add_parts(driver, parts + count, request->writable_bytes, request->step.a >> 3 & 7, 1);
    if (request->has_status)
        parts[count++] = (struct part){STATUS_GPA + head, 1, 1};
    return count;
}

static void write_chain(uint64_t table_gpa, uint16_t first, uint16_t size, const struct part *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint16_t next = (uint16_t)((first + i + 1) % size);
        uint16_t flags = (uint16_t)((parts[i].is_writable ? F_WRITE : 0) | (i + 1 < count ? F_NEXT : 0));

        set_descriptor(table_gpa, (uint32_t)(first + i) % size, parts[i].gpa, parts[i].length, flags, next);
    }
}

/* Whether these descriptors in a row belong to no chain that is with the device. */
static int are_free(const struct driver *driver, uint16_t num, uint16_t first, uint32_t count)
{
    /* A chain is found by its head, and is no longer than a request's parts. */
    for (uint32_t back = 0; back < PARTS_MAX; back++)
        if (driver->offered[(uint16_t)(first + num * PARTS_MAX - back) % num].is_known)
            return 0;
    for (uint32_t i = 0; i < count; i++)
        if (driver->offered[(first + i) % num].is_known)
            return 0;
    return 1;
}

void driver_request(struct driver *driver, const struct step *step, int may_be_indirect)
{
    struct plain_request request = {.step = *step};
    struct part parts[PARTS_MAX];
    uint16_t num = driver->addresses.num < HEADS ? driver->addresses.num : HEADS, head;
    uint32_t count;
    int is_indirect = may_be_indirect && (step->a & 0x40);

    if (num == 0)
        return;
    head = (uint16_t)(driver->next_descriptor % num);
    fuzzed_device.request(step, &request);
    CHECK(request.header_bytes <= PLAIN_HEADER_MAX);
    count = lay_out(driver, &request, head, parts);
    if (count == 0)
        return; /* nothing is asked for */
    if (!driver->is_wild && (!are_free(driver, num, head, is_indirect ? 1 : count) || (!is_indirect && count > num)))
        return;
    store(HEADERS_GPA + (uint64_t)head * PLAIN_HEADER_MAX, request.header, request.header_bytes);
    store(STATUS_GPA + head, "\xff", 1);
    if (is_indirect) {
        uint64_t table = TABLES_GPA + (uint64_t)head * TABLE_ENTRIES * 16;

        write_chain(table, 0, TABLE_ENTRIES, parts, count);
        set_descriptor(driver->addresses.desc_gpa, head, table, 16 * count, F_INDIRECT, 0);
    } else {
        write_chain(driver->addresses.desc_gpa, head, num, parts, count);
    }
    driver->next_descriptor = (uint16_t)(head + (is_indirect ? 1 : count));
    driver->offered[head].request = request;
    driver->offered[head].is_known = 1;
    publish(driver, head);
}

void driver_write_descriptor(struct driver *driver, const struct step *step)
{
    uint64_t table = step->a & 0x80 ? TABLES_GPA : driver->addresses.desc_gpa;
    /* Longer ones are rare. */
    uint32_t length = step->c & 0x80000000 ? step->c : step->c & 0x1fff;

    driver->is_wild = 1;
    set_descriptor(table, step->a & 0x7f, guest_place(step->d), length, step->b & 7, (uint16_t)(step->b >> 3));
}

void driver_poke(struct driver *driver, const struct step *step)
{
    driver->is_wild = 1;
    store(guest_place((uint64_t)step->a << 56 | step->c), &step->d, 1 + step->b % 8);
}

void driver_offer(struct driver *driver, const struct step *step)
{
    driver->is_wild = 1;
    if (driver->addresses.num == 0)
        return;
    driver->avail_idx = (uint16_t)(driver->avail_idx + (step->a & 1 ? step->c : 0));
    publish(driver, step->a & 2 ? step->b : step->b % driver->addresses.num);
}

void driver_move_rings(struct driver *driver, const struct step *step)
{
    struct virtqueue_addresses *addresses = &driver->addresses;

    driver->is_wild = 1;
    switch (step->a & 3) {
    case 0:
        addresses->num = step->a & 4 ? step->b : (uint16_t)(1 << step->b % 11);
        break;
    case 1:
        addresses->desc_gpa = guest_place(step->d);
        break;
    case 2:
        addresses->avail_gpa = guest_place(step->d);
        break;
    case 3:
        addresses->used_gpa = guest_place(step->d);
        break;
    }
}

void driver_returned(struct driver *driver, uint32_t head, uint32_t written)
{
    uint8_t status = 0;

    if (driver->is_wild)
        return;
    CHECK(driver->offered[head].is_known);
    driver->offered[head].is_known = 0;
    if (driver->offered[head].request.has_status)
        status = *guest_bytes(STATUS_GPA + head, 1);
    if (fuzzed_device.check != NULL)
        fuzzed_device.check(&driver->offered[head].request, written, status);
}
