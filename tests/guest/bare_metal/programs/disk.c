/*
 * Looks at the virtio-blk device in slot=N: its identity, and count=N sectors from sector=N on, of which it says a sum
 * as entropy.c does. With write=1 (or, as a root disk, with rw) it writes the first sector's bytes, each inverted, to
 * the last sector, flushes, and reads them back. Then rounds=N times a sector with that number: written, flushed, read.
 * It sleeps while it waits.
 */
#include <stddef.h>

#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../memory.h"
#include "../program.h"
#include "../report.h"
#include "../virtio_mmio.h"

#define VIRTIO_ID_BLOCK 2 /* virtio 1.2 section 5 */
#define VECTOR 0x51
#define SECTOR_BYTES 512
#define MAX_SECTORS 64
#define ID_BYTES 20
#define VIRTIO_BLK_F_FLUSH (1ull << 9)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8 }; /* section 5.2.6 */

struct request {
    uint32_t type, reserved;
    uint64_t sector;
    uint8_t data[MAX_SECTORS * SECTOR_BYTES];
};

struct answer {
    uint8_t data[MAX_SECTORS * SECTOR_BYTES + 1]; /* and the status behind it */
};

static uint64_t device;
static struct virtqueue queue;
static struct request *request;
static struct answer *answer;
static uint64_t errors;

static void on_interrupt(void)
{
    mmio_write32(device + VIRTIO_INTERRUPT_ACK, mmio_read32(device + VIRTIO_INTERRUPT_STATUS));
}

static void ask(uint32_t type, uint64_t sector, uint32_t out_bytes, uint32_t in_bytes)
{
    request->type = type;
    request->reserved = 0;
    request->sector = sector;
    answer->data[in_bytes] = 0xff;
    virtqueue_add(&queue, request, 16 + out_bytes, answer, in_bytes + 1);
    mmio_write32(device + VIRTIO_QUEUE_NOTIFY, 0);
    while (!virtqueue_has_used(&queue))
        wait_for_interrupt();
    virtqueue_take(&queue);
    errors += answer->data[in_bytes] != 0;
}

static uint64_t read_and_sum(uint64_t sector, uint32_t count)
{
    uint64_t sum = 0;

    ask(IN, sector, 0, count * SECTOR_BYTES);
    for (uint32_t i = 0; i < count * SECTOR_BYTES; i++)
        sum = sum * 31 + answer->data[i];
    return sum;
}

static void report_id(void)
{
    char text[ID_BYTES + 1];

    ask(GET_ID, 0, 0, ID_BYTES);
    for (uint32_t i = 0; i < ID_BYTES; i++)
        text[i] = (char)answer->data[i];
    text[ID_BYTES] = '\0';
    report_text("serial", text);
}

static void write_inverted(uint64_t last)
{
    uint64_t wrong = 0;

    ask(IN, 0, 0, SECTOR_BYTES);
    for (uint32_t i = 0; i < SECTOR_BYTES; i++)
        request->data[i] = (uint8_t)~answer->data[i];
    ask(OUT, last, SECTOR_BYTES, 0);
    ask(FLUSH, 0, 0, 0);
    ask(IN, last, 0, SECTOR_BYTES);
    for (uint32_t i = 0; i < SECTOR_BYTES; i++)
        wrong += answer->data[i] != request->data[i];
    report_number("read-back-wrong", wrong);
}

static void write_rounds(uint64_t rounds, uint64_t sectors)
{
    uint64_t wrong = 0;

    for (uint64_t round = 1; round <= rounds; round++) {
        *(uint64_t *)(void *)request->data = round;
        ask(OUT, round % sectors, SECTOR_BYTES, 0);
        ask(FLUSH, 0, 0, 0);
        ask(IN, round % sectors, 0, SECTOR_BYTES);
        wrong += *(uint64_t *)(void *)answer->data != round;
        if (round % 100 == 0)
            report_number("round", round);
    }
    report_number("rounds-wrong", wrong);
}

PROGRAM(disk)
{
    uint64_t sector = option_number("sector", 0), rounds = option_number("rounds", 0);
    uint32_t count = (uint32_t)option_number("count", 1);
    unsigned int slot = (unsigned int)option_number("slot", 0);
    uint64_t sectors;

    device = virtio_slot_gpa(slot);
    report_number("device-id", mmio_read32(device + VIRTIO_DEVICE_ID));
    if (mmio_read32(device + VIRTIO_DEVICE_ID) != VIRTIO_ID_BLOCK)
        return;
    report_number("offered", virtio_offered(device));
    request = allocate(sizeof(*request));
    answer = allocate(sizeof(*answer));
    interrupts_begin();
    interrupt_handle(VECTOR, on_interrupt);
    io_apic_route(virtio_slot_gsi(slot), VECTOR);
    virtqueue_make(&queue, 0);
    report_number("negotiated", virtio_negotiate(device, VIRTIO_F_VERSION_1 | VIRTIO_BLK_F_FLUSH));
    report_number("ready", virtqueue_set_up(&queue, device));
    mmio_write32(device + VIRTIO_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
    sectors = mmio_read32(device + VIRTIO_CONFIG) | (uint64_t)mmio_read32(device + VIRTIO_CONFIG + 4) << 32;
    report_number("sectors", sectors);
    report_id();
    report_number("sum", read_and_sum(sector, count));
    if (option_number("write", 0) || option_is_there("rw"))
        write_inverted(sectors - 1);
    write_rounds(rounds, sectors);
    report_number("errors", errors);
}
