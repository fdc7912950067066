/* The driver's side: descriptors, rings, and requests as a well-behaved driver makes them. */
#ifndef FUZZ_DRIVER_H
#define FUZZ_DRIVER_H

#include "guest.h"

struct driver {
    struct virtqueue_addresses addresses; /* for the next start */
    uint16_t avail_idx;
    uint16_t next_descriptor;
    uint16_t next_table;
    uint32_t next_buffer;
    int is_wild; /* it has broken a rule since the last reset: nothing is promised to it */
    struct {
        struct plain_request request;
        int is_known;
    } offered[VIRTQUEUE_SIZE_MAX]; /* by head */
};

/* A driver that has reset the device: its memory is clear, its rings are where they should be. */
void driver_begin(struct driver *driver, uint16_t num);
/* Puts a plain request into descriptors and offers it, if there is room for it. */
void driver_request(struct driver *driver, const struct step *step, int may_be_indirect);
/* Steps of a driver that breaks rules. */
void driver_write_descriptor(struct driver *driver, const struct step *step);
void driver_poke(struct driver *driver, const struct step *step);
void driver_offer(struct driver *driver, const struct step *step);
void driver_move_rings(struct driver *driver, const struct step *step);
/* The chain of this head has come back. */
void driver_returned(struct driver *driver, uint32_t head, uint32_t written);

#endif
