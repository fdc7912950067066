#include <stdint.h>

#include "seccomp_profiles/filters_cdef.h"
#include "seccomp_profiles/signal_context.h"
#include "vmm_main/chardev/terminal_cdef.h"
#include "vmm_main/refused_call_cdef.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIED_BY_SIGSYS (128 + SIGSYS)

static int report_fd = STDERR_FILENO;

static char *append_text(char *at, const char *text)
{
    return stpcpy(at, text);
}

static char *append_number(char *at, uint64_t number, unsigned int base)
{
    char digits[20];
    size_t count = 0;

    do
        digits[count++] = "0123456789abcdef"[number % base];
    while ((number /= base) != 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* In a signal handler: no libc but what is safe there. */
static void on_refused_call(int number, siginfo_t *info, void *context)
{
    const char *name = system_call_name(info->si_syscall);
    char line[256], *at = append_text(line, "bulkhead: refused system call ");

    (void)number;
    at = append_text(at, name != NULL ? name : "number");
    at = append_text(at, " (");
    at = append_number(at, (uint64_t)(unsigned int)info->si_syscall, 10);
    at = append_text(at, ") at 0x");
    at = append_number(at, instruction_of(context), 16);
    at = append_text(at, ": a fault in Bulkhead, or a profile in seccomp_profiles/ that lacks it\n");
    ssize_t written = write(report_fd, line, (size_t)(at - line));
    (void)written; /* nobody is left to be told */
    terminal_restore();
    for (;;)
        (void)syscall(SYS_exit_group, DIED_BY_SIGSYS);
}

int refused_call_report_to(int fd)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO, .sa_sigaction = on_refused_call};

    sigfillset(&action.sa_mask);
    report_fd = fd;
    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}
