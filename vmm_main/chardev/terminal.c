/*
 * Raw mode for standard input, with a way back from every kind of end. Python undoes it at an orderly one,
 * atexit() at a disorderly one, and the handler here when a signal ends the process, where only async-signal-safe
 * calls are allowed (tcsetattr is one).
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "terminal_cdef.h"

static struct termios saved;
static volatile int saved_fd = -1;
static struct sigaction previous[NSIG];

/* Faults, where whoever handles them (Python's faulthandler) ends the process too: he has his turn after ours. */
static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
/* Signals that end a process that hasn't asked for them. */
static const int other_signals[] = {SIGTRAP, SIGUSR1,   SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
                                    SIGPOLL, SIGSTKFLT, SIGPWR,  SIGXCPU, SIGTERM,   SIGHUP};

void terminal_restore(void)
{
    int fd = saved_fd;
    sigset_t ttou, before;

    if (fd < 0)
        return;
    saved_fd = -1;
    /* In the background the terminal would stop us for this. */
    sigemptyset(&ttou);
    sigaddset(&ttou, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &ttou, &before);
    tcsetattr(fd, TCSANOW, &saved);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_ending_signal(int signal)
{
    int error = errno;

    terminal_restore();
    sigaction(signal, &previous[signal], NULL);
    raise(signal); /* blocked until we return; then it ends the process as it would have */
    errno = error;
}

static int watch_signal(int signal, int only_if_default)
{
    struct sigaction action = {.sa_handler = on_ending_signal};

    if (sigaction(signal, NULL, &previous[signal]) < 0)
        return -errno;
    if (only_if_default && previous[signal].sa_handler != SIG_DFL)
        return 0;
    return sigaction(signal, &action, NULL) < 0 ? -errno : 0;
}

static int watch_ending_signals(void)
{
    static int done;
    int error = 0;

    if (done)
        return 0;
    for (size_t i = 0; error == 0 && i < sizeof(crash_signals) / sizeof(crash_signals[0]); i++)
        error = watch_signal(crash_signals[i], 0);
    for (size_t i = 0; error == 0 && i < sizeof(other_signals) / sizeof(other_signals[0]); i++)
        error = watch_signal(other_signals[i], 1);
    if (error == 0 && atexit(terminal_restore) != 0)
        error = -ENOMEM;
    done = error == 0;
    return error;
}

int terminal_make_raw(int fd)
{
    struct termios before, raw;
    int error;

    if (saved_fd >= 0)
        return -EBUSY;
    if (tcgetattr(fd, &before) < 0)
        return -errno;
    error = watch_ending_signals();
    if (error < 0)
        return error;
    raw = before;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* "\n" of our own messages still begins a line */
    saved = before;
    saved_fd = fd;
    if (tcsetattr(fd, TCSANOW, &raw) < 0) {
        error = -errno;
        saved_fd = -1;
        return error;
    }
    return 0;
}
