#include <stddef.h>
#include <stdint.h>

#include "device_procs/data_plane/black_box_cdef.h"
#include "device_procs/sandbox/fault_report_cdef.h"
#include "seccomp_profiles/signal_context.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code of a SIGSYS by a filter */
#endif
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define HANDLER_STACK_BYTES (16 << 10) /* beyond what the kernel itself writes there */
#define DIED_BY(number) (128 + (number)) /* an exit status, as shells have it */

_Static_assert(sizeof(struct black_box) <= BLACK_BOX_BYTES, "two pages");
_Static_assert(offsetof(struct black_box, queues) % 64 == 0 && sizeof(struct black_box_queue) == 64, "a line each");

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static struct black_box *black_box;
/* In the space that every thread has from its start: a handler can't wait for malloc(). */
static _Thread_local uint32_t thread_number __attribute__((tls_model("initial-exec")));
static atomic_flag reported = ATOMIC_FLAG_INIT;
static volatile uintptr_t nowhere = 16; /* an address that nothing is ever mapped at */

static void copy_arguments(const ucontext_t *context, uint64_t arguments[6])
{
#if defined(__x86_64__)
    static const int registers[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

    for (size_t i = 0; i < ARRAY_SIZE(registers); i++)
        arguments[i] = (uint64_t)context->uc_mcontext.gregs[registers[i]];
#elif defined(__aarch64__)
    for (size_t i = 0; i < 6; i++)
        arguments[i] = context->uc_mcontext.regs[i];
#endif
}

/* Only the first thread to end the process writes; a second waits here for its end. */
static void report_alone(void)
{
    while (atomic_flag_test_and_set(&reported)) {
    }
}

_Noreturn static void leave(int status)
{
    for (;;)
        (void)syscall(SYS_exit_group, status);
}

static void write_fault(int number, const siginfo_t *info, const ucontext_t *context)
{
    black_box->fault_thread = thread_number;
    black_box->fault_rip = instruction_of(context);
    black_box->fault_address = (uint64_t)info->si_addr;
    /* Of a sender that its pid namespace doesn't know, the kernel says 0: it is not itself, by abort(). */
    black_box->fault_sent = info->si_code <= SI_USER && info->si_pid == 0;
    atomic_thread_fence(memory_order_release);
    black_box->fault_signal = (uint32_t)number;
}

/*
 * A filter refused a call. An abort() is such a call too: no profile allows tgkill, and a process that is the first of
 * its pid namespace could not die of a signal that it sends itself anyway.
 */
static void on_refused_call(int number, siginfo_t *info, void *context)
{
    const ucontext_t *registers = context;

    report_alone();
    if (info->si_code != SYS_SECCOMP) {
        write_fault(number, info, registers);
        leave(DIED_BY(number));
    }
    copy_arguments(registers, black_box->refused_args);
    if (info->si_syscall == SYS_tgkill && black_box->refused_args[2] == SIGABRT) {
        write_fault(SIGABRT, info, registers);
        leave(DIED_BY(SIGABRT));
    }
    black_box->refused_syscall = (uint32_t)info->si_syscall;
    black_box->refused_arch = info->si_arch;
    black_box->refused_rip = instruction_of(registers);
    atomic_thread_fence(memory_order_release);
    black_box->refused_thread = thread_number;
    leave(DIED_BY(number));
}

/*
 * A fault that the CPU found comes again when this returns, and now the signal has its default action (SA_RESETHAND):
 * the process dies of it, even the first one of a pid namespace. One that was sent doesn't come again, and sending it
 * once more would do nothing to such a process: for SIGSEGV a real one is made, the others end in an exit status.
 */
static void on_fault(int number, siginfo_t *info, void *context)
{
    report_alone();
    write_fault(number, info, context);
    if (info->si_code > SI_USER)
        return;
    if (number == SIGSEGV)
        *(volatile int *)nowhere = 0;
    leave(DIED_BY(number));
}

static int install_handlers(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigfillset(&action.sa_mask);
    action.sa_sigaction = on_refused_call;
    if (sigaction(SIGSYS, &action, NULL) < 0)
        return -errno;
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND;
    for (size_t i = 0; i < ARRAY_SIZE(fault_signals); i++)
        if (sigaction(fault_signals[i], &action, NULL) < 0)
            return -errno;
    return 0;
}

void black_box_set_thread(uint32_t thread)
{
    stack_t stack = {.ss_size = getauxval(AT_MINSIGSTKSZ) + HANDLER_STACK_BYTES};

    thread_number = thread;
    /* Not malloc(), which would make a heap for each thread. Without one, only a stack's overflow isn't written. */
    stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp != MAP_FAILED)
        (void)sigaltstack(&stack, NULL);
}

struct black_box *black_box_attach(int fd)
{
    void *page = mmap(NULL, BLACK_BOX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (page == MAP_FAILED)
        return NULL;
    close(fd);
    black_box = page;
    black_box->stage = STAGE_CLONED;
    black_box_set_thread(BLACK_BOX_CONTROL_THREAD);
    int error = install_handlers();
    if (error == 0)
        return page;
    errno = -error;
    return NULL;
}

#ifdef BULKHEAD_FAULT_BUILD
struct black_box *black_box_of_process(void); /* for crash_points.c */

struct black_box *black_box_of_process(void)
{
    return black_box;
}
#endif
