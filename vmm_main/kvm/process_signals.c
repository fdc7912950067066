/* Signals of the main process: the three that end it arrive on a descriptor, the vCPUs' kick has a handler. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>

#include "vcpu_loop_cdef.h"
#include "process_signals.h"

int process_signals_open(void)
{
    sigset_t ending, kick;
    int error;

    error = install_kick_handler();
    if (error < 0)
        return error;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGHUP);
    error = pthread_sigmask(SIG_BLOCK, &ending, NULL);
    if (error != 0)
        return -error;
    /* A kick that reaches a thread without a vCPU is harmless, but would interrupt its system call. */
    sigemptyset(&kick);
    sigaddset(&kick, SIGRTMIN);
    error = pthread_sigmask(SIG_BLOCK, &kick, NULL);
    if (error != 0)
        return -error;
    int fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}
