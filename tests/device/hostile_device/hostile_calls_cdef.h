/* One system call again and again with the worst arguments, from either thread. Read by cffi and included by C. */

#define HOSTILE_ARGUMENTS 6
#define HOSTILE_POOL 128

/* Where the test reads how far a storm has come: in guest memory, which both map. */
struct hostile_board {
    uint64_t calls; /* begun */
    uint64_t failed;
    uint64_t done; /* 1 once there are no more */
};

struct hostile_storm {
    int64_t number; /* of the call */
    uint64_t seed;
    uint64_t rounds;
    uint64_t values[HOSTILE_POOL];      /* half of all arguments are from here; */
    uint64_t descriptors[HOSTILE_POOL]; /* of the first, the other half, */
    uint64_t likely[HOSTILE_POOL];      /* and of the rest: with what a call is more than refused */
    uint32_t value_count;
    uint32_t descriptor_count;
    uint32_t likely_count;
    uint64_t clear[HOSTILE_ARGUMENTS]; /* what the profile doesn't let through in an argument, */
    uint64_t set[HOSTILE_ARGUMENTS];   /* and what it wants there */
    struct hostile_board *board;
};

/* Has SIGUSR1 interrupt what blocks. Returns 0 or -errno. */
int hostile_can_be_woken(void);
/* Makes the calls. */
void hostile_storm_run(struct hostile_storm *storm);
/* Maps and touches memory. Returns its address, or 0. */
uint64_t hostile_map(uint64_t length, int flags);
/* A struct device_ops whose device is a struct hostile_storm, for a worker that runs it once. */
const void *hostile_ops(void);
