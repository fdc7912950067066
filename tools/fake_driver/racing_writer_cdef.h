/*
 * A second thread of the driver's, which changes memory under the device's eyes. Read by cffi and included by C.
 */
#define RACING_VALUES_MAX 4

struct racing_writer {
    uint8_t *field; /* in guest memory, aligned to its width */
    uint32_t width; /* 1, 2, 4 or 8: each store is of all of it */
    uint32_t count;
    uint64_t values[RACING_VALUES_MAX]; /* in turn */
    uint32_t quit;                      /* set by another thread */
};

/* Stores the values in turn until it is told to quit. */
void racing_writer_run(struct racing_writer *writer);
