/*
 * What the harness must know of a device to fuzz its half of the data plane. A target (tests/fuzz/targets/KIND.c)
 * defines `fuzzed_device`; the device's headers come first in it. The harness plays driver, worker and death.
 */
#ifndef FUZZED_DEVICE_H
#define FUZZED_DEVICE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/data_plane/guest_memory_cdef.h"
#include "device_procs/data_plane/inflight_log_cdef.h"
#include "device_procs/data_plane/virtqueue_cdef.h"
#include "device_procs/data_plane/device_ops_cdef.h"

/* What must be so whatever the input is. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* An input is a sequence of these; the first one is the device's options. What they mean: program.c. */
struct step {
    uint8_t operation;
    uint8_t a;
    uint16_t b;
    uint32_t c;
    uint64_t d;
};
_Static_assert(sizeof(struct step) == 16, "a step of the input");

#define PLAIN_HEADER_MAX 96

/* A request as a well-behaved driver makes it. Its bytes are spread over descriptors by the harness. */
struct plain_request {
    struct step step; /* what it was made of */
    uint8_t header[PLAIN_HEADER_MAX];
    uint32_t header_bytes;
    uint32_t readable_bytes; /* behind the header, of any content */
    uint32_t writable_bytes;
    uint32_t has_status; /* a byte that may be written, behind all others */
};

struct fuzzed_device {
    const struct device_ops *ops;
    uint16_t num_max;   /* of its queue */
    uint16_t keeps_log; /* its requests end out of order */
    /* A device as a new process of it has one, for device_ops; with options from the input. */
    void *(*make)(const struct step *options);
    /* Makes a request that is well-formed, though it may ask for what can't be. */
    void (*request)(const struct step *step, struct plain_request *request);
    /* The rest may be NULL. After a reset by the driver: */
    void (*forget)(void *device);
    /* The host does something: what it fails, what it has ready. */
    void (*host)(const struct step *step);
    /* Whether the host makes the descriptor readable that the device waits for; if `must`, it has to. */
    int (*make_ready)(int fd, int must);
    /*
     * Looks at a well-formed request that has ended: what the device says that it has written, and the status.
     * Asked only while no step has broken the driver's rules.
     */
    void (*check)(const struct plain_request *request, uint32_t written, uint8_t status);
    /* After each input. */
    void (*end)(void *device);
};

extern const struct fuzzed_device fuzzed_device;

#endif
