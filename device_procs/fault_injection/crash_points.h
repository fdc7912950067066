/*
 * Points of a request's life at which a process of a test build (BULKHEAD_FAULT_BUILD) can be made to die, or to do
 * wrong. In the normal build they are nothing at all: a test looks for them in it.
 */
#ifndef CRASH_POINTS_H
#define CRASH_POINTS_H

#define CRASH_AFTER_POP 1         /* taken from the ring and written into the log */
#define CRASH_BEFORE_SUBMIT 2     /* a batch is put together, nothing of it is under way */
#define CRASH_PARTLY_SUBMITTED 3  /* a part of the batch is under way */
#define CRASH_AFTER_SUBMIT 4      /* all of it is, nothing is known to have ended */
#define CRASH_BEFORE_USED 5       /* it has ended, the driver doesn't know */
#define CRASH_INSIDE_COMPLETION 6 /* between used.idx and what the log says of it */
#define CRASH_BEFORE_SIGNAL 7     /* it is in the used ring, the driver isn't called */
#define FAULT_DROPS 8             /* a request that has ended is forgotten, not completed */
#define FAULT_COMPLETES_TWICE 9   /* one is completed twice */
#define FAULT_WORKER_LOOPS 10     /* a worker goes round and round */
#define FAULT_WORKER_BLOCKS 11    /* one waits for what never comes */
#define FAULT_HOST_LASTS 12       /* a call of the host ends when the test has taken the point out of crash_point */

#ifdef BULKHEAD_FAULT_BUILD
/* Whether this point is armed, and reached for the last time. */
int fault_reached(int point, int applies);
_Noreturn void fault_crash(void);
void fault_hang(int kick_fd);
void fault_last(void);

#define FAULT(point) fault_reached(point, 1)
#define HANG_POINT(kick_fd) fault_hang(kick_fd)
#define HOST_POINT() fault_last()
#define CRASH_POINT_AFTER(point, applies, action)                                                                      \
    do {                                                                                                               \
        if (fault_reached(point, applies)) {                                                                           \
            action;                                                                                                    \
            fault_crash();                                                                                             \
        }                                                                                                              \
    } while (0)
#else
#define FAULT(point) 0
#define HANG_POINT(kick_fd) ((void)0)
#define HOST_POINT() ((void)0)
#define CRASH_POINT_AFTER(point, applies, action) ((void)0)
#endif
#define CRASH_POINT(point, applies) CRASH_POINT_AFTER(point, applies, (void)0)

#endif
