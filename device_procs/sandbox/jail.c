#include <stddef.h>
#include <stdint.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/sandbox/birth_certificate.h"
#include "device_procs/sandbox/capabilities_cdef.h"
#include "device_procs/sandbox/fault_report_cdef.h"
#include "device_procs/sandbox/process_name_cdef.h"
#include "device_procs/sandbox/jail_cdef.h"
#include "device_procs/sandbox/landlock_cdef.h"
#include "seccomp_profiles/filters_cdef.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPARE_FD 10 /* above all that have their place */
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static int result_of(long result)
{
    return result < 0 ? -errno : 0;
}

static int attach_black_box(struct jail *jail)
{
    jail->black_box = black_box_attach(jail->black_box_fd);
    if (jail->black_box == NULL)
        return -errno;
    if (!jail->seccomp)
        filters_disable();
    return 0;
}

static int set_name(struct jail *jail)
{
    return process_set_name(jail->name);
}

static int new_session(struct jail *jail)
{
    (void)jail;
    return result_of(setsid());
}

/* Puts each named descriptor in its place and closes all others. */
static int close_descriptors(struct jail *jail)
{
    int control = fcntl(jail->control_fd, F_DUPFD_CLOEXEC, SPARE_FD);
    int maps = fcntl(jail->maps_fd, F_DUPFD_CLOEXEC, SPARE_FD);
    int opened = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (opened < 0)
        return -errno;
    int proc = fcntl(opened, F_DUPFD_CLOEXEC, SPARE_FD);
    if (control < 0 || maps < 0 || proc < 0 || dup3(control, JAIL_CONTROL_FD, O_CLOEXEC) < 0 ||
        dup3(proc, JAIL_PROC_FD, O_CLOEXEC) < 0 || dup3(maps, JAIL_PROC_FD + 1, O_CLOEXEC) < 0)
        return -errno;
    jail->control_fd = JAIL_CONTROL_FD;
    jail->maps_fd = JAIL_PROC_FD + 1;
    return result_of(close_range(JAIL_PROC_FD + 2, ~0U, 0));
}

/*
 * An empty, read-only file system for a root; the host's is let go of. It is mounted on /proc, which every host has.
 * Nothing of this reaches the host: the mount namespace of another user namespace gets the host's mounts as slaves.
 */
static int empty_root(struct jail *jail)
{
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

    (void)jail;
    if (mount("bulkhead-empty", "/proc", "tmpfs", flags, "size=4k,nr_inodes=1,mode=0555") < 0 || chdir("/proc") < 0)
        return -errno;
    /* The old root ends up on top of the new one (pivot_root(2)), and goes from there. */
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return -errno;
    return result_of(chdir("/"));
}

static int limit(__rlimit_resource_t resource, uint64_t value)
{
    struct rlimit both = {.rlim_cur = value, .rlim_max = value}, now;

    /* A host's lower limit stands: raising it is for who has the privilege. */
    if (getrlimit(resource, &now) < 0)
        return -errno;
    if (both.rlim_max > now.rlim_max)
        both.rlim_cur = both.rlim_max = now.rlim_max;
    return result_of(setrlimit(resource, &both));
}

static int set_limits(struct jail *jail)
{
    int error = limit(RLIMIT_CORE, 0);

    if (error == 0)
        error = limit(RLIMIT_NOFILE, jail->limit_nofile);
    if (error == 0)
        error = limit(RLIMIT_FSIZE, jail->limit_fsize);
    return error == 0 ? limit(RLIMIT_DATA, jail->limit_data) : error;
}

static int await_maps(struct jail *jail)
{
    char byte;
    ssize_t length;

    do
        length = read(jail->maps_fd, &byte, sizeof(byte));
    while (length < 0 && errno == EINTR);
    if (length == 0)
        return -ECANCELED;
    return length < 0 ? -errno : result_of(close(jail->maps_fd));
}

/* Root of its own user namespace, which is the device's own uid outside. The raw calls: one thread, no libc's lists. */
static int become_own_uid(struct jail *jail)
{
    if (!jail->keeps_groups && syscall(SYS_setgroups, 0, NULL) < 0)
        return -errno;
    if (syscall(SYS_setresgid, 0, 0, 0) < 0)
        return -errno;
    return result_of(syscall(SYS_setresuid, 0, 0, 0));
}

static int drop_capabilities(struct jail *jail)
{
    (void)jail;
    return capabilities_keep(0);
}

static int refuse_new_privileges(struct jail *jail)
{
    (void)jail;
    return no_new_privileges();
}

/* After the last change of credentials, which clears it. If main died before, the control socket has ended too. */
static int die_with_main(struct jail *jail)
{
    (void)jail;
    return result_of(prctl(PR_SET_PDEATHSIG, SIGKILL));
}

/* The message with the certificate: one for the process, which has one jail. */
static char certificate[BIRTH_CERTIFICATE_HEAD_BYTES + CERTIFICATE_MAX_BYTES];

static int read_certificate(struct jail *jail)
{
    jail->landlock_version = landlock_version();
    long length = birth_certificate_read(JAIL_PROC_FD, jail->landlock_version,
                                         certificate + BIRTH_CERTIFICATE_HEAD_BYTES, CERTIFICATE_MAX_BYTES);
    if (length < 0)
        return (int)length;
    jail->certificate_bytes = (size_t)length;
    return result_of(close(JAIL_PROC_FD));
}

static int landlock(struct jail *jail)
{
    return landlock_forbid_all(jail->landlock_version);
}

static int forbid_dumps(struct jail *jail)
{
    (void)jail;
    return result_of(prctl(PR_SET_DUMPABLE, 0));
}

static int send_certificate(struct jail *jail)
{
    return birth_certificate_send(jail->control_fd, certificate, jail->certificate_bytes);
}

static const struct {
    const char *name;
    int (*take)(struct jail *jail);
    uint32_t stage; /* that is reached by it, or 0 */
} steps[] = {
    {"black box", attach_black_box, STAGE_CLONED},
    {"name", set_name, 0},
    {"new session", new_session, 0},
    {"descriptors", close_descriptors, 0},
    {"empty root", empty_root, 0},
    {"resource limits", set_limits, 0},
    {"uid and gid maps", await_maps, 0},
    {"uid and gid", become_own_uid, 0},
    {"capabilities", drop_capabilities, 0},
    {"no_new_privs", refuse_new_privileges, 0},
    {"parent death signal", die_with_main, 0},
    {"birth certificate", read_certificate, 0},
    {"Landlock", landlock, 0},
    {"dumpable off", forbid_dumps, STAGE_JAILED},
    {"birth certificate", send_certificate, STAGE_CERTIFIED},
};

int jail_enter_until(struct jail *jail, uint32_t stage)
{
    while (jail->steps_taken < ARRAY_SIZE(steps)) {
        uint32_t reached = steps[jail->steps_taken].stage;

        jail->step = steps[jail->steps_taken].name;
        int error = steps[jail->steps_taken].take(jail);
        if (error < 0)
            return error;
        jail->steps_taken++;
        if (reached != 0)
            jail->black_box->stage = reached;
        if (reached == stage)
            return 0;
    }
    return 0;
}

int jail_enter(struct jail *jail)
{
    return jail_enter_until(jail, STAGE_CERTIFIED);
}
