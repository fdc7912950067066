#include "vmm_main/device_supervisor/early_spawner.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device_procs/zygote/spawner.h"
#include "vmm_main/device_supervisor/spawner_start_cdef.h"

#define MAX_COMMAND 16

static int has_argument(char **argv, const char *wanted)
{
    for (char **argument = argv + 1; *argument != NULL; argument++) {
        const char *word = *argument;
        if (word[0] == '-' && word[1] == '-')
            word++; /* two dashes are understood too */
        if (strcmp(word, wanted) == 0)
            return 1;
    }
    return 0;
}

/* As uid_lease.py's may_give_uids(). */
static int may_give_uids(void)
{
    const uint32_t needed = 1U << CAP_SETGID | 1U << CAP_SETUID | 1U << CAP_SYS_ADMIN;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

/* Sends the spawner one request with one descriptor (spawner.py: request_zygote). */
static int request_zygote(int spawner_socket, int zygote_socket)
{
    char byte = 'z';
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {.iov_base = &byte, .iov_len = sizeof(byte)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

    memset(&control, 0, sizeof(control));
    message.msg_control = &control;
    message.msg_controllen = sizeof(control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &zygote_socket, sizeof(zygote_socket));
    return sendmsg(spawner_socket, &message, MSG_NOSIGNAL) == 1;
}

int early_spawner(char *option, size_t size, char **argv, char *launcher, char *const *command, const char *code)
{
    static char name[] = SPAWNER_NAME;
    char pid_text[16], program[PATH_MAX + 64];
    char *arguments[MAX_COMMAND];
    size_t n = 0;
    int zygote[2], spawner_socket;

    /* A daemon's main is a process that isn't there yet. */
    if (!has_argument(argv, "-device") || has_argument(argv, "-daemonize"))
        return 0;
    const char *whose = may_give_uids() ? "own-uids" : "one-uid";
    const char *filters = has_argument(argv, "-disable-seccomp") ? "no-seccomp" : "seccomp";
    snprintf(pid_text, sizeof(pid_text), "%d", (int)getpid());
    snprintf(program, sizeof(program), "%s/device_procs/zygote/__main__.py", code);
    arguments[n++] = name;
    arguments[n++] = pid_text;
    for (char *const *word = command; *word != NULL && n < MAX_COMMAND - 5; word++)
        arguments[n++] = *word;
    arguments[n++] = program;
    arguments[n++] = pid_text;
    arguments[n++] = (char *)(uintptr_t)whose;
    arguments[n++] = (char *)(uintptr_t)filters;
    arguments[n] = NULL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, zygote) < 0)
        return 0;
    int pid = spawner_start(launcher, arguments, &spawner_socket);
    int started = pid > 0 && request_zygote(spawner_socket, zygote[1]) && fcntl(spawner_socket, F_SETFD, 0) == 0 &&
                  fcntl(zygote[0], F_SETFD, 0) == 0;
    close(zygote[1]);
    if (!started) {
        close(zygote[0]);
        if (pid > 0)
            close(spawner_socket); /* the spawner ends at that */
        return 0;
    }
    return snprintf(option, size, "bulkhead_spawner=%d:%d:%d:%s:%s", pid, spawner_socket, zygote[0], whose, filters) <
           (int)size;
}
