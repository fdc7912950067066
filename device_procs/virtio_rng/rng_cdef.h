/*
 * The entropy device (virtio 1.2, 5.4): fills buffers with what a character device gives, no faster than asked for.
 * Read by cffi and included by C; the data plane's headers come first.
 */

/* One request takes at most this much: the device "MAY use less than the entire buffer length" (5.4.6.2). */
#define RNG_REQUEST_MAX_BYTES 65536

/*
 * A token bucket: max_bytes flow into it in each period, and as many fit. Exact, in units of a byte times a
 * nanosecond: a byte costs period_ns, and each nanosecond brings max_bytes.
 */
struct rng_bucket {
    uint64_t max_bytes; /* 0: no limit */
    uint64_t period_ns;
    uint64_t filled_ns; /* the time up to which it has been filled */
    uint64_t level_bytes;
    uint64_t level_part; /* below period_ns: the part of a byte */
};

struct rng {
    int32_t fd;
    int32_t holds_chain;    /* a popped chain waits for bytes */
    int32_t waits_for_rate; /* and it is the bucket that it waits for */
    struct rng_bucket bucket;
    uint64_t requests; /* completed */
    uint64_t bytes;
    uint64_t rate_waits; /* how often a request had to wait */
    uint64_t source_waits;
    struct descriptor_chain chain;
};

extern const struct device_ops rng_ops;

/* A limit of max_bytes in period_ms, or none if both are 0. The descriptor stays the caller's. */
void rng_init(struct rng *rng, int fd, uint64_t max_bytes, uint64_t period_ms);
/* Forgets a request that is held, after its queue has failed or been reset; counts and the rate go on. */
void rng_forget_request(struct rng *rng);

void rng_bucket_init(struct rng_bucket *bucket, uint64_t max_bytes, uint64_t period_ms, uint64_t now_ns);
/*
 * Fills the bucket up to now_ns. A bucket that a request waits for (`waited`) doesn't run over: a late wakeup must not
 * cost the guest its bytes, and the sum is still no more than flowed in.
 */
void rng_bucket_fill(struct rng_bucket *bucket, uint64_t now_ns, int waited);
/* When the bucket will hold `bytes`, not more than max_bytes; at once if it does already. */
uint64_t rng_bucket_ready_ns(const struct rng_bucket *bucket, uint64_t bytes);
void rng_bucket_take(struct rng_bucket *bucket, uint64_t bytes);
