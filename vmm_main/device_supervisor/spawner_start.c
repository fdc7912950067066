#include "vmm_main/device_supervisor/spawner_start_cdef.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAWNER_SOCKET 3

/* vfork: a fork would copy the page tables, and posix_spawn can't close what isn't named. */
static pid_t exec_with_socket(const char *program, char *const arguments[], char *const environment[], int socket_fd,
                              volatile int *error)
{
    pid_t pid = vfork();

    if (pid != 0)
        return pid;
    /* In the child, on the parent's memory: system calls only. */
    int result = socket_fd == SPAWNER_SOCKET ? fcntl(socket_fd, F_SETFD, 0) : dup2(socket_fd, SPAWNER_SOCKET);
    if (result >= 0 && syscall(SYS_close_range, SPAWNER_SOCKET + 1, ~0U, 0) >= 0)
        execve(program, arguments, environment);
    *error = errno;
    _exit(1);
}

int spawner_start(const char *program, char *const arguments[], int *socket_fd)
{
    /* What finds an interpreter's own library is all that is passed on: the rest may hold secrets. Python loads no
     * locale in "C", and speaks UTF-8. */
    static const char variable[] = "LD_LIBRARY_PATH";
    static char locale[] = "LC_ALL=C";
    char *environment[] = {locale, NULL, NULL};
    volatile int error = 0;
    int pair[2];

    const char *value = getenv(variable);
    if (value != NULL) {
        size_t size = sizeof(variable) + 1 + strlen(value);
        environment[1] = malloc(size);
        if (environment[1] == NULL)
            return -ENOMEM;
        strcpy(environment[1], variable);
        strcat(environment[1], "=");
        strcat(environment[1], value);
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        int failed = errno;
        free(environment[1]);
        return -failed;
    }
    pid_t pid = exec_with_socket(program, arguments, environment, pair[1], &error);
    if (pid < 0)
        error = errno;
    free(environment[1]);
    close(pair[1]);
    if (error == 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0)
        error = errno;
    if (error != 0) {
        close(pair[0]);
        if (pid > 0) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        return -error;
    }
    *socket_fd = pair[0];
    return pid;
}
