/* An entropy device without a limit: standalone_program ... SOURCE. */
#include <errno.h>
#include <fcntl.h>

#include "tests/device/hostile_driver/standalone_device.h"
#include "device_procs/virtio_rng/rng_cdef.h"

static struct rng rng;

static void reset(void *device)
{
    rng_forget_request(device);
}

int standalone_device_make(struct standalone_device *made, uint32_t set, int count, char **arguments)
{
    int fd = set == 0 && count == 1 ? open(arguments[0], O_RDONLY | O_NONBLOCK) : -1;

    if (fd < 0)
        return -EINVAL;
    rng_init(&rng, fd, 0, 0);
    *made = (struct standalone_device){
        .ops = &rng_ops, .device = &rng, .queues = 1, .completes_in_order = 1, .reset = reset};
    return 0;
}
