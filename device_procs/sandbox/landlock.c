#include "device_procs/sandbox/landlock_cdef.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct landlock_ruleset_attr as of version 6; headers of the build host may be older. */
struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

#define NETWORK_BIND_AND_CONNECT_TCP 3ULL /* version 4 */
#define SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS 3ULL /* version 6 */

/* How many kinds of file access each version knows; later ones know no more than the last here. */
static const unsigned int file_accesses[] = {0, 13, 14, 15, 15, 16};
#define NEWEST (sizeof(file_accesses) / sizeof(file_accesses[0]) - 1)

int landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    return version < 0 ? 0 : (int)version;
}

int landlock_forbid_all(int version)
{
    struct ruleset ruleset = {0};
    size_t size = sizeof(ruleset.handled_access_fs);

    if (version <= 0)
        return 0;
    ruleset.handled_access_fs = (1ULL << file_accesses[(size_t)version < NEWEST ? (size_t)version : NEWEST]) - 1;
    if (version >= 4) {
        ruleset.handled_access_net = NETWORK_BIND_AND_CONNECT_TCP;
        size += sizeof(ruleset.handled_access_net);
    }
    if (version >= 6) {
        ruleset.scoped = SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS;
        size += sizeof(ruleset.scoped);
    }
    int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
    if (fd < 0)
        return -errno;
    /* A ruleset without rules allows nothing of what it handles. */
    int error = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? errno : 0;
    close(fd);
    return -error;
}
