/* A disk's back end over an array. It checks what it is asked, and does what the input makes a host do. */
#ifndef FUZZ_DISK_IN_MEMORY_H
#define FUZZ_DISK_IN_MEMORY_H

#include "tests/fuzz/harness/fuzzed_device.h"

#include "device_procs/virtio_blk/backend_cdef.h"

/* Empty, with nothing begun, and a host that fails nothing. */
void disk_in_memory_init(struct disk_backend *backend, uint64_t bytes);
/* A step of the input: what becomes of the I/Os to come. */
void disk_host_does(const struct step *step);
/* Whether it has ever been told to fail something. */
int disk_host_fails(void);
/* Ends something, where its wait_fd is waited for. */
int disk_in_memory_goes_on(int fd, int must);

#endif
