/*
 * Keeps every disk and every entropy device busy for ever, and checks what they do (tools/soaking/ledger.py has the
 * host's half). A disk is written round and round in batches of IN_FLIGHT requests of span=N sectors, and flushed. Each
 * sector has a stamp, the number of sectors written before it, and words made of stamp, nonce and slot; so what a disk
 * must hold is known, also after a reset of the machine. After a batch an older one is read and compared.
 * zeros=1: the entropy devices' source is /dev/zero. resets=N: each device is reset every so many batches.
 *
 * Says per slot what it found at its start, what is on the medium, how many answers there were, and what was wrong.
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
#define VIRTIO_ID_ENTROPY 4
#define VIRTIO_BLK_F_FLUSH (1ull << 9)
#define VECTOR 0x60
#define SECTOR_BYTES 512
#define SECTOR_WORDS (SECTOR_BYTES / 8)
#define MAX_SPAN 8
#define MAX_SECTORS 512
#define IN_FLIGHT 4 /* two descriptors each of VIRTQUEUE_SIZE */
#define NEVER_WRITTEN (~0ull)
#define PIECE 64
#define BEHIND_BYTES 16
#define UNTOUCHED 0xa5

enum { IN = 0, OUT = 1, FLUSH = 4 }; /* section 5.2.6 */

struct request {
    uint32_t type, reserved;
    uint64_t sector;
    uint64_t data[MAX_SPAN * SECTOR_WORDS];
};

struct answer {
    uint8_t data[MAX_SPAN * SECTOR_BYTES + 1]; /* and the status behind it */
};

struct device {
    uint64_t gpa, features, key, sectors;
    uint64_t next; /* a disk's: the stamp of the next sector */
    uint64_t answers, rounds, wrong;
    unsigned int slot;
    uint32_t id;
    struct virtqueue queue;
    struct request *requests; /* IN_FLIGHT of them */
    struct answer *answer;
};

static struct device devices[VIRTIO_SLOTS];
static unsigned int count, span;
static uint64_t resets;
static uint64_t stamps[MAX_SECTORS];

static void on_interrupt(void)
{
    for (unsigned int i = 0; i < count; i++) {
        uint32_t status = mmio_read32(devices[i].gpa + VIRTIO_INTERRUPT_STATUS);

        if (status != 0)
            mmio_write32(devices[i].gpa + VIRTIO_INTERRUPT_ACK, status);
    }
}

static void report_of(const struct device *device, const char *what, uint64_t value)
{
    char name[24];
    unsigned int at = 0;

    while (what[at] != '\0') {
        name[at] = what[at];
        at++;
    }
    name[at++] = '-';
    name[at++] = (char)('a' + device->slot);
    name[at] = '\0';
    report_number(name, value);
}

static void begin(struct device *device)
{
    virtio_negotiate(device->gpa, device->features);
    virtqueue_set_up(&device->queue, device->gpa);
    mmio_write32(device->gpa + VIRTIO_STATUS,
                 VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
}

static uint64_t word(const struct device *device, uint64_t stamp, unsigned int i)
{
    uint64_t made = (stamp + 1) * 0x9e3779b97f4a7c15ull + i * 0xbf58476d1ce4e5b9ull + device->key;

    return made ^ made >> 29;
}

static void put(struct device *device, unsigned int which, uint32_t type, uint64_t sector, uint32_t out, uint32_t in)
{
    struct request *request = &device->requests[which];
    struct answer *answer = &device->answer[which];

    request->type = type;
    request->reserved = 0;
    request->sector = sector;
    answer->data[in] = 0xff;
    virtqueue_add(&device->queue, request, 16 + out, answer, in + 1);
}

/* Notifies the device and waits until everything that was put has come back. */
static void run(struct device *device, unsigned int requests)
{
    mmio_write32(device->gpa + VIRTIO_QUEUE_NOTIFY, 0);
    for (unsigned int i = 0; i < requests; i++) {
        while (!virtqueue_has_used(&device->queue))
            wait_for_interrupt();
        virtqueue_take(&device->queue);
    }
    device->answers += requests;
}

static void check_status(struct device *device, unsigned int which, uint32_t in)
{
    device->wrong += device->answer[which].data[in] != 0;
}

static const uint64_t *read_words(const struct device *device, unsigned int which, unsigned int sector)
{
    return (const uint64_t *)(const void *)(device->answer[which].data + sector * SECTOR_BYTES);
}

static bool holds(const struct device *device, const uint64_t *words, uint64_t stamp)
{
    if (words[0] != stamp)
        return false;
    for (unsigned int i = 1; i < SECTOR_WORDS; i++)
        if (words[i] != word(device, stamp, i))
            return false;
    return true;
}

static void read_span(struct device *device, uint64_t sector)
{
    put(device, 0, IN, sector, 0, span * SECTOR_BYTES);
    run(device, 1);
    check_status(device, 0, span * SECTOR_BYTES);
}

/* Reads the whole disk, where every sector must hold a stamp of its own or, like a new image, ones only. */
static uint64_t highest(struct device *device)
{
    uint64_t found = NEVER_WRITTEN;

    for (uint64_t sector = 0; sector < device->sectors; sector += span) {
        read_span(device, sector);
        for (unsigned int i = 0; i < span; i++) {
            const uint64_t *words = read_words(device, 0, i);

            stamps[sector + i] = words[0];
            if (words[0] == NEVER_WRITTEN)
                continue;
            device->wrong += words[0] % device->sectors != sector + i || !holds(device, words, words[0]);
            if (found == NEVER_WRITTEN || words[0] > found)
                found = words[0];
        }
    }
    return found;
}

/*
 * Goes on where the boot before has ended: everything below must be there. The batch that was under way is written
 * again.
 */
static void resume(struct device *device)
{
    uint64_t found = highest(device);

    report_of(device, "found", found);
    device->next = found == NEVER_WRITTEN ? 0 : found / (IN_FLIGHT * span) * (IN_FLIGHT * span);
    uint64_t oldest = device->next > device->sectors ? device->next - device->sectors : 0;
    for (uint64_t stamp = oldest; stamp < device->next; stamp++) {
        uint64_t there = stamps[stamp % device->sectors];

        device->wrong += there == NEVER_WRITTEN || there < stamp;
    }
}

static void write_batch(struct device *device)
{
    for (unsigned int which = 0; which < IN_FLIGHT; which++) {
        uint64_t first = device->next + which * span;

        for (unsigned int i = 0; i < span; i++) {
            uint64_t *words = device->requests[which].data + i * SECTOR_WORDS;

            words[0] = first + i;
            for (unsigned int j = 1; j < SECTOR_WORDS; j++)
                words[j] = word(device, first + i, j);
        }
        put(device, which, OUT, first % device->sectors, span * SECTOR_BYTES, 0);
    }
    run(device, IN_FLIGHT);
    for (unsigned int which = 0; which < IN_FLIGHT; which++)
        check_status(device, which, 0);
    put(device, 0, FLUSH, 0, 0, 0);
    run(device, 1);
    check_status(device, 0, 0);
    device->next += IN_FLIGHT * span;
}

/* A span of this boot's, or of the boot's before, that nobody has written over; which one changes with each batch. */
static void check_older(struct device *device, uint64_t first_stamp)
{
    uint64_t oldest = device->next > device->sectors ? device->next - device->sectors : 0;

    if (oldest < first_stamp)
        oldest = first_stamp;
    uint64_t spans = (device->next - oldest) / span;
    uint64_t stamp = oldest + device->rounds * 7 % spans * span;
    read_span(device, stamp % device->sectors);
    for (unsigned int i = 0; i < span; i++)
        device->wrong += !holds(device, read_words(device, 0, i), stamp + i);
}

static void ask_for_bytes(struct device *device, bool zeros)
{
    uint8_t *buffer = device->answer->data;
    uint64_t ones = 0;

    for (unsigned int i = 0; i < PIECE + BEHIND_BYTES; i++)
        buffer[i] = UNTOUCHED;
    virtqueue_add(&device->queue, NULL, 0, buffer, PIECE);
    mmio_write32(device->gpa + VIRTIO_QUEUE_NOTIFY, 0);
    while (!virtqueue_has_used(&device->queue))
        wait_for_interrupt();
    uint32_t got = virtqueue_take(&device->queue);
    device->answers++;
    for (unsigned int i = 0; i < got && i < PIECE; i++)
        ones += buffer[i] != 0;
    for (unsigned int i = got; i < PIECE + BEHIND_BYTES; i++)
        device->wrong += buffer[i] != UNTOUCHED;
    device->wrong += got == 0 || got > PIECE || (zeros ? ones != 0 : got == PIECE && ones == 0);
}

static void find_devices(void)
{
    for (unsigned int slot = 0; slot < VIRTIO_SLOTS; slot++) {
        struct device *device = &devices[count];

        device->gpa = virtio_slot_gpa(slot);
        device->id = mmio_read32(device->gpa + VIRTIO_DEVICE_ID);
        if (device->id != VIRTIO_ID_BLOCK && device->id != VIRTIO_ID_ENTROPY)
            continue;
        device->slot = slot;
        device->features = VIRTIO_F_VERSION_1 | (device->id == VIRTIO_ID_BLOCK ? VIRTIO_BLK_F_FLUSH : 0);
        device->key = option_number("nonce", 0) + slot;
        device->requests = allocate(IN_FLIGHT * sizeof(*device->requests));
        device->answer = allocate(IN_FLIGHT * sizeof(*device->answer));
        virtqueue_make(&device->queue, 0);
        io_apic_route(virtio_slot_gsi(slot), VECTOR);
        count++;
    }
}

PROGRAM(soak)
{
    bool zeros = option_number("zeros", 0);
    uint64_t first[VIRTIO_SLOTS];

    span = (unsigned int)option_number("span", 1);
    resets = option_number("resets", 0);
    interrupts_begin();
    interrupt_handle(VECTOR, on_interrupt);
    find_devices();
    for (unsigned int i = 0; i < count; i++) {
        struct device *device = &devices[i];

        begin(device);
        if (device->id == VIRTIO_ID_BLOCK) {
            device->sectors = mmio_read32(device->gpa + VIRTIO_CONFIG);
            resume(device);
            first[i] = device->next;
        }
    }
    report_number("booted", count);
    for (;;) {
        for (unsigned int i = 0; i < count; i++) {
            struct device *device = &devices[i];

            if (device->id == VIRTIO_ID_ENTROPY) {
                ask_for_bytes(device, zeros);
            } else {
                write_batch(device);
                check_older(device, first[i]);
                report_of(device, "flushed", device->next);
            }
            device->rounds++;
            if (resets != 0 && device->rounds % resets == 0)
                begin(device);
            report_of(device, "answers", device->answers);
            report_of(device, "wrong", device->wrong);
        }
    }
}
