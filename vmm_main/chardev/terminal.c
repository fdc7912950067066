/*
 * Raw mode for standard input, with a way back from every kind of end. Python undoes it at an orderly one; the
 * handler here does when the process crashes, where only async-signal-safe calls are allowed (tcsetattr is one).
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>
#include <unistd.h>

#include "terminal_cdef.h"

static struct termios saved;
static volatile int saved_fd = -1;

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

void terminal_restore(void)
{
    int fd = saved_fd;

    if (fd >= 0) {
        saved_fd = -1;
        tcsetattr(fd, TCSANOW, &saved);
    }
}

static void on_crash(int signal)
{
    terminal_restore();
    raise(signal); /* the handler was taken off on entry (SA_RESETHAND): this one ends the process */
}

int terminal_make_raw(int fd)
{
    struct termios raw;

    if (tcgetattr(fd, &saved) < 0)
        return -errno;
    for (size_t i = 0; i < sizeof(crash_signals) / sizeof(crash_signals[0]); i++) {
        struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
        if (sigaction(crash_signals[i], &action, NULL) < 0)
            return -errno;
    }
    raw = saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* "\n" of our own messages still begins a line */
    saved_fd = fd;
    if (tcsetattr(fd, TCSANOW, &raw) < 0) {
        saved_fd = -1;
        return -errno;
    }
    return 0;
}
