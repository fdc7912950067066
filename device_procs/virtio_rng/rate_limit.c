/* The rng's token bucket. */
#include <stddef.h>
#include <stdint.h>

#include "../data_plane/black_box_cdef.h"
#include "../data_plane/guest_memory_cdef.h"
#include "../data_plane/virtqueue_cdef.h"
#include "../data_plane/device_ops_cdef.h"
#include "rng_cdef.h"

#define NS_PER_MS 1000000

void rng_bucket_init(struct rng_bucket *bucket, uint64_t max_bytes, uint64_t period_ms, uint64_t now_ns)
{
    *bucket = (struct rng_bucket){
        .max_bytes = max_bytes,
        .period_ns = period_ms * NS_PER_MS,
        .filled_ns = now_ns,
        .level_bytes = max_bytes,
    };
}

void rng_bucket_fill(struct rng_bucket *bucket, uint64_t now_ns, int waited)
{
    unsigned __int128 level;

    if (now_ns <= bucket->filled_ns)
        return;
    level = (unsigned __int128)bucket->level_bytes * bucket->period_ns + bucket->level_part;
    level += (unsigned __int128)(now_ns - bucket->filled_ns) * bucket->max_bytes;
    if (!waited && level > (unsigned __int128)bucket->max_bytes * bucket->period_ns)
        level = (unsigned __int128)bucket->max_bytes * bucket->period_ns;
    bucket->level_bytes = (uint64_t)(level / bucket->period_ns);
    bucket->level_part = (uint64_t)(level % bucket->period_ns);
    bucket->filled_ns = now_ns;
}

uint64_t rng_bucket_ready_ns(const struct rng_bucket *bucket, uint64_t bytes)
{
    unsigned __int128 missing;

    if (bytes <= bucket->level_bytes)
        return bucket->filled_ns;
    missing = (unsigned __int128)(bytes - bucket->level_bytes) * bucket->period_ns - bucket->level_part;
    return bucket->filled_ns + (uint64_t)((missing + bucket->max_bytes - 1) / bucket->max_bytes);
}

void rng_bucket_take(struct rng_bucket *bucket, uint64_t bytes)
{
    bucket->level_bytes -= bytes;
}
