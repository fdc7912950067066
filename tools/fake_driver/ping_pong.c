/* A bare eventfd ping-pong, in C as the worker and the fake driver are. */
#include <errno.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "ping_pong_cdef.h"

#define NS_PER_S 1000000000

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int ping_pong_answer(int kick_fd, int call_fd, uint32_t count)
{
    uint64_t value, one = 1;

    for (uint32_t i = 0; i < count; i++)
        if (read(kick_fd, &value, sizeof(value)) < 0 || write(call_fd, &one, sizeof(one)) < 0)
            return -errno;
    return 0;
}

int ping_pong_ask(int kick_fd, int call_fd, uint64_t *samples_ns, uint32_t count)
{
    uint64_t value, one = 1;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t before = now_ns();

        if (write(kick_fd, &one, sizeof(one)) < 0 || read(call_fd, &value, sizeof(value)) < 0)
            return -errno;
        samples_ns[i] = now_ns() - before;
    }
    return 0;
}
