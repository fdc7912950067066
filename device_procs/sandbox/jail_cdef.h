/* The jail that a device process puts itself into, in the order of DESIGN §6. Read by cffi and included by C. */

/* Descriptors of a process in its jail; 0 to 2 are /dev/null. */
#define JAIL_CONTROL_FD 3
#define JAIL_PROC_FD 4 /* its own folder in /proc, until the birth certificate is read */
#define CERTIFICATE_MAX_BYTES 16384 /* as in ipc/messages.py */

struct jail {
    int control_fd; /* its control socket */
    int maps_fd;    /* one byte comes when its uid and gid are mapped; end of file if they never will be */
    int keeps_groups; /* whether the host forbids it to drop supplementary groups (unprivileged) */
    uint64_t limit_nofile;
    uint64_t limit_fsize;
    uint64_t limit_data;
    const char *step; /* the one under way, or the last: names what failed */
    int landlock_version;    /* what is in force, 0 for nothing */
    const char *certificate; /* what the process read of itself then (ipc/birth_certificate.py) */
    size_t certificate_bytes;
};

/* Returns 0 or -errno of jail->step. */
int jail_enter(struct jail *jail);
