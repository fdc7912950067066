#include <stdint.h>

#include "device_procs/zygote/device_clone_cdef.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

/* No net namespace: the zygote is in the VM's empty one already. */
#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

int device_clone(void)
{
    int *thread_id = NULL;
    unsigned long flags = NAMESPACES | CLONE_PARENT | SIGCHLD;

    /* libc knows its thread by a number that changes in a new pid namespace, and has recursive locks by it: let the
     * kernel set it, as in a fork(). Kernels without checkpoint/restore don't tell where it is; then a thread of the
     * new process could only be mistaken for this one if the zygote's own pid were as small as that thread's. */
    if (prctl(PR_GET_TID_ADDRESS, &thread_id) == 0 && thread_id != NULL)
        flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
#if defined(__x86_64__)
    long pid = syscall(SYS_clone, flags, NULL, NULL, thread_id, 0);
#elif defined(__aarch64__)
    long pid = syscall(SYS_clone, flags, NULL, NULL, 0, thread_id);
#else
#error "the order of clone's arguments on this machine is not known here"
#endif
    return pid < 0 ? -errno : (int)pid;
}

static int write_map(int pid, const char *name, uint32_t outside)
{
    char path[64], map[32];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    int length = snprintf(map, sizeof(map), "0 %u 1", outside);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = write(fd, map, (size_t)length) < 0 ? errno : 0;
    close(fd);
    return -error;
}

int device_map_ids(int pid, uint32_t uid, uint32_t gid)
{
    int error = write_map(pid, "gid_map", gid);

    return error == 0 ? write_map(pid, "uid_map", uid) : error;
}
