/* Counted by a worker only, read by main at any time: odd within a call. */
#include <stddef.h>
#include <stdint.h>

#include "host_call_cdef.h"
#include "../fault_injection/crash_points.h"

static _Thread_local uint64_t *calls __attribute__((tls_model("initial-exec")));

static void count_one(void)
{
    if (calls != NULL)
        __atomic_store_n(calls, *calls + 1, __ATOMIC_RELAXED);
}

void host_call_begins(void)
{
    count_one();
    HOST_POINT();
}

void host_call_ends(void)
{
    count_one();
}

void host_call_count_in(uint64_t *counter)
{
    calls = counter;
}
