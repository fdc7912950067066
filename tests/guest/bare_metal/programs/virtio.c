/*
 * Drives every virtio-mmio device there is, one after the other: registers by the right and the wrong widths,
 * negotiation, queues with interrupts, changes of the configuration, needs-reset and reset. Then it reboots, times=N
 * times, with all devices running, and finds them fresh. The devices are those of tests/guest/stand_in_device.py.
 */
#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../memory.h"
#include "../power.h"
#include "../program.h"
#include "../report.h"
#include "../virtio_mmio.h"

#define VECTOR 0x48
#define QUEUES 2
#define REQUESTS 3
#define REQUEST_BYTES 16
#define ANSWER_BYTES 24
#define COUNTER_GPA 0x4000000ull

/* The stand-in's configuration space. */
#define CONFIG_KICKS (VIRTIO_CONFIG + 0)
#define CONFIG_COMMAND (VIRTIO_CONFIG + 4)
#define CONFIG_PATTERN (VIRTIO_CONFIG + 8)
#define COMMAND_NEEDS_RESET 0xffffffffu

static uint64_t device;
static volatile uint32_t interrupts, events;
static struct virtqueue queue[QUEUES];
static uint8_t request[REQUESTS][REQUEST_BYTES], answer[REQUESTS][ANSWER_BYTES];

static void on_interrupt(void)
{
    uint32_t status = mmio_read32(device + VIRTIO_INTERRUPT_STATUS);

    interrupts++;
    events |= status;
    mmio_write32(device + VIRTIO_INTERRUPT_ACK, status);
}

/* Registers by widths and at offsets that they haven't. */
static void try_wrong_widths(void)
{
    uint64_t not_zero = 0;

    for (unsigned int bytes = 1; bytes <= 8; bytes *= 2) {
        for (uint64_t offset = 0; offset < VIRTIO_CONFIG; offset++) {
            if (bytes == 4 && offset % 4 == 0)
                continue;
            virtio_write(device + offset, bytes, 1);
            not_zero |= virtio_read(device + offset, bytes);
        }
    }
    report_number("wrong-width", not_zero);
    report_number("status-after", mmio_read32(device + VIRTIO_STATUS));
}

static void look(void)
{
    report_number("magic", mmio_read32(device + VIRTIO_MAGIC_VALUE));
    report_number("version", mmio_read32(device + VIRTIO_VERSION));
    report_number("device-id", mmio_read32(device + VIRTIO_DEVICE_ID));
    report_number("vendor", mmio_read32(device + VIRTIO_VENDOR_ID));
    report_number("status", mmio_read32(device + VIRTIO_STATUS));
    report_number("interrupt-status", mmio_read32(device + VIRTIO_INTERRUPT_STATUS));
    report_number("offered", virtio_offered(device));
    report_number("shared-memory", virtio_read(device + VIRTIO_SHM_LEN_LOW, 4));
    mmio_write32(device + VIRTIO_QUEUE_SEL, QUEUES - 1);
    report_number("last-queue", mmio_read32(device + VIRTIO_QUEUE_NUM_MAX));
    mmio_write32(device + VIRTIO_QUEUE_SEL, QUEUES);
    report_number("no-queue", mmio_read32(device + VIRTIO_QUEUE_NUM_MAX));
    for (unsigned int bytes = 1; bytes <= 8; bytes *= 2)
        report_number("pattern", virtio_read(device + CONFIG_PATTERN, bytes));
}

static void be_refused(uint64_t offered)
{
    report_number("refused", !virtio_negotiate(device, offered | 1ull << 40));
    report_number("refused-without-version", !virtio_negotiate(device, offered & ~VIRTIO_F_VERSION_1));
    virtio_negotiate(device, offered);
    mmio_write32(device + VIRTIO_QUEUE_SEL, 0);
    mmio_write32(device + VIRTIO_QUEUE_NUM, 3);
    mmio_write32(device + VIRTIO_QUEUE_READY, 1);
    report_number("bad-queue", mmio_read32(device + VIRTIO_STATUS));
}

static void go_live(uint64_t offered)
{
    uint32_t ready = 0;

    virtio_negotiate(device, offered);
    for (uint16_t index = 0; index < QUEUES; index++)
        ready += virtqueue_set_up(&queue[index], device);
    report_number("ready", ready);
    mmio_write32(device + VIRTIO_STATUS,
                 VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
    report_number("live", mmio_read32(device + VIRTIO_STATUS));
}

/* Some buffers by one kick, then asleep until all are used. */
static void use(struct virtqueue *each)
{
    uint64_t sum = 0;
    uint32_t written = 0;

    for (unsigned int i = 0; i < REQUESTS; i++) {
        for (unsigned int byte = 0; byte < REQUEST_BYTES; byte++)
            request[i][byte] = (uint8_t)next_secret();
        virtqueue_add(each, request[i], REQUEST_BYTES, answer[i], ANSWER_BYTES);
    }
    mmio_write32(device + VIRTIO_QUEUE_NOTIFY, each->index);
    for (unsigned int i = 0; i < REQUESTS; i++) {
        while (!virtqueue_has_used(each))
            wait_for_interrupt();
        written += virtqueue_take(each);
        for (unsigned int byte = 0; byte < ANSWER_BYTES; byte++)
            sum = sum * 31 + answer[i][byte];
    }
    report_number("written", written);
    report_number("answers", sum);
}

static void notify_wrongly(void)
{
    virtio_write(device + VIRTIO_QUEUE_NOTIFY, 1, 0);
    virtio_write(device + VIRTIO_QUEUE_NOTIFY, 2, 0);
    virtio_write(device + VIRTIO_QUEUE_NOTIFY, 8, 0);
    mmio_write32(device + VIRTIO_QUEUE_NOTIFY, QUEUES);
    mmio_write32(device + VIRTIO_QUEUE_NOTIFY, 0x10000);
}

/* Writes the configuration space, to which the stand-in answers by a change of it. */
static void command(uint32_t value)
{
    uint32_t generation = mmio_read32(device + VIRTIO_CONFIG_GENERATION);

    events = 0;
    mmio_write32(device + CONFIG_COMMAND, value);
    while (!(events & VIRTIO_CONFIG_CHANGED))
        wait_for_interrupt();
    report_number("events", events);
    report_number("left-pending", mmio_read32(device + VIRTIO_INTERRUPT_STATUS));
    report_number("new-generation", mmio_read32(device + VIRTIO_CONFIG_GENERATION) != generation);
}

static void drive(unsigned int slot)
{
    uint64_t offered;

    report_number("slot", slot);
    device = virtio_slot_gpa(slot);
    interrupts = 0;
    look();
    try_wrong_widths();
    offered = virtio_offered(device);
    be_refused(offered);
    interrupt_handle((uint8_t)(VECTOR + slot), on_interrupt);
    io_apic_route(virtio_slot_gsi(slot), (uint8_t)(VECTOR + slot));
    go_live(offered);
    use(&queue[0]);
    notify_wrongly();
    use(&queue[1]);
    use(&queue[0]);
    command((uint32_t)next_secret() >> 1);
    report_number("kicks", mmio_read32(device + CONFIG_KICKS));
    report_number("new-pattern", virtio_read(device + CONFIG_PATTERN, 4));
    command(COMMAND_NEEDS_RESET);
    report_number("needs-reset", mmio_read32(device + VIRTIO_STATUS));
    mmio_write32(device + VIRTIO_STATUS, 0);
    report_number("reset", mmio_read32(device + VIRTIO_STATUS));
    report_number("reset-interrupt-status", mmio_read32(device + VIRTIO_INTERRUPT_STATUS));
    go_live(offered);
    use(&queue[1]);
    report_number("interrupted", interrupts > 0);
}

PROGRAM(virtio)
{
    volatile uint64_t *counter = (volatile uint64_t *)COUNTER_GPA;
    uint64_t key = ~option_number("nonce", 0);
    uint64_t boots = counter[0] == key ? counter[1] : 0;
    uint32_t present = port_read32(VIRTIO_SLOT_PRESENCE_PORT);

    counter[0] = key;
    counter[1] = boots + 1;
    report_number("boot", boots);
    report_number("present", present);
    interrupts_begin();
    for (uint16_t index = 0; index < QUEUES; index++)
        virtqueue_make(&queue[index], index);
    for (unsigned int slot = 0; slot < VIRTIO_SLOTS; slot++) {
        if (present >> slot & 1)
            drive(slot);
        else
            report_number("empty", mmio_read32(virtio_slot_gpa(slot)));
    }
    if (boots == option_number("times", 0))
        return;
    report_seal();
    reset_by_acpi();
}
