/* The entropy device: a rate that the input chooses, and a source that has as much as the input gives it. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/harness/fuzzed_device.h"

#include "device_procs/virtio_rng/rng_cdef.h"

static struct rng rng;
static int source[2] = {-1, -1};

static void fill_source(size_t bytes)
{
    static const uint8_t random[RNG_REQUEST_MAX_BYTES] = {4}; /* chosen by fair dice roll */

    CHECK(write(source[1], random, bytes) >= 0 || bytes == 0);
}

static void empty_source(void)
{
    static uint8_t left[RNG_REQUEST_MAX_BYTES];

    while (read(source[0], left, sizeof(left)) > 0)
        ;
}

static void *make(const struct step *options)
{
    uint64_t max_bytes = options->c % 3 == 0 ? 0 : options->c;

    if (source[0] < 0)
        CHECK(pipe2(source, O_NONBLOCK) == 0);
    empty_source();
    /* As module.py has it: both or neither. */
    rng_init(&rng, source[0], max_bytes, max_bytes == 0 ? 0 : 1 + options->d % 100000);
    return &rng;
}

static void request(const struct step *step, struct plain_request *request)
{
    request->writable_bytes = 1 + step->b % 0x5000;
}

static void forget(void *device)
{
    rng_forget_request(device);
}

static void host(const struct step *step)
{
    empty_source();
    fill_source(step->b);
}

static int make_ready(int fd, int must)
{
    CHECK(fd == source[0] && !must); /* it puts back what it holds rather than wait when it stops */
    return 0;
}

/* "MUST place one or more random bytes into the buffer" (5.4.6.2) */
static void check(const struct plain_request *request, uint32_t written, uint8_t status)
{
    (void)status;
    CHECK(written >= 1 && written <= request->writable_bytes && written <= RNG_REQUEST_MAX_BYTES);
    CHECK(rng.bucket.max_bytes == 0 || written <= rng.bucket.max_bytes);
}

static void end(void *device)
{
    CHECK(device == &rng && rng.requests <= rng.bytes);
}

const struct fuzzed_device fuzzed_device = {
    .ops = &rng_ops,
    .num_max = 256,
    .make = make,
    .request = request,
    .forget = forget,
    .host = host,
    .make_ready = make_ready,
    .check = check,
    .end = end,
};
