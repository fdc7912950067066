/* Bringing up the other CPUs. */
#ifndef PROCESSORS_H
#define PROCESSORS_H

#include <stdint.h>

/* What each CPU that has started says of itself, in the order in which they came. */
struct processor {
    uint32_t id_by_cpuid, id_by_msr;
};

/* INIT and SIPI to all but this CPU; returns once others of them have arrived. */
const struct processor *start_processors(unsigned int others);

#endif
