/*
 * The spawner: a process that holds nothing and does one thing, over and over: exec a fresh zygote.
 *
 * Main can't do it later itself: by then it maps guest memory and has dropped what a zygote needs. So main starts this
 * program at its very entry. One request is one byte with one descriptor, the zygote's control socket; the answer is
 * the zygote's pid, or -errno, as an int. The zygote is main's child (CLONE_PARENT): main waits for it. Of its
 * privileges the spawner keeps what a zygote needs (docs/decisions/0007).
 */
#include "device_procs/zygote/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CANNOT_EXEC 127 /* a zygote's exit status, as a shell's */

/* /dev/null for 0 to 2: a zygote must not hold main's terminal or log open. */
static int let_go_of_everything(void)
{
    int null = open("/dev/null", O_RDWR);

    if (null < 0)
        return -errno;
    for (int fd = 0; fd < SPAWNER_SOCKET; fd++)
        if (dup2(null, fd) < 0)
            return -errno;
    if (syscall(SYS_close_range, SPAWNER_SOCKET + 1, ~0U, 0) < 0)
        return -errno;
    return fcntl(SPAWNER_SOCKET, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

/* Receives one request. Returns its descriptor, -1 if it has none, or -2 if main is gone. */
static int next_request(void)
{
    char byte;
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {.iov_base = &byte, .iov_len = sizeof(byte)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    ssize_t length;

    message.msg_control = &control;
    message.msg_controllen = sizeof(control);
    do
        length = recvmsg(SPAWNER_SOCKET, &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length <= 0)
        return -2;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd = -1;
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return fd;
}

static int start_zygote(char **command, int zygote_socket)
{
    long pid = syscall(SYS_clone, CLONE_PARENT | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid < 0)
        return -errno;
    if (pid > 0)
        return (int)pid;
    /* The number of the spawner's own socket, which is closed by that. */
    if (dup2(zygote_socket, SPAWNER_SOCKET) >= 0)
        execv(command[0], command); /* main has emptied the environment */
    _exit(CANNOT_EXEC);
}

/* Whether the zygote's command line says that devices have no uids of their own (zygote/__main__.py). */
static int is_for_one_uid(char **command)
{
    for (; *command != NULL; command++)
        if (strcmp(*command, "one-uid") == 0)
            return 1;
    return 0;
}

/*
 * What a zygote must have when it is exec'd: for the net namespace, the devices' uids and its own jail; and it may be
 * installed where only its owner may look. Whoever isn't root hands them on by the ambient set, which is left as it is.
 * A root without uids to give maps its own uid 0 into a user namespace, which takes one more (Linux 5.12).
 */
static int limit_privileges(int one_uid)
{
    const uint64_t needed = 1U << CAP_SYS_ADMIN | 1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_SETPCAP |
                            1U << CAP_DAC_READ_SEARCH | (one_uid ? 1U << CAP_SETFCAP : 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (needed >> capability & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno != EPERM)
                return -errno;
            break; /* an ordinary user's: there is nothing to take from it */
        }
    }
    if (syscall(SYS_capget, &header, sets) < 0)
        return -errno;
    for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        const uint32_t kept = (uint32_t)(needed >> (32 * i));

        sets[i].effective &= kept;
        sets[i].permitted &= kept;
        sets[i].inheritable &= kept;
    }
    if (syscall(SYS_capset, &header, sets) < 0)
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int spawner_main(char **argv)
{
    sigset_t none;

    (void)prctl(PR_SET_NAME, "bulkhead-spawn"); /* or it would be taken for main by its program's name */
    /* Its own session: a terminal's Ctrl-C is for main, which ends its processes in its own way. */
    (void)setsid(); /* fails only for a process that is a leader already */
    sigemptyset(&none);
    if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return 1;
    if (argv[1] == NULL || argv[2] == NULL || getppid() != atoi(argv[1])) /* main has died already */
        return 1;
    if (let_go_of_everything() < 0 || limit_privileges(is_for_one_uid(argv + 2)) < 0)
        return 1;
    for (;;) {
        int zygote_socket = next_request();

        if (zygote_socket == -2)
            return 0;
        int answer = zygote_socket < 0 ? -EBADMSG : start_zygote(argv + 2, zygote_socket);
        if (zygote_socket >= 0)
            close(zygote_socket);
        if (send(SPAWNER_SOCKET, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
            return 0;
    }
}
