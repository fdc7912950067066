/* Only a test build has anything in here. A point is armed by whoever owns the black box: point | times << 8. */
#include <stdint.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/fault_injection/crash_points.h"

#ifdef BULKHEAD_FAULT_BUILD
#include <poll.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CRASHED_STATUS 99

struct black_box *black_box_of_process(void); /* fault_report.c */

int fault_reached(int point, int applies)
{
    struct black_box *box = black_box_of_process();
    uint32_t armed = __atomic_load_n(&box->crash_armed, __ATOMIC_ACQUIRE);

    if (!applies || (armed & 0xff) != (uint32_t)point)
        return 0;
    if (armed >> 8 > 1) {
        __atomic_store_n(&box->crash_armed, armed - 0x100, __ATOMIC_RELEASE);
        return 0;
    }
    __atomic_store_n(&box->crash_armed, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&box->crash_point, (uint32_t)point, __ATOMIC_RELEASE);
    return 1;
}

_Noreturn void fault_crash(void)
{
    for (;;)
        (void)syscall(SYS_exit_group, CRASHED_STATUS);
}

void fault_hang(int kick_fd)
{
    uint64_t kicks;

    if (FAULT(FAULT_WORKER_LOOPS))
        for (;;)
            __asm__ volatile("");
    /* Every worker may read a kick, whatever else its filter knows. */
    if (FAULT(FAULT_WORKER_BLOCKS))
        for (;;)
            if (read(kick_fd, &kicks, sizeof(kicks)) < 0)
                fault_crash();
}

void fault_last(void)
{
    struct black_box *box = black_box_of_process();
    struct timespec moment = {.tv_nsec = 1000000};

    if (FAULT(FAULT_HOST_LASTS))
        while (__atomic_load_n(&box->crash_point, __ATOMIC_ACQUIRE) == FAULT_HOST_LASTS)
            (void)ppoll(NULL, 0, &moment, NULL);
}
#endif
