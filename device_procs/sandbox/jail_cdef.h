/* The jail that a device process puts itself into, in the order of DESIGN §6. Read by cffi and included by C. */

/* Descriptors of a process in its jail; 0 to 2 are /dev/null. */
#define JAIL_CONTROL_FD 3
#define JAIL_PROC_FD 4 /* its own folder in /proc, until the birth certificate is read */
#define CERTIFICATE_MAX_BYTES 16384 /* as in ipc/messages.py */

struct jail {
    char name[16];    /* what ps calls it; as long as the kernel takes (ipc/zygote_messages.py) */
    int control_fd;   /* its control socket */
    int black_box_fd; /* its black box, closed once it is mapped */
    int maps_fd;      /* one byte comes when its uid and gid are mapped; end of file if they never will be */
    int seccomp;      /* whether filters are to be installed, later */
    int keeps_groups; /* whether the host forbids it to drop supplementary groups (unprivileged) */
    uint64_t limit_nofile;
    uint64_t limit_fsize;
    uint64_t limit_data;
    uint32_t steps_taken;
    const char *step; /* the one under way, or the last: names what failed */
    struct black_box *black_box;
    int landlock_version; /* what is in force, 0 for nothing */
    size_t certificate_bytes; /* what the process has read of itself (ipc/birth_certificate.py) */
};

/* Takes all steps; the last one sends the certificate. Returns 0 or -errno of jail->step. */
int jail_enter(struct jail *jail);
/* Goes on with the steps until the black box shows stage: for tests, which do wrong in between. */
int jail_enter_until(struct jail *jail, uint32_t stage);
