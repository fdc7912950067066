/* Stores values in turn, as fast as they go. */
#include <stdint.h>

#include "racing_writer_cdef.h"

static void store(uint8_t *field, uint32_t width, uint64_t value)
{
    void *at = field;

    switch (width) {
    case 1:
        __atomic_store_n((uint8_t *)at, (uint8_t)value, __ATOMIC_RELAXED);
        break;
    case 2:
        __atomic_store_n((uint16_t *)at, (uint16_t)value, __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((uint32_t *)at, (uint32_t)value, __ATOMIC_RELAXED);
        break;
    default:
        __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELAXED);
    }
}

void racing_writer_run(struct racing_writer *writer)
{
    uint64_t rounds = 0;

    while (!__atomic_load_n(&writer->quit, __ATOMIC_ACQUIRE)) {
        /* Of different lengths, so that no rhythm of the device's always meets the same one. */
        for (uint32_t i = 0; i < writer->count; i++)
            for (uint64_t again = 0; again <= (rounds * 2654435761u >> 7 & 31); again++)
                store(writer->field, writer->width, writer->values[i]);
        rounds++;
    }
}
