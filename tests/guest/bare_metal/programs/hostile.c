/*
 * A hostile driver of the device in slot 0, by its registers. It has a well-formed request of the device's served, does
 * what no driver should, and has it served again: bytes=N to read, in words w0=, w1=, ...; room=N to write. It sweeps
 * every offset at every width, changes what is live, points rings and buffers at the board's own registers, jumps with
 * the indexes. Each answer is reported; whether it is right, is told outside.
 */
#include <stddef.h>

#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../memory.h"
#include "../program.h"
#include "../report.h"
#include "../virtio_mmio.h"

#define VECTOR 0x52
#define LIVE (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK)
#define FAILED 128
#define REGISTERS_END 0x200
#define PAGE_END 0x1000
#define WORDS_MAX 10
#define FILL 0xee
#define LOCAL_APIC_GPA 0xfee00000ull
#define NEXT 1
#define INDIRECT 4

static uint64_t device;
static struct virtqueue queue;
static uint64_t request[WORDS_MAX];
static uint32_t request_bytes, room;
static uint8_t *answer;

static void on_interrupt(void)
{
    mmio_write32(device + VIRTIO_INTERRUPT_ACK, mmio_read32(device + VIRTIO_INTERRUPT_STATUS));
}

static void read_request(void)
{
    char name[] = "w0";

    request_bytes = (uint32_t)option_number("bytes", 0);
    room = (uint32_t)option_number("room", 0);
    for (unsigned int i = 0; i < WORDS_MAX; i++) {
        name[1] = (char)('0' + i);
        request[i] = option_number(name, 0);
    }
    answer = allocate(room + 8);
}

static void go_live(void)
{
    virtio_negotiate(device, virtio_offered(device) & (VIRTIO_F_VERSION_1 | 1ull << 28));
    virtqueue_set_up(&queue, device);
    mmio_write32(device + VIRTIO_STATUS, LIVE);
}

/* The words of what it has written, with how much that is. */
static void be_served(void)
{
    for (uint32_t i = 0; i < room + 8; i++)
        answer[i] = FILL;
    virtqueue_add(&queue, request, request_bytes, answer, room);
    mmio_write32(device + VIRTIO_QUEUE_NOTIFY, 0);
    while (!virtqueue_has_used(&queue))
        wait_for_interrupt();
    report_number("written", virtqueue_take(&queue));
    for (uint32_t i = 0; i < room; i += 8)
        report_number("answer", *(uint64_t *)(void *)(answer + i));
}

static bool would_end_it(uint64_t offset, unsigned int width, uint64_t value)
{
    return offset == VIRTIO_STATUS && width == 4 && (value == 0 || value & FAILED);
}

/* Each offset, by each width, also over the end of the page; nothing of it may matter. */
static void sweep(void)
{
    static const uint64_t values[] = {0, 1, 0x8080808080808080ull, ~0ull};
    uint64_t changed = 0;

    for (uint64_t offset = 0; offset < PAGE_END; offset = offset == REGISTERS_END + 8 ? PAGE_END - 8 : offset + 1) {
        for (unsigned int width = 1; width <= 8; width *= 2) {
            for (unsigned int i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
                if (would_end_it(offset, width, values[i]))
                    continue;
                virtio_write(device + offset, width, values[i]);
            }
            virtio_read(device + offset, width);
        }
        changed |= mmio_read32(device + VIRTIO_STATUS) ^ LIVE;
    }
    report_number("changed-by-sweep", changed);
}

static void write_address(uint64_t registers, uint64_t gpa)
{
    mmio_write32(registers, (uint32_t)gpa);
    mmio_write32(registers + 4, (uint32_t)(gpa >> 32));
}

static void write_queue(uint32_t num, uint64_t desc, uint64_t avail, uint64_t used)
{
    mmio_write32(device + VIRTIO_QUEUE_SEL, 0);
    mmio_write32(device + VIRTIO_QUEUE_NUM, num);
    write_address(device + VIRTIO_QUEUE_DESC_LOW, desc);
    write_address(device + VIRTIO_QUEUE_DRIVER_LOW, avail);
    write_address(device + VIRTIO_QUEUE_DEVICE_LOW, used);
    mmio_write32(device + VIRTIO_QUEUE_READY, 0);
    mmio_write32(device + VIRTIO_QUEUE_READY, 1);
}

static void change_what_is_live(void)
{
    uint64_t elsewhere = (uint64_t)allocate(0x3000);

    write_queue(2 * VIRTQUEUE_SIZE, elsewhere, elsewhere + 0x1000, elsewhere + 0x2000);
    write_queue(0, device, LOCAL_APIC_GPA, ~0xfffull);
    for (uint32_t word = 0; word < 3; word++) {
        mmio_write32(device + VIRTIO_DRIVER_FEATURES_SEL, word);
        mmio_write32(device + VIRTIO_DRIVER_FEATURES, 0xffffffff);
    }
    for (uint32_t status = 1; status < FAILED; status++)
        mmio_write32(device + VIRTIO_STATUS, status);
    report_number("changed-while-live", mmio_read32(device + VIRTIO_STATUS) ^ LIVE);
    report_number("ready", mmio_read32(device + VIRTIO_QUEUE_READY));
}

/* Queues where there is no RAM, but something else of the board's. */
static void set_up_what_cannot_be(void)
{
    const uint64_t places[] = {device, LOCAL_APIC_GPA, 0xfffffffffffff000ull, 1ull << 45};
    uint64_t rings = (uint64_t)queue.descriptors;
    uint32_t refused = 0;

    for (unsigned int i = 0; i < 3 * sizeof(places) / sizeof(places[0]); i++) {
        uint64_t place = places[i / 3];

        virtio_negotiate(device, VIRTIO_F_VERSION_1);
        write_queue(VIRTQUEUE_SIZE, i % 3 == 0 ? place : rings, i % 3 == 1 ? place : (uint64_t)queue.available,
                    i % 3 == 2 ? place : (uint64_t)queue.used);
        refused += (mmio_read32(device + VIRTIO_STATUS) & VIRTIO_NEEDS_RESET) != 0;
        mmio_write32(device + VIRTIO_STATUS, 0);
    }
    report_number("queues-refused", refused);
}

static void set_descriptor(uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags)
{
    queue.descriptors[index] = (struct virtqueue_descriptor){gpa, length, flags, index};
}

/* Shows the device head 0 as the next one, or an index that is further by `ahead`; it must need a reset then. */
static void offer_and_wait(uint16_t head, uint16_t ahead)
{
    queue.available->ring[0] = head;
    __asm__ volatile("" : : : "memory");
    queue.available->index = ahead;
    mmio_write32(device + VIRTIO_QUEUE_NOTIFY, 0);
    while (!(mmio_read32(device + VIRTIO_STATUS) & VIRTIO_NEEDS_RESET))
        relax();
    report_number("needs-reset", mmio_read32(device + VIRTIO_STATUS));
    report_number("used", queue.used->index);
    mmio_write32(device + VIRTIO_STATUS, 0);
    report_number("reset", mmio_read32(device + VIRTIO_STATUS));
}

static void spoil_rings(void)
{
    const struct virtqueue_descriptor spoilt[] = {
        {device, 512, 0, 0},                        /* the device's own registers */
        {LOCAL_APIC_GPA, 64, 2, 0},                 /* the CPU's */
        {0xfffffffffffffff8ull, 64, 2, 0},          /* over the end of all addresses */
        {(uint64_t)answer, 0xffffffff, 2, 0},       /* 2^32 - 1 bytes */
        {(uint64_t)answer, 8, 2 | NEXT, 0},         /* its own next */
        {(uint64_t)answer, 8, 2 | NEXT, 0xffff},    /* beyond the table */
        {(uint64_t)answer, 24, INDIRECT, 0},        /* half an entry too much */
        {(uint64_t)answer, 16, INDIRECT | NEXT, 0}, /* both */
        {device, 16, INDIRECT, 0},                  /* a table of registers */
    };

    for (unsigned int i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
        go_live();
        queue.descriptors[0] = spoilt[i];
        offer_and_wait(0, 1);
    }
    go_live();
    set_descriptor(0, (uint64_t)answer, room, 2);
    offer_and_wait(0, VIRTQUEUE_SIZE + 1);
    go_live();
    offer_and_wait(VIRTQUEUE_SIZE, 1);
    go_live();
    offer_and_wait(0xffff, 1);
}

PROGRAM(hostile)
{
    device = virtio_slot_gpa(0);
    report_number("device-id", mmio_read32(device + VIRTIO_DEVICE_ID));
    read_request();
    interrupts_begin();
    interrupt_handle(VECTOR, on_interrupt);
    io_apic_route(virtio_slot_gsi(0), VECTOR);
    virtqueue_make(&queue, 0);
    go_live();
    be_served();
    sweep();
    be_served();
    change_what_is_live();
    be_served();
    mmio_write32(device + VIRTIO_STATUS, 0);
    set_up_what_cannot_be();
    spoil_rings();
    go_live();
    be_served();
    report_number("status", mmio_read32(device + VIRTIO_STATUS));
}
