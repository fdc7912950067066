#include "device_procs/sandbox/process_name_cdef.h"

#include <errno.h>
#include <sys/prctl.h>

int process_set_name(const char *name)
{
    return prctl(PR_SET_NAME, name) < 0 ? -errno : 0;
}
