/*
 * Pops every chain of a ring that it reads from standard input, completes it, and writes what it saw and what memory
 * holds then; over and over. Standalone, for sanitizers: each region of guest memory is an allocation of its own.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"

struct frame {
    uint64_t desc_gpa, avail_gpa, used_gpa, features;
    int32_t base;
    uint32_t num;
    uint32_t completes; /* complete each chain at once; otherwise all stay in flight */
    uint32_t region_count;
};

struct frame_region {
    uint64_t gpa, size;
    uint64_t writable;
};

static void read_all(void *into, size_t length)
{
    if (length > 0 && fread(into, length, 1, stdin) != 1)
        exit(3);
}

static uint64_t gpa_of(const struct guest_memory *memory, const uint8_t *host)
{
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct guest_memory_region *region = &memory->regions[i];

        if (host >= region->host && host <= region->host + region->size)
            return region->gpa + (uint64_t)(host - region->host);
    }
    exit(4);
}

static void print_chain(FILE *out, const struct guest_memory *memory, const struct descriptor_chain *chain)
{
    fprintf(out, "chain %u", chain->head);
    for (uint32_t i = 0; i < (uint32_t)chain->readable_count + chain->writable_count; i++)
        fprintf(out, " %c%llx+%zx", i < chain->readable_count ? 'r' : 'w',
                (unsigned long long)gpa_of(memory, chain->segments[i].host), chain->segments[i].length);
    fprintf(out, "\n");
}

/* Touches what the device may touch, so that a sanitizer sees a range that is too long. */
static void touch(const struct descriptor_chain *chain)
{
    static volatile uint8_t sink;

    for (uint32_t i = 0; i < (uint32_t)chain->readable_count + chain->writable_count; i++) {
        const struct chain_segment *segment = &chain->segments[i];

        if (segment->length == 0)
            continue;
        sink = segment->host[0];
        sink = segment->host[segment->length - 1];
        if (i >= chain->readable_count)
            segment->host[segment->length - 1] = sink;
    }
}

static void run(FILE *out, const struct frame *frame, const struct guest_memory *memory)
{
    struct virtqueue_addresses addresses = {(uint16_t)frame->num, frame->desc_gpa, frame->avail_gpa, frame->used_gpa};
    static struct descriptor_chain chain;
    struct black_box_queue counters = {0};
    struct virtqueue queue;
    int result = virtqueue_start(&queue, memory, &counters, 0, &addresses, frame->features, frame->base);

    if (result < 0) {
        fprintf(out, "error %s\n", virtqueue_error_text(result));
        return;
    }
    while ((result = virtqueue_pop(&queue, &chain)) > 0) {
        print_chain(out, memory, &chain);
        touch(&chain);
        if (frame->completes)
            virtqueue_complete(&queue, chain.head, chain.writable_bytes);
    }
    if (result < 0)
        fprintf(out, "error %s\n", virtqueue_error_text(result));
    fprintf(out, "end %llu %llu %u\n", (unsigned long long)counters.popped, (unsigned long long)counters.completed,
            virtqueue_in_flight(&queue));
}

int main(void)
{
    struct frame frame;

    while (fread(&frame, sizeof(frame), 1, stdin) == 1) {
        struct guest_memory memory = {.count = frame.region_count};
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);

        if (out == NULL || frame.region_count > GUEST_MEMORY_REGIONS_MAX)
            return 2;
        for (uint32_t i = 0; i < frame.region_count; i++) {
            struct frame_region region;

            read_all(&region, sizeof(region));
            memory.regions[i] = (struct guest_memory_region){
                .gpa = region.gpa, .size = region.size, .writable = region.writable != 0};
            if (posix_memalign((void **)&memory.regions[i].host, 64, region.size) != 0)
                return 2;
            read_all(memory.regions[i].host, region.size);
        }
        run(out, &frame, &memory);
        fclose(out);
        fwrite(&length, sizeof(length), 1, stdout);
        fwrite(text, length, 1, stdout);
        for (uint32_t i = 0; i < frame.region_count; i++) {
            fwrite(memory.regions[i].host, memory.regions[i].size, 1, stdout);
            free(memory.regions[i].host);
        }
        fflush(stdout);
        free(text);
    }
    return 0;
}
