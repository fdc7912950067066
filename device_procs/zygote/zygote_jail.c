#include <stdint.h>

#include "device_procs/sandbox/capabilities_cdef.h"
#include "device_procs/zygote/zygote_jail_cdef.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int zygote_die_with_main(int main_pid)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    return getppid() == main_pid ? 0 : -ESRCH;
}

static int write_own(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
    close(fd);
    return -error;
}

int zygote_enter_net_namespace(int privileged)
{
    return unshare(privileged ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -errno : 0;
}

int zygote_map_own_ids(uint32_t uid, uint32_t gid)
{
    char uid_map[32], gid_map[32];
    int error;

    snprintf(uid_map, sizeof(uid_map), "%u %u 1", ZYGOTE_OWN_ID, uid);
    snprintf(gid_map, sizeof(gid_map), "%u %u 1", ZYGOTE_OWN_ID, gid);
    /* A new user namespace takes the process's files in /proc from it; they are needed for the maps. */
    if (prctl(PR_SET_DUMPABLE, 1) < 0)
        return -errno;
    error = write_own("/proc/self/setgroups", "deny");
    if (error == 0)
        error = write_own("/proc/self/gid_map", gid_map);
    return error == 0 ? write_own("/proc/self/uid_map", uid_map) : error;
}

int zygote_drop_privileges(void)
{
    /* A process with a new user namespace has all it needs in there; only for the maps, which are written from outside,
     * the kernel wants these two outside. */
    int error = capabilities_keep(CAPABILITY_SETUID | CAPABILITY_SETGID);

    return error == 0 ? no_new_privileges() : error;
}
