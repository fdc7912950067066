/*
 * Logs of every kind of wrong, under sanitizers: `inflight_program SEED COUNT`. What is found to be in flight must be a
 * head each, none twice, in the order of their counters. Prints how many logs were taken and how many refused.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/inflight_log_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"

#define NUM 64

static uint64_t state;

static uint32_t chance(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(state >> 33) % below;
}

/* A log as a good worker leaves it, with some in flight. */
static void make_log(struct inflight_log *log, uint16_t used_idx)
{
    uint64_t counter = 1 + chance(1000);

    inflight_log_begin(log, NUM, used_idx);
    for (uint32_t i = chance(NUM); i > 0; i--)
        inflight_log_take(log, (uint16_t)chance(NUM), counter++);
}

static void spoil(uint8_t *bytes, size_t size)
{
    for (uint32_t i = chance(4); i > 0; i--)
        bytes[chance((uint32_t)size)] = (uint8_t)chance(256);
}

static int is_good(const struct inflight_log *log, const uint16_t *heads, int found)
{
    uint8_t seen[NUM] = {0};

    for (int i = 0; i < found; i++) {
        if (heads[i] >= NUM || seen[heads[i]]++ || log->entries[heads[i]].inflight != 1)
            return 0;
        if (i > 0 && log->entries[heads[i - 1]].counter >= log->entries[heads[i]].counter)
            return 0;
    }
    return 1;
}

int main(int count, char **arguments)
{
    size_t size = INFLIGHT_HEADER_BYTES + NUM * INFLIGHT_ENTRY_BYTES;
    /* Of exactly that size, so that a step beyond it is seen. */
    struct inflight_log *log = malloc(size);
    uint16_t *heads = malloc(NUM * sizeof(*heads));
    unsigned long taken = 0, refused = 0;

    if (count != 3 || log == NULL || heads == NULL)
        return 2;
    state = strtoull(arguments[1], NULL, 0);
    for (unsigned long i = strtoul(arguments[2], NULL, 0); i > 0; i--) {
        uint16_t used_idx = (uint16_t)chance(65536);
        uint64_t counter = 0;
        int found;

        make_log(log, used_idx);
        spoil((uint8_t *)log, size);
        found = inflight_log_recover(log, NUM, (uint16_t)(used_idx + (chance(8) == 0)),
                                     (uint16_t)chance(NUM + 1), heads, &counter);
        if (found < 0 ? virtqueue_error_text(found) == NULL : !is_good(log, heads, found))
            return 1;
        taken += found >= 0;
        refused += found < 0;
    }
    printf("%lu %lu\n", taken, refused);
    free(log);
    free(heads);
    return 0;
}
