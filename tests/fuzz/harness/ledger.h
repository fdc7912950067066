/*
 * Keeps account of what the device may do and does, beside its own: the bytes it may write to, and that each chain
 * comes back once.
 */
#ifndef FUZZ_LEDGER_H
#define FUZZ_LEDGER_H

#include "guest.h"

/* A driver begins, or a successor: what `queue` says is in flight is. */
void ledger_begin(const struct virtqueue *queue);
/* Around each call of the device: then everything that has changed is looked at. */
void ledger_before(const struct virtqueue *queue);
void ledger_after(const struct virtqueue *queue);

/* The entry of the used ring that stands at `index` of all that there were. */
void ledger_used_entry(const struct virtqueue *queue, uint16_t index, uint32_t *head, uint32_t *written);

#endif
