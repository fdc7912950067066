/*
 * Asks the virtio-rng device in slot=N for length=N bytes, in pieces of piece=N, asleep until each has come; then
 * resets it and asks again, resets=N times. Says what it got: a sum over all bytes, how many of them are 0, and whether
 * any was written behind them.
 */
#include <stddef.h>

#include "../boot_info.h"
#include "../cpu.h"
#include "../interrupts.h"
#include "../memory.h"
#include "../program.h"
#include "../report.h"
#include "../virtio_mmio.h"

#define VIRTIO_ID_ENTROPY 4 /* virtio 1.2 section 5 */
#define VECTOR 0x50
#define BEHIND_BYTES 16
#define UNTOUCHED 0xa5

static uint64_t device;
static volatile uint32_t interrupts;
static struct virtqueue queue;
static uint64_t received, answers, sum, zeros, spilt;

static void on_interrupt(void)
{
    interrupts++;
    mmio_write32(device + VIRTIO_INTERRUPT_ACK, mmio_read32(device + VIRTIO_INTERRUPT_STATUS));
}

static void ask(uint8_t *buffer, uint32_t piece)
{
    uint32_t got;

    for (uint32_t i = 0; i < piece + BEHIND_BYTES; i++)
        buffer[i] = UNTOUCHED;
    virtqueue_add(&queue, NULL, 0, buffer, piece);
    mmio_write32(device + VIRTIO_QUEUE_NOTIFY, 0);
    while (!virtqueue_has_used(&queue))
        wait_for_interrupt();
    got = virtqueue_take(&queue);
    for (uint32_t i = 0; i < got && i < piece; i++) {
        sum = sum * 31 + buffer[i];
        zeros += buffer[i] == 0;
    }
    for (uint32_t i = got; i < piece + BEHIND_BYTES; i++)
        spilt += buffer[i] != UNTOUCHED;
    received += got;
    answers++;
}

PROGRAM(entropy)
{
    unsigned int slot = (unsigned int)option_number("slot", 0);
    uint64_t length = option_number("length", 64), resets = option_number("resets", 0);
    uint32_t piece = (uint32_t)option_number("piece", 64);
    uint8_t *buffer = allocate(piece + BEHIND_BYTES);

    device = virtio_slot_gpa(slot);
    report_number("device-id", mmio_read32(device + VIRTIO_DEVICE_ID));
    if (mmio_read32(device + VIRTIO_DEVICE_ID) != VIRTIO_ID_ENTROPY)
        return; /* an empty slot, or another device */
    report_number("fresh", mmio_read32(device + VIRTIO_STATUS));
    report_number("offered", virtio_offered(device));
    interrupts_begin();
    interrupt_handle(VECTOR, on_interrupt);
    io_apic_route(virtio_slot_gsi(slot), VECTOR);
    virtqueue_make(&queue, 0);
    for (uint64_t round = 0; round <= resets; round++) {
        report_number("negotiated", virtio_negotiate(device, VIRTIO_F_VERSION_1));
        report_number("ready", virtqueue_set_up(&queue, device));
        mmio_write32(device + VIRTIO_STATUS,
                     VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
        for (received = 0; received < length;)
            ask(buffer, piece);
        report_number("received", received);
        report_number("status", mmio_read32(device + VIRTIO_STATUS));
    }
    report_number("answers", answers);
    /* On a busy host each answer may have been there before this CPU looked, so that it never slept; the interrupts are
     * pending then, for they are taken in one's sleep only. */
    while (interrupts == 0)
        wait_for_interrupt();
    report_number("interrupted", interrupts > 0);
    report_number("sum", sum);
    report_number("zeros", zeros);
    report_number("spilt", spilt);
}
