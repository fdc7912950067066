#include <stddef.h>
#include <stdint.h>

#include "device_procs/sandbox/jail_cdef.h"
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

int device_clone(struct device_birth *birth)
{
    int *thread_id = NULL, ends[2];
    unsigned long flags = NAMESPACES | CLONE_PARENT | SIGCHLD;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    birth->jail.maps_fd = ends[0];
    birth->mapped_fd = ends[1];
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
    if (pid < 0) {
        int error = errno;
        close(birth->jail.maps_fd);
        close(birth->mapped_fd);
        return -error;
    }
    birth->pid = (int)pid;
    return birth->pid;
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

int device_map_ids(struct device_birth *birth)
{
    int error = write_map(birth->pid, "gid_map", birth->host_gid);

    if (error == 0)
        error = write_map(birth->pid, "uid_map", birth->host_uid);
    if (error == 0 && write(birth->mapped_fd, "", 1) < 0)
        error = -errno;
    close(birth->jail.maps_fd);
    close(birth->mapped_fd);
    return error;
}
